import { original } from '@reduxjs/toolkit'
import { type Client, share, watch } from './index.js'

interface CacheEntry {
  updateCachedData(recipe: (draft: any) => any): unknown
  cacheDataLoaded: Promise<unknown>
  cacheEntryRemoved: Promise<void>
}

interface Options<A> {
  /** What the endpoint's `transformResponse` does, if it has one. */
  transform?: (data: any, arg: A) => unknown
  client?: Pick<Client, 'watch'>
}

/**
 * The `onCacheEntryAdded` of a query endpoint: what its cache entry holds is
 * kept equal to the watched URL for as long as somebody uses the entry.
 *
 *     orders: build.query<Order[], string>({
 *       query: (status) => `orders?status=${status}`,
 *       onCacheEntryAdded: watchEntry((status) => `/api/orders?status=${status}`),
 *     })
 */
export function watchEntry<A = void>(url: (arg: A) => string, { transform, client = { watch } }: Options<A> = {}) {
  return async (arg: A, entry: CacheEntry): Promise<void> => {
    try {
      await entry.cacheDataLoaded
    } catch {
      return // removed before anything was loaded
    }
    const handle = client.watch(url(arg))
    let seen: unknown
    const push = () => {
      const { data } = handle.getSnapshot()
      if (data === undefined || data === seen) return
      seen = data
      const next = transform ? transform(data, arg) : data
      entry.updateCachedData((draft) => share(original(draft) ?? draft, next))
    }
    handle.subscribe(push)
    push()
    await entry.cacheEntryRemoved
    handle.close()
  }
}
