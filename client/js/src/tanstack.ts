import type { Query, QueryClient } from '@tanstack/query-core'
import { type Client, type Handle, watch } from './index.js'

type Watcher = Pick<Client, 'watch'>

const main: Watcher = { watch }

/**
 * Options for `useQuery` (`createQuery`, `injectQuery`, ...) that watch a URL
 * in place of fetching it again and again:
 *
 *     const { data } = useQuery(watchQuery<Order[]>('/api/orders'))
 *
 * Watching begins with the query's first observer and ends with its last.
 */
export function watchQuery<T = unknown>(url: string, client: Watcher = main) {
  return {
    queryKey: ['pollbridge', url] as const,
    queryFn: ({ client: queryClient, signal }: { client: QueryClient; signal: AbortSignal }): Promise<T> => {
      attach(queryClient, client)
      return first<T>(client.watch(url), signal)
    },
    staleTime: Infinity, // what changes is pushed
    structuralSharing: false, // what is pushed shares its unchanged subtrees already
  }
}

/**
 * Has the queries of `watchQuery` that are observed, now or later, updated in
 * this QueryClient. The first fetch of such a query does it by itself; call
 * this where the first data does not come from a fetch but was rendered on a
 * server or restored. Returns what undoes it.
 */
export function attach(queryClient: QueryClient, client: Watcher = main): () => void {
  const known = attached.get(queryClient)
  if (known) return known

  const handles = new Map<Query, Handle>()
  const cache = queryClient.getQueryCache()

  const close = (query: Query) => {
    handles.get(query)?.close()
    handles.delete(query)
  }
  const follow = (query: Query) => {
    if (query.queryKey[0] !== 'pollbridge' || handles.has(query) || query.getObserversCount() === 0) return
    const handle = client.watch(query.queryKey[1] as string)
    handles.set(query, handle)
    const push = () => {
      const { data, at, status } = handle.getSnapshot()
      if (data !== undefined && data !== query.state.data) query.setData(data, { manual: true, updatedAt: at?.getTime() })
      if (status !== 'ended') return
      close(query)
      void queryClient.invalidateQueries({ queryKey: query.queryKey, exact: true }) // the next fetch tells why, or begins anew
    }
    handle.subscribe(push)
    push()
  }

  const stop = cache.subscribe(({ type, query }) => {
    if (type === 'observerAdded') follow(query)
    if (type === 'removed' || (type === 'observerRemoved' && query.getObserversCount() === 0)) close(query)
  })
  const undo = () => {
    stop()
    attached.delete(queryClient)
    for (const query of [...handles.keys()]) close(query)
  }
  attached.set(queryClient, undo)
  cache.getAll().forEach(follow)
  return undo
}

const attached = new WeakMap<QueryClient, () => void>()

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
