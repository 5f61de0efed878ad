import type { Query, QueryClient } from '@tanstack/query-core'
import { type Client, type Handle, watch } from './index.js'

type Watcher = Pick<Client, 'watch'>

const main: Watcher = { watch }

// What a query watches, by its queryFn.
const sources = new WeakMap<object, { url: string; client: Watcher }>()

/**
 * Options for `useQuery` (`createQuery`, `injectQuery`, ...) that watch a URL
 * in place of fetching it again and again:
 *
 *     const { data } = useQuery(watchQuery<Order[]>('/api/orders'))
 *
 * The key may be one of your own: `{ ...watchQuery(url), queryKey: ['orders'] }`.
 * The URL is watched while somebody observes the query who has it enabled.
 */
export function watchQuery<T = unknown>(url: string, client: Watcher = main) {
  const queryFn = ({ client: queryClient, signal }: { client: QueryClient; signal: AbortSignal }): Promise<T> => {
    attach(queryClient)
    return first<T>(client.watch(url), signal)
  }
  sources.set(queryFn, { url, client })
  return {
    queryKey: ['pollbridge', url] as const,
    queryFn,
    staleTime: Infinity, // what changes is pushed
    structuralSharing: false, // what is pushed shares its unchanged subtrees already
  }
}

const attached = new WeakMap<QueryClient, () => void>()

/**
 * Has the queries of `watchQuery` that are observed, now or later, updated in
 * this QueryClient. The first fetch of such a query does it by itself; call
 * this where the first data does not come from a fetch but was rendered on a
 * server or restored. Returns what undoes it.
 */
export function attach(queryClient: QueryClient): () => void {
  const known = attached.get(queryClient)
  if (known) return known

  const handles = new Map<Query, Handle>()
  const ended = new WeakSet<Query>() // until a fetch succeeds
  const cache = queryClient.getQueryCache()

  const close = (query: Query) => {
    handles.get(query)?.close()
    handles.delete(query)
  }
  const follow = (query: Query) => {
    const source = sources.get(query.options.queryFn as object)
    if (!source || handles.has(query) || ended.has(query)) return
    const handle = source.client.watch(source.url)
    handles.set(query, handle)
    const push = () => {
      const { data, at, status } = handle.getSnapshot()
      if (data !== undefined && data !== query.state.data) query.setData(data, { manual: true, updatedAt: at?.getTime() })
      if (status !== 'ended') return
      ended.add(query)
      close(query)
      void queryClient.invalidateQueries({ queryKey: query.queryKey, exact: true }) // a fetch tells why, or begins anew
    }
    handle.subscribe(push)
    push()
  }
  const update = (query: Query) => (query.isActive() ? follow(query) : close(query))

  const stop = cache.subscribe((event) => {
    const { type, query } = event
    if (type === 'updated') {
      if (event.action.type !== 'success' || event.action.manual || !ended.delete(query)) return
    }
    if (type === 'removed') close(query)
    else update(query)
  })
  const undo = () => {
    stop()
    attached.delete(queryClient)
    for (const query of [...handles.keys()]) close(query)
  }
  attached.set(queryClient, undo)
  cache.getAll().forEach(update)
  return undo
}

// The first document of a handle, which is closed then: what follows is pushed
// through a handle of the query's observers.
function first<T>(handle: Handle, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const settle = () => {
      const { data, error, status } = handle.getSnapshot()
      if (data !== undefined) resolve(data as T)
      else if (status === 'ended') reject(error ?? new Error('the subscription is over'))
    }
    handle.subscribe(settle)
    signal.addEventListener('abort', () => reject(signal.reason))
    settle()
  }).finally(() => handle.close())
}
