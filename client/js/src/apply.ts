import type { Operation } from './types.js'
import { has, isContainer, put, share } from './share.js'

function fail(why: unknown): never {
  throw new Error('patch: ' + why)
}

/**
 * Returns what a JSON Patch (RFC 6902) makes of a document. Neither of the two
 * is changed; what the patch does not touch is shared with the result.
 * @throws Error where the patch is not valid or does not fit
 */
export function apply<T = any>(document: T, patch: readonly Operation[]): T {
  const root: any = { '': document } // in which every pointer, as it is split, names a member
  let copies = new Set<unknown>() // made here: nobody else sees them change

  // Reads what a pointer (RFC 6901) names, or puts values in its place, or before it.
  const visit = (pointer: any, values?: unknown[], insert?: boolean) => {
    if (!/^(\/([^~]|~[01])*)?$/.test(pointer)) fail(pointer)
    const path = (pointer as string).split('/').map((key) => key.replace(/~1/g, '/').replace(/~0/g, '~'))
    let node = root
    for (let i = 0; ; ) {
      let key = path[i++]!
      const last = i === path.length, array = Array.isArray(node), inserts = last && insert
      if (array && inserts && key === '-') key = '' + node.length
      if (array ? !/^(0|[1-9]\d*)$/.test(key) || +key > node.length - (inserts ? 0 : 1) : !isContainer(node) || !(inserts || has(node, key))) fail(pointer)
      if (last) {
        if (!values) return node[key]
        if (array) node.splice(+key, insert ? 0 : 1, ...values)
        else values.length ? put(node, key, values[0]) : delete node[key]
        return
      }
      let child = node[key]
      if (values && isContainer(child) && !copies.has(child)) {
        child = Array.isArray(child) ? [...child] : { ...child }
        copies.add(child)
        put(node, key, child)
      }
      node = child
    }
  }

  for (const { op, path, from, value: given } of patch) {
    let value = given
    if (op === 'move' || op === 'copy') {
      value = visit(from)
      if (op === 'copy') copies = new Set() // from now on it is in two places
      else if (path === from) continue
      else if ((path + '/').startsWith(from + '/')) fail(path)
      else visit(from, [])
    } else if (op !== 'remove' && value === undefined) fail(path)

    if (op === 'test') share(visit(path), value) === visit(path) || fail(path)
    else if (op === 'remove') visit(path, [])
    else if (op === 'replace') visit(path, [value])
    else if (/^(add|move|copy)$/.test(op)) visit(path, [value], true)
    else fail(op)
  }
  return root['']
}

/** Returns what a JSON Merge Patch (RFC 7396) makes of a document. Neither is changed. */
export function merge<T = any>(document: unknown, patch: unknown): T
export function merge(document: any, patch: any): any {
  const plain = (value: unknown) => isContainer(value) && !Array.isArray(value)
  if (!plain(patch)) return patch
  const result: any = plain(document) ? { ...document } : {}
  for (const key of Object.keys(patch)) {
    patch[key] === null ? delete result[key] : put(result, key, merge(has(result, key) ? result[key] : 0, patch[key]))
  }
  return result
}
