import type { Client, Handle, Options, PollbridgeError, WatchOptions } from './types.js'
import { makeHandle } from './handle.js'
import { type Message, type Subscription, set, take } from './subscription.js'

const second = 1000

/** Makes a client: what it watches shares one socket. */
export function createClient(options: Options = {}): Client {
  const global: any = globalThis, { document } = global, { now } = Date
  const here: string = document?.baseURI ?? global.location?.href ?? options.origin ?? options.url
  if (!here) throw new Error('pollbridge: needs a url or origin')
  const address = new URL(options.url ?? '/.pollbridge/socket', options.origin ?? here).href.replace(/^http/, 'ws')
  const home = address.replace(/^ws(.*?\w)\/.*/, 'http$1') // where the socket is
  const base = options.origin ?? (here.startsWith(home + '/') ? here : home)
  const uses = (transport: any) => options.transports?.includes(transport) ?? true
  const events = uses('events'), waits = uses('poll')
  const network: typeof fetch = (input, init) => (options.fetch ?? fetch)(input, init)
  const subscriptions = new Map<string, Subscription>()
  const life = new AbortController()

  let Socket: any = uses('websocket') && (options.WebSocket ?? global.WebSocket)
  let socket: any // open, or being opened
  let opened = 0 // when that was; 0: it is not yet
  let begun = 0 // when it was asked for
  let heard = 0 // when it last said anything
  let pinged = 0 // when it was last asked to
  let refused = false // the credentials that it was opened with are
  let most = 300 * second // between two tries, where there may never be a pollbridge
  let tries = 0
  let suspended = false
  let hidden: any = document?.hidden && now() // since when the page is
  let ticked: number
  let retry: any, beat: any
  let wrote = 0 // until when answers may not be from before a write

  const each = (f: (s: Subscription) => void) => [...subscriptions.values()].forEach(f)

  // The socket.

  function connect() {
    clearTimeout(retry)
    if (socket || suspended || !subscriptions.size || Socket?.then) return
    begun = now()
    try {
      socket = new Socket(address, 'pollbridge.v1')
    } catch { // there is none, or the page may not
      return lost()
    }
    socket.onopen = () => {
      opened = heard = now()
      most = 30 * second
      each(subscribe)
    }
    socket.onmessage = (event: any) => {
      heard = now()
      receive(JSON.parse(event.data))
    }
    socket.onerror = () => opened || lost() // where a page's policy forbids it, no close follows
    socket.onclose = (event: any) => lost(event.code)
  }

  /** Lets go of the socket: what it told is not told any more. */
  function hangUp(code = 'disconnected') {
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = socket.onerror = () => {}
      socket.close()
    }
    socket = opened = pinged = 0
    down(code)
  }

  function down(code: string) {
    each((s) => {
      s.told = false
      if (s.state.at && !s.stop) set(s, code === 'offline' ? code : 'stale', { error: { code, message: 'no connection' } })
    })
  }

  /** The socket is gone: comes back after a delay (full jitter). */
  function lost(code = 0) {
    const failed = !opened, fault = code > 1006 && code < 1010 // our own, which will not mend itself
    if (opened && now() - opened > 5 * second) tries = 0
    hangUp()
    retry = setTimeout(connect, Math.random() * Math.min(most, 500 * 2 ** tries++) + (fault ? 30 * second : 0))
    if (fault || tries > 2 || (failed && most > 30 * second)) each(startPolling)
  }

  /** Polls what no socket tells of; why, where pollbridge has said so. */
  function startPolling(s: Subscription, why?: PollbridgeError | number) {
    if (s.told || s.stop || suspended || !(events || waits)) return
    const control = new AbortController()
    const stop = (s.stop = () => {
      s.stop = undefined
      control.abort()
    })
    import('./fallback.js').then(({ poll }) => poll(s, {
      fetch: network, headers, interval: options.interval ?? 5 * second, events, waits, why, take: accept,
      found(again) {
        if (opened) subscribe(s)
        else if (!again) connect()
      },
    }, control.signal), stop)
  }

  // Subscriptions.

  const headers = async (s: Subscription) => (s.headers = await options.headers?.(s.href))

  const throttle = (s: Subscription) => Math.min(...[...s.listeners].map((l) => l.throttle)) || undefined

  const say = (m: object) => socket.send(JSON.stringify(m))

  async function subscribe(s: Subscription) {
    const mine = socket
    try {
      if (options.headers) await headers(s)
      if (mine === socket && opened && subscriptions.get(s.href) === s) {
        say({ type: 'subscribe', url: s.path, version: s.state.version, headers: s.headers, throttle: (s.throttle = throttle(s)) })
      }
    } catch {
      startPolling(s) // which says what is wrong, and comes back
    }
  }

  function receive(m: Message) {
    each((s) => {
      if (m.type === 'error') s.told || s.stop || end(s, m.error!) // it may have been about this one
      else if (m.type === 'alias' && m.for === s.path) s.key = m.url!
      else if (m.url === s.key) {
        if (!accept(s, m)) subscribe(s)
        else if (s.told) s.stop?.()
      }
    })
  }

  /** Takes in a message about a subscription, from wherever. Returns false where it has to be subscribed to again. */
  function accept(s: Subscription, m: Message): boolean {
    if (m.type === 'end') return !!m.error && end(s, m.error)
    if (m.type === 'patch' && !s.state.version) return true // the whole document is under way
    if (take(s, m)) {
      s.asked = false
      s.told = !!m.url
      return true
    }
    s.state = { ...s.state, version: undefined! }
    return false
  }

  function end(s: Subscription, error: PollbridgeError): boolean {
    const { code } = error
    s.told = false
    if (code === 'unauthorized' && options.headers && !s.asked) return !(s.asked = true)
    if (/not_|limit|shut|bad_/.test(code) && (events || waits)) startPolling(s, error) // as if there were no pollbridge, for now
    else {
      refused = true
      forget(s)
      set(s, 'ended', { error })
      console.info('pollbridge:', s.href, error)
    }
    return true
  }

  function forget(s: Subscription) {
    if (subscriptions.get(s.href) !== s) return
    subscriptions.delete(s.href)
    s.stop?.()
    if (!subscriptions.size) {
      clearInterval(beat)
      clearTimeout(retry)
      hangUp()
    }
  }

  // Time, and what the browser says.

  /** Comes back now. A socket that is open is asked for a sign of life: browsers do not show a server's pings. */
  function resume() {
    if (opened) {
      pinged = now()
      say({ type: 'ping' })
    } else {
      tries = 0
      suspended = false
      connect()
    }
  }

  function suspend() {
    suspended = true
    clearTimeout(retry)
    each((s) => s.stop?.())
    hangUp('suspended')
  }

  function tick() {
    const before = ticked
    ticked = now()
    if (hidden && ticked - hidden > 300 * second) suspend()
    else if (socket && (opened ? pinged > heard && ticked - pinged > 4 * second : ticked - begun > 4 * second * (tries + 1))) lost()
    else if (ticked - before > 15 * second || (opened && ticked - heard > 30 * second)) resume() // the machine was asleep, or the server says nothing
  }

  if (options.shared) {
    Socket = import('./shared.js').then((m) => {
      Socket = m.SharedSocket
      connect()
    })
  }

  const listen = (target: any, type: string, f: (event: any) => void) => target?.addEventListener?.(type, f, { signal: life.signal })
  listen(global, 'pagehide', suspend)
  listen(global, 'pageshow', (event) => event.persisted && resume())
  listen(global, 'offline', () => down('offline'))
  listen(global, 'online', () => {
    resume()
    if (opened) each(subscribe)
  })
  listen(document, 'visibilitychange', () => {
    hidden = document.hidden && now()
    if (!hidden) resume()
  })

  // What users call.

  function watch(url: string | URL, onData?: any, extra?: WatchOptions): Handle<any> {
    if (life.signal.aborted) throw new Error('pollbridge: closed')
    const target = new URL((url + '').split('#')[0]!, base)
    const { href } = target, path = target.pathname + target.search
    let s = subscriptions.get(href)!
    const fresh = !s
    if (fresh) subscriptions.set(href, (s = { href, path, key: path, state: { data: undefined, status: 'connecting' }, listeners: new Set() }))
    const tune = () => s.told && s.listeners.size && throttle(s) !== s.throttle && subscribe(s)
    const handle = makeHandle(s, extra?.throttle ?? 0, onData, () => {
      tune()
      setTimeout(() => {
        if (s.listeners.size || subscriptions.get(href) !== s) return
        forget(s)
        if (opened) say({ type: 'unsubscribe', url: path })
      }, options.linger ?? 2 * second)
    })
    if (!fresh) tune()
    else {
      if (subscriptions.size === 1) {
        ticked = now()
        beat = setInterval(tick, 5 * second)
      }
      if (refused) hangUp()
      refused = false
      if (target.origin !== home) startPolling(s)
      else opened ? subscribe(s) : connect()
    }
    return handle
  }

  return {
    watch,
    async fetch(input: any, init) {
      const reads = /^(get|head)?$/i.test(init?.method || input.method || '')
      let s: Subscription | undefined
      try {
        if (reads && !(init?.headers as any)?.next) { // an iterator is for the network: it can be read only once
          const request = new Request(input.url ? input : new URL(input, base), init)
          s = subscriptions.get(request.url)
          const { state, told, type, text, headers } = s!
          if (told && state.status === 'live' && now() > wrote && request.method === 'GET' && request.credentials !== 'omit' && (request.cache || 'default') === 'default' && !request.signal?.aborted && (type || !text) &&
            [...request.headers].every(([name, value]) => /^(accept|content-type)$/.test(name) || new Headers(headers).get(name) === value)) {
            const response = new Response(text ? state.data : JSON.stringify(state.data), { headers: { 'content-type': type || 'application/json', etag: `"${state.version}"` } })
            return Object.defineProperty(response, 'url', { value: request.url })
          }
        }
      } catch {} // it is not watched
      if (!reads) wrote = Infinity
      const response = await network(input, init).finally(() => reads || (wrote = now() + 5 * second))
      if (s && response.ok) s.type = response.headers.get('content-type')
      return response
    },
    close() {
      life.abort()
      each((s) => {
        forget(s)
        set(s, 'ended', { data: undefined, version: undefined!, at: undefined! })
      })
    },
  }
}
