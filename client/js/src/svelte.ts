import { type Client, type State, watch } from './index.js'

const connecting: State<never> = Object.freeze({ data: undefined, status: 'connecting' })

/** A store as Svelte 4 and 5 know it, and every library that follows their contract. */
export interface WatchStore<T> {
  subscribe(run: (state: State<T>) => void): () => void
}

/**
 * A readable store of a watched URL's state: `$orders.data`, `$orders.status`.
 * It is watched while somebody subscribes, and never on a server. In runes,
 * `fromStore` of `svelte/store` takes it.
 */
export function watchStore<T = unknown>(url: string, client: Pick<Client, 'watch'> = { watch }): WatchStore<T> {
  return {
    subscribe(run) {
      if (typeof document === 'undefined') {
        run(connecting)
        return () => {}
      }
      const handle = client.watch<T>(url)
      run(handle.getSnapshot())
      handle.subscribe(run)
      return () => handle.close()
    },
  }
}
