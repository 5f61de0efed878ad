export const isContainer = (value: unknown): value is object => !!value && typeof value === 'object'

export const has = (object: object, key: string | number) => Object.prototype.hasOwnProperty.call(object, key)

/** Sets a property of an object's own, even `__proto__`. */
export const put = (object: any, key: string, value: unknown) => {
  key === '__proto__' ? Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true }) : (object[key] = value)
}

/**
 * Returns a value equal to `next` in which everything that `old` has in the
 * same place is old's own object; old itself, where all is equal. Elements of
 * arrays are compared counted from the front and from the back, so that what
 * was inserted or removed moves nothing. Neither value is changed.
 */
export function share<T>(old: unknown, next: T): T
export function share(old: any, next: any): any {
  const array = Array.isArray(next)
  if (old === next || !isContainer(old) || !isContainer(next) || Array.isArray(old) !== array) return next
  const keys = Object.keys(next), before = Object.keys(old).length, result = array ? [] : {}
  let same = keys.length === before
  for (const key of keys) {
    const mine = has(old, key) ? (old as any)[key] : undefined
    let value = share(mine, (next as any)[key])
    if (value !== mine) {
      same = false
      const back = array && (old as any)[+key + before - keys.length]
      if (back && share(back, (next as any)[key]) === back) value = back
    }
    put(result, key, value)
  }
  return same ? old : result
}
