import type { Client, Handle, Options, WatchOptions } from './types.js'
import { makeHandle } from './handle.js'
import { type Message, type Subscription, set, take } from './subscription.js'

const second = 1000

/** Makes a client: what it watches shares one socket. */
export function createClient(options: Options = {}): Client {
  const global: any = globalThis
  const linger = options.linger ?? 2 * second
  const here: string | undefined = global.document?.baseURI ?? global.location?.href
  const socketURL = resolve(options.url ?? '/.pollbridge/socket', options.origin ?? here)
  const home = new URL(socketURL.href.replace(/^ws/, 'http')).origin
  const base = options.origin ?? (here && new URL(here).origin === home ? here : home)
  const WebSocketClass = options.WebSocket ?? global.WebSocket
  const subscriptions = new Map<string, Subscription>()

  let socket: any
  let open = false
  let closed = false
  let tries = 0
  let openedAt = 0
  let timer: any

  function resolve(url: string | URL, base?: string): URL {
    try {
      return new URL(url, base)
    } catch {
      throw new TypeError(`pollbridge: "${url}" is relative to nothing here: give createClient a url or an origin`)
    }
  }

  function connect() {
    clearTimeout(timer)
    if (socket || closed || !subscriptions.size) return
    const mine = (socket = new WebSocketClass(socketURL.href.replace(/^http/, 'ws'), 'pollbridge.v1'))
    openedAt = 0
    mine.onopen = () => {
      openedAt = Date.now()
      open = true
      for (const s of subscriptions.values()) subscribe(s)
    }
    mine.onmessage = (event: any) => mine === socket && receive(JSON.parse(event.data))
    mine.onerror = () => {}
    mine.onclose = (event: any) => mine === socket && lost(event.code)
  }

  function lost(code?: number) {
    socket = undefined
    open = false
    if (openedAt && Date.now() - openedAt > 5 * second) tries = 0
    for (const s of subscriptions.values()) {
      s.told = false
      if (s.state.status !== 'ended') set(s, s.state.data === undefined ? 'connecting' : 'stale', { error: { code: 'disconnected', message: 'the connection was lost' } })
    }
    timer = setTimeout(connect, Math.random() * Math.min(30 * second, 500 * 2 ** tries++) + (code === 1008 ? 30 * second : 0))
  }

  async function subscribe(s: Subscription) {
    const mine = socket
    const headers = options.headers && (await options.headers(s.href))
    if (mine !== socket || !open || subscriptions.get(s.href) !== s) return
    const throttle = Math.min(...[...s.listeners].map((l) => l.throttle)) || undefined
    socket.send(JSON.stringify({ type: 'subscribe', url: s.path, version: s.state.version, headers, throttle }))
  }

  function receive(m: Message) {
    for (const s of subscriptions.values()) {
      if (m.type === 'alias' && m.for === s.path) s.key = m.url!
      else if (m.url !== s.key) continue
      else if (m.type === 'end') {
        if (m.error) {
          subscriptions.delete(s.href)
          set(s, 'ended', { error: m.error })
        }
      } else if (take(s, m)) s.told = true
      else if (s.state.version) {
        s.state = { ...s.state, version: undefined } // what follows until the whole document comes is of no use
        subscribe(s)
      }
    }
  }

  function watch(url: string | URL, onData?: any, { throttle = 0 }: WatchOptions = {}): Handle<any> {
    const target = resolve(url, base)
    target.hash = ''
    const { href } = target
    let s = subscriptions.get(href)
    if (!s) {
      const path = target.pathname + target.search
      s = { href, path, key: path, state: { data: undefined, status: 'connecting' }, listeners: new Set(), told: false, asked: false }
      subscriptions.set(href, s)
      if (open) queueMicrotask(() => subscribe(s!))
      else connect()
    }
    const mine = s
    return makeHandle(mine, throttle, onData, () => {
      if (!mine.listeners.size) setTimeout(() => mine.listeners.size || drop(mine), linger)
    })
  }

  function drop(s: Subscription) {
    if (subscriptions.get(s.href) !== s) return
    subscriptions.delete(s.href)
    if (open && ![...subscriptions.values()].some((other) => other.key === s.key)) socket.send(JSON.stringify({ type: 'unsubscribe', url: s.path }))
    if (!subscriptions.size && socket) {
      const old = socket
      socket = undefined
      open = false
      old.close()
    }
  }

  return {
    watch,
    fetch: (input, init) => (options.fetch ?? fetch)(input, init),
    close() {
      closed = true
      clearTimeout(timer)
      for (const s of subscriptions.values()) set(s, 'ended')
      subscriptions.clear()
      socket?.close()
      socket = undefined
    },
  }
}
