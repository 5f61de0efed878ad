import { isContainer, own, put } from './apply.js'

/**
 * Returns a value equal to `next` in which everything that `old` has in the
 * same place is old's own object; old itself, where all is equal. Elements of
 * arrays are compared counted from the front and from the back, so that what
 * was inserted or removed moves nothing. Neither value is changed.
 */
export function share<T>(old: any, next: T): T
export function share(old: any, next: any): any {
  if (old === next || !isContainer(old) || !isContainer(next) || Array.isArray(old) !== Array.isArray(next)) return next
  if (Array.isArray(next)) {
    const shift = (old as any).length - next.length
    let same = !shift
    const result = next.map((value, i) => {
      let mine = share((old as any)[i], value)
      if (shift && mine !== (old as any)[i]) {
        const back = share((old as any)[i + shift], value)
        if (back === (old as any)[i + shift]) mine = back
      }
      if (mine !== (old as any)[i]) same = false
      return mine
    })
    return same ? old : result
  }
  const keys = Object.keys(next), result = {}
  let same = keys.length === Object.keys(old).length
  for (const key of keys) {
    const before = own(old, key), value = share(before, next[key])
    if (value !== before) same = false
    put(result, key, value)
  }
  return same ? old : result
}
