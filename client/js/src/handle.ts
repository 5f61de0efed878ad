import type { Handle, State } from './types.js'
import type { Listener, Subscription } from './subscription.js'

/** Makes a handle of a subscription. `left` is called once it is closed. */
export function makeHandle<T>(s: Subscription, throttle: number, onData: ((data: T, state: State<T>) => void) | undefined, left: () => void): Handle<T> {
  const states = new Set<(state: State<T>) => void>(), patches = new Set<(patch: any, state: State<T>) => void>()
  let last: unknown, closed = false, wake: () => void, change: Promise<void>

  const stir = () => {
    wake?.()
    change = new Promise((resolve) => { wake = resolve })
  }
  stir()

  const show = () => {
    const { data } = s.state
    if (!closed && data !== last && data !== undefined) onData!((last = data), s.state)
  }
  if (onData) {
    states.add(show)
    queueMicrotask(show)
  }

  /** Calls all who are there now and, when it is their turn, have not been taken off. What they throw is their own. */
  const tell = (set: Set<(...args: any[]) => void>, ...args: any[]) => {
    for (const f of [...set]) {
      try {
        if (!closed && set.has(f)) f(...args)
      } catch (error) {
        queueMicrotask(() => { throw error })
      }
    }
  }

  const me: Listener = {
    throttle,
    changed(state, patch) {
      stir()
      tell(states, state)
      if (patch) tell(patches, patch, state)
    },
  }
  s.listeners.add(me)

  const on = <F>(set: Set<F>) => (f: F) => {
    set.add(f)
    return () => { set.delete(f) }
  }
  const subscribe = on(states), observable: '@@observable' = (Symbol as any).observable || '@@observable'

  const handle: Handle<T> = {
    url: s.href,
    get status() { return s.state.status },
    get age() { return s.state.at ? Math.max(0, Date.now() - +s.state.at) : Infinity },
    subscribe,
    getSnapshot: () => s.state,
    onPatch: on(patches),
    close() {
      if (closed) return
      closed = true
      s.listeners.delete(me)
      stir()
      left()
    },
    async *[Symbol.asyncIterator]() {
      let seen: State<T> | undefined
      try {
        while (!closed && seen?.status !== 'ended') {
          if (seen !== s.state && s.state.status !== 'connecting') yield (seen = s.state)
          else await change
        }
      } finally {
        handle.close()
      }
    },
    [observable]: () => ({
      subscribe(observer) {
        const next = (state: State<T>) => {
          typeof observer === 'function' ? observer(state) : observer.next?.(state)
          if (state.status === 'ended') (observer as any).complete?.()
        }
        const unsubscribe = subscribe(next)
        next(s.state)
        return { unsubscribe }
      },
    }),
  }
  return handle
}
