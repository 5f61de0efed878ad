import { type Client, type State, watch } from './index.js'

interface Next<T> {
  next(error?: unknown, data?: T): void
}

/**
 * What `useSWRSubscription` subscribes with; its key is the URL:
 *
 *     const { data, error } = useSWRSubscription('/api/orders', subscribe)
 *
 * `error` is set while the data may be old, and the data stays.
 */
export function subscribe<T = any>(url: string, { next }: Next<T>, client: Pick<Client, 'watch'> = { watch }): () => void {
  const handle = client.watch<T>(url)
  let last: State<T> | undefined
  const push = () => {
    const { data, error } = handle.getSnapshot()
    if (data !== undefined && (data !== last?.data || (last.error && !error))) next(null, data)
    if (error && error !== last?.error) next(error)
    last = handle.getSnapshot()
  }
  push()
  const stop = handle.subscribe(push)
  return () => {
    stop()
    handle.close()
  }
}
