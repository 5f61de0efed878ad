import type { Poller } from './fallback.js'
import type { Subscription } from './subscription.js'

/**
 * One GET, given up after so many milliseconds. What the answer says is taken
 * in; an event stream is returned instead.
 */
export type Get = (headers?: object, ms?: number) => Promise<Response | undefined>

// Requests that are held. A browser has six connections to a host, and the page needs some for itself.
let held = 0

/**
 * Returns a function that reads a URL's event stream until that ends or, where
 * none comes through, has one poll wait for a change. It returns for how many
 * milliseconds to pause then; undefined where neither is to be had. `within`
 * gives up the request that goes on after so many milliseconds.
 */
export function holder(s: Subscription, { events, waits, take, interval }: Poller, get: Get, within: (ms: number) => void) {
  let good = false // something came

  const read = async (body: ReadableStream<Uint8Array>) => {
    const reader = body.getReader(), decoder = new TextDecoder()
    let text = '', chunk
    while (!(chunk = await reader.read()).done) {
      const parts = (text += decoder.decode(chunk.value, { stream: true })).split('\n\n')
      text = parts.pop()!
      for (const part of parts) {
        const data = /^data: (.*)/m.exec(part)
        if (!data) continue
        const m = JSON.parse(data[1]!)
        good = m.type !== 'end' || m.error?.code === 'unauthorized' // which may be over with other headers
        if (!take(s, m)) return // the abort of a stream that nobody reads is not always told
      }
      if (good) within(40000) // it is never silent for longer than 15 s
    }
  }

  return async (): Promise<number | undefined> => {
    if (held > 3 || !(events || waits)) return
    const { version } = s.state, began = Date.now(), stream = events
    good = false
    held++
    try {
      if (stream) {
        const response = await get({ Accept: 'text/event-stream', ...(version && { 'Last-Event-ID': version }) }, 5000)
        if (response?.body) await read(response.body)
        return good ? Math.random() * 2000 : 0
      }
      await get({ Prefer: 'wait=50' })
      good = true
      return s.state.version !== version || Date.now() - began > 1000 ? 0 : interval
    } catch (e: any) {
      if (e.status || e.name === 'AbortError') return 0
      good = true // it is the network that fails
      throw e
    } finally {
      held--
      within(0)
      if (!good) stream ? (events = false) : (waits = false) // the next rung down
    }
  }
}
