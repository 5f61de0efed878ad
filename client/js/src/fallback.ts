import { type Get, holder } from './hold.js'
import { isContainer } from './share.js'
import type { Message, Subscription } from './subscription.js'
import type { PollbridgeError } from './types.js'

/** What polling needs of the client. */
export interface Poller {
  fetch: typeof fetch
  headers(s: Subscription): Promise<Record<string, string> | undefined>
  interval: number
  events: boolean // may read event streams
  waits: boolean // may have polls wait
  why: PollbridgeError | number | undefined // it is polled, where pollbridge has said so
  /** Takes in a message. Returns false where the whole document is needed. */
  take(s: Subscription, m: Message): boolean
  /** There is a pollbridge in front: seen again, or for the first time. */
  found(again: boolean): void
}

const codes: Record<number, string> = { 401: 'unauthorized', 403: 'forbidden' }

/**
 * Polls a URL until it is stopped. Once an answer shows that pollbridge is
 * there, it has its requests held until there is something new.
 *
 * This is a module of its own, loaded where no socket can be had.
 */
export async function poll(s: Subscription, p: Poller, stopped: AbortSignal) {
  let { code, message } = (p.why || {}) as PollbridgeError
  let bridge: string | null | undefined, failures = 0
  let controller: AbortController | undefined, timer: ReturnType<typeof setTimeout>, wake: (() => void) | undefined

  stopped.addEventListener('abort', () => {
    controller?.abort()
    clearTimeout(timer)
    wake?.()
  })

  /** Takes in a message; returns false where no more may come of what it is from. */
  const take: Poller['take'] = (s, m) => !stopped.aborted && p.take(s, m) && !stopped.aborted

  const within = (ms: number) => {
    clearTimeout(timer)
    if (ms) timer = setTimeout(() => controller!.abort(), ms)
    else controller?.abort()
  }

  const get: Get = async (more, ms = 60000) => {
    const { version } = s.state
    const headers = { ...(await p.headers(s)), ...(bridge && version && { 'If-None-Match': `"${version}"` }), ...more }
    controller = new AbortController()
    within(ms)
    const response = await p.fetch(s.href, { headers, signal: controller.signal }), { status } = response
    const type = response.headers.get('content-type') || ''
    if (more && /event-stream/.test(type)) return response
    bridge = response.headers.get('pollbridge-at')
    if (!response.ok && status !== 304) throw { status, code: codes[status] || 'upstream_status', message: 'the answer was ' + status }
    let data: any = await response.text()
    if (status === 304) take(s, { type: 'current', version })
    else {
      // What was JSON before and is something else now is broken, such as a login page.
      const format = !/json/.test(type) && !isContainer(s.state.data) && !/^\s*[[{]/.test(data) && 'text'
      if (!format) data = JSON.parse(data)
      s.type = type
      take(s, { type: 'snapshot', data, format, version: bridge ? tag(response) : undefined, at: bridge || new Date().toJSON() })
    }
    return
  }

  const hold = holder(s, { ...p, take }, get, within)
  while (!stopped.aborted) {
    let pause: number | undefined
    try {
      const before = bridge
      if (before) pause = await hold()
      if (pause === undefined) {
        await get()
        pause = bridge && !before ? Math.min(500, p.interval) : p.interval // pollbridge is there: a socket is tried, or else a request is held
        if (code && code !== 'shutting_down') console.warn(`pollbridge: ${s.href} is polled, not pushed: ${code}: ${message}`)
        code = ''
      }
      if (bridge && !stopped.aborted) p.found(!!before)
      failures = 0
    } catch (e: any) {
      take(s, { type: 'stale', error: e.status ? e : { code: 'unreachable', message: '' + e } })
      pause = Math.min(30000, p.interval * 2 ** failures++) * (0.5 + Math.random() / 2)
    }
    clearTimeout(timer!)
    if (!stopped.aborted) await new Promise<void>((resolve) => { timer = setTimeout((wake = resolve), pause) })
  }
}

/** The version that an entity tag names, weak or strong. */
const tag = (response: Response) => response.headers.get('etag')?.replace(/^(W\/)?"|"$/g, '')
