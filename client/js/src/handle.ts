import type { Handle, State } from './types.js'
import { type Listener, type Subscription, safely } from './subscription.js'

/** Makes a handle of a subscription. `left` is called once it is closed. */
export function makeHandle<T>(s: Subscription, throttle: number, onData: ((data: T, state: State<T>) => void) | undefined, left: () => void): Handle<T> {
  const states = new Set<(state: State<T>) => void>()
  const patches = new Set<(patch: any, state: State<T>) => void>()
  const ends = new Set<() => void>()
  let last: unknown
  let closed = false

  const show = () => {
    const { state } = s
    if (onData && !closed && state.data !== last) onData((last = state.data), state)
  }

  const me: Listener = {
    throttle,
    changed(state, patch) {
      if (onData) safely(show)
      for (const f of [...states]) safely(() => f(state))
      if (patch) for (const f of [...patches]) safely(() => f(patch, state))
    },
  }
  s.listeners.add(me)
  if (onData && s.state.data !== undefined) queueMicrotask(() => safely(show))

  const on = <F>(set: Set<F>) => (f: F) => {
    set.add(f)
    return () => { set.delete(f) }
  }
  const subscribe = on(states)

  const handle: any = {
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
      for (const f of [...ends]) f()
      left()
    },
    async *[Symbol.asyncIterator]() {
      let seen: unknown, wake = () => {}
      const off = [subscribe(() => wake()), on(ends)(() => wake())]
      try {
        while (!closed && (seen as any)?.status !== 'ended') {
          if (seen !== s.state && (s.state.data !== undefined || s.state.status === 'ended')) yield (seen = s.state) as State<T>
          else await new Promise<void>((resolve) => { wake = resolve })
        }
      } finally {
        for (const f of off) f()
        handle.close()
      }
    },
  }
  handle[(Symbol as any).observable || '@@observable'] = () => ({
    subscribe(observer: any) {
      const next = (state: any) => {
        observer.next ? observer.next(state) : observer.call && observer(state)
        if (state.status === 'ended') observer.complete?.()
      }
      next(s.state)
      return { unsubscribe: subscribe(next) }
    },
  })
  return handle
}
