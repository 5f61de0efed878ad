import type { Operation } from './types.js'

type Container = Record<string, unknown> | unknown[]

export const isContainer = (value: unknown): value is Container => typeof value === 'object' && value !== null

const has = (object: unknown, key: string) => Object.prototype.hasOwnProperty.call(object, key)

/** Sets a property of an object's own, `__proto__` too. */
export const put = (object: object, key: string, value: unknown) => {
  if (key === '__proto__') Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true })
  else (object as any)[key] = value
}

export const own = (object: unknown, key: string) => (isContainer(object) && has(object, key) ? (object as any)[key] : undefined)

function fail(why: string): never {
  throw new Error('patch: ' + why)
}

/** RFC 6901. */
function parse(pointer: unknown): string[] {
  if (typeof pointer !== 'string' || (pointer && pointer[0] !== '/') || /~(?![01])/.test(pointer)) fail('pointer ' + pointer)
  return (pointer as string).split('/').slice(1).map((key) => key.replace(/~1/g, '/').replace(/~0/g, '~'))
}

/** Checks that a key may be read, or with `extra` inserted. */
function check(parent: unknown, key: string, extra?: 1): void {
  if (Array.isArray(parent) ? !/^(0|[1-9]\d*)$/.test(key) || +key >= parent.length + (extra || 0) : !isContainer(parent) || (!extra && !has(parent, key))) fail('no ' + key)
}

const read = (document: unknown, path: string[]): unknown => path.reduce((value: any, key) => (check(value, key), value[key]), document)

/** Equality of JSON values. */
export function equal(a: any, b: any): boolean {
  if (a === b) return true
  if (!isContainer(a) || !isContainer(b) || Array.isArray(a) !== Array.isArray(b)) return false
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length && keys.every((key) => has(b, key) && equal((a as any)[key], (b as any)[key]))
}

/**
 * Returns what a JSON Patch (RFC 6902) makes of a document. Neither of the two
 * is changed; what the patch does not touch is shared with the result.
 * @throws Error where the patch is not valid or does not fit
 */
export function apply<T = any>(document: T, patch: readonly Operation[]): T {
  let copies = new Set<unknown>() // made here, so nobody else sees them change

  // Changes one member of a document, or all of it where path is empty. With no value given it goes.
  const change = (node: any, path: string[], insert: boolean, value: unknown[]): any => {
    if (!path.length) return value.length ? value[0] : null
    let [key, ...rest] = path as [string, ...string[]]
    const array = Array.isArray(node)
    if (!rest.length && insert && array && key === '-') key = '' + node.length
    check(node, key, !rest.length && insert ? 1 : undefined)
    if (!copies.has(node)) copies.add((node = array ? node.slice() : { ...node }))
    if (rest.length) put(node, key, change(node[key], rest, insert, value))
    else if (array) node.splice(+key, insert ? 0 : 1, ...value)
    else if (value.length) put(node, key, value[0])
    else delete node[key]
    return node
  }

  let result: unknown = document
  for (const operation of patch) {
    const { op } = operation
    const path = parse(operation.path)
    let value: unknown = operation.value
    if (op === 'move' || op === 'copy') {
      const from = parse(operation.from)
      value = read(result, from)
      if (op === 'copy') copies = new Set() // what is in two places from now on
      else if (operation.from === operation.path) continue
      else if (operation.path.startsWith(operation.from + '/')) fail('moved into itself')
      else result = change(result, from, false, [])
    } else if (op !== 'remove' && !has(operation, 'value')) fail('no value')

    if (op === 'test') equal(read(result, path), value) || fail('test of ' + operation.path)
    else if (op === 'add' || op === 'move' || op === 'copy') result = change(result, path, true, [value])
    else if (op === 'replace') result = change(result, path, false, [value])
    else if (op === 'remove') result = change(result, path, false, [])
    else fail('op ' + op)
  }
  return result as T
}

/** Returns what a JSON Merge Patch (RFC 7396) makes of a document. Neither is changed. */
export function merge<T = any>(document: unknown, patch: unknown): T {
  if (!isContainer(patch) || Array.isArray(patch)) return patch as T
  const result: any = isContainer(document) && !Array.isArray(document) ? { ...document } : {}
  for (const key of Object.keys(patch)) {
    if (patch[key] === null) delete result[key]
    else put(result, key, merge(own(result, key), patch[key]))
  }
  return result
}
