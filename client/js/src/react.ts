import { useMemo, useSyncExternalStore } from 'react'
import { type Client, type Handle, type State, watch } from './index.js'

type Watcher = Pick<Client, 'watch'>

interface Store {
  subscribe(listener: () => void): () => void
  getSnapshot(): State
}

const connecting: State<never> = Object.freeze({ data: undefined, status: 'connecting' })
const nothing: Store = { subscribe: () => () => {}, getSnapshot: () => connecting }

// The stores that have subscribers, so that a component which is mounted later
// has the document in its first render already.
const subscribed = new WeakMap<Watcher, Map<string, Store>>()

function open(client: Watcher, url: string): Store {
  let stores = subscribed.get(client)
  if (!stores) subscribed.set(client, (stores = new Map()))
  const known = stores.get(url)
  if (known) return known

  let handle: Handle | undefined
  let count = 0
  const store: Store = {
    // Opened by the effect and not while rendering: a render that React throws
    // away, or does on a server, opens nothing.
    subscribe(listener) {
      handle ??= client.watch(url)
      if (!stores.has(url)) stores.set(url, store)
      count++
      const stop = handle.subscribe(listener)
      return () => {
        stop()
        if (--count > 0) return
        handle?.close()
        handle = undefined
        if (stores.get(url) === store) stores.delete(url)
      }
    },
    getSnapshot: () => handle?.getSnapshot() ?? connecting,
  }
  return store
}

const main: Watcher = { watch }

/**
 * The state of a watched URL; the component renders again whenever it changes.
 * Subtrees of `data` that did not change keep their identity, so memoised rows
 * render only where something changed. Without a URL (null or undefined)
 * nothing is watched. On a server, and while hydrating, the state is
 * `connecting` without data.
 */
export function useWatch<T = unknown>(url: string | null | undefined, client: Watcher = main): State<T> {
  const store = useMemo(() => (url == null ? nothing : open(client, url)), [client, url])
  return useSyncExternalStore(store.subscribe, store.getSnapshot, nothing.getSnapshot) as State<T>
}
