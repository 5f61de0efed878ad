import { computed, type ComputedRef, type MaybeRefOrGetter, shallowRef, type ShallowRef, toValue, watchPostEffect } from 'vue'
import { type Client, type PollbridgeError, type State, type Status, watch } from './index.js'

const connecting: State<never> = Object.freeze({ data: undefined, status: 'connecting' })

/** What `useWatch` returns. `data` is shallow: unchanged subtrees keep their identity. */
export interface Watched<T> {
  state: Readonly<ShallowRef<State<T>>>
  data: ComputedRef<T | undefined>
  status: ComputedRef<Status>
  error: ComputedRef<PollbridgeError | undefined>
}

/**
 * Watches a URL, which may be a ref or a getter, until the component (or the
 * effect scope) is gone. Without a URL (null or undefined) nothing is watched,
 * and nothing is on a server.
 */
export function useWatch<T = unknown>(
  url: MaybeRefOrGetter<string | null | undefined>,
  client: Pick<Client, 'watch'> = { watch },
): Watched<T> {
  const state = shallowRef<State<T>>(connecting)
  watchPostEffect((onCleanup) => {
    const now = toValue(url)
    state.value = connecting
    if (now == null) return
    const handle = client.watch<T>(now)
    state.value = handle.getSnapshot()
    handle.subscribe((next) => (state.value = next))
    onCleanup(() => handle.close())
  })
  return {
    state,
    data: computed(() => state.value.data),
    status: computed(() => state.value.status),
    error: computed(() => state.value.error),
  }
}
