// The SharedWorker: it watches for all tabs of one user, and speaks the
// protocol to each over its port. A tab sends its lock's name first, and
// messages as the server takes them; it is sent messages as the server sends
// them, as text, and before them a 0 for open. Another number closes.
import type { Client, Handle, Operation, State } from './types.js'
import { createClient } from './client.js'

const scope: any = globalThis
const identity: string = scope.name
const tabs = new Set<Tab>()

/** A client for each set of headers: who sends others may be shown something else. */
const clients = new Map<string, { client: Client; watched: number }>()

/** Says to all who watch through it that a socket is gone; each decides for itself what to do. */
class Socket extends WebSocket {
  constructor(url: string, protocol?: string) {
    super(url, protocol)
    this.addEventListener('close', ({ code }) => {
      for (const tab of tabs) tab.end(code)
      check().catch(() => {})
    })
  }
}

/** Ends this worker where the browser has credentials that it was not made for. */
async function check() {
  const response = await fetch('/.pollbridge/identity', { cache: 'no-store' })
  if (response.ok && (await response.text()) !== identity) scope.close()
}

function clientFor(key: string, headers: Record<string, string> | undefined): Client {
  let entry = clients.get(key)
  if (!entry) {
    const url = '/.pollbridge/socket?identity=' + encodeURIComponent(identity)
    clients.set(key, (entry = { client: createClient({ url, WebSocket: Socket, transports: ['websocket'], headers: headers && (() => headers), linger: 0 }), watched: 0 }))
  }
  entry.watched++
  return entry.client
}

function leave(key: string) {
  const entry = clients.get(key)!
  if (--entry.watched) return
  clients.delete(key)
  entry.client.close()
}

class Tab {
  private watched = new Map<string, () => void>() // what ends each, by URL

  constructor(private port: MessagePort) {
    port.onmessage = ({ data }) => (typeof data === 'string' ? this.begin(data) : this.handle(data))
  }

  /** Begins once the tab holds its lock, and ends when it does not any more: closed, crashed or discarded. */
  private begin(lock: string) {
    tabs.add(this)
    this.port.postMessage(0)
    scope.navigator.locks.request(lock, () => this.end())
  }

  end(code = 0) {
    if (!tabs.delete(this)) return
    for (const end of this.watched.values()) end()
    if (code) this.port.postMessage(code)
    this.port.close()
  }

  private say(m: object) {
    this.port.postMessage(JSON.stringify(m))
  }

  private handle(m: { type: string; url: string; version?: string; headers?: Record<string, string>; throttle?: number }) {
    if (m.type === 'ping') this.say({ type: 'pong' })
    else if (m.type === 'subscribe') this.subscribe(m.url, m.version, m.headers, m.throttle)
    else if (m.type === 'unsubscribe') {
      this.watched.get(m.url)?.()
      this.say({ type: 'end', url: m.url })
    }
  }

  private subscribe(url: string, held: string | undefined, headers: Record<string, string> | undefined, throttle: number | undefined) {
    const key = JSON.stringify(headers) ?? ''
    const handle: Handle<any> = clientFor(key, headers).watch(url, undefined, throttle ? { throttle } : {})
    this.watched.get(url)?.() // after the new one has begun, so that what both watch is kept
    this.watched.set(url, () => {
      this.watched.delete(url)
      handle.close()
      leave(key)
    })

    let before = handle.getSnapshot().version // of the document that a patch is about
    let told = false
    const tell = ({ data, status, version, at, error }: State<any>, patch?: readonly Operation[]) => {
      if (!this.watched.has(url)) return
      if (status === 'ended') {
        this.watched.get(url)!()
        return this.say({ type: 'end', url, error: error ?? { code: 'shutting_down', message: 'the worker ends' } })
      }
      if (version !== undefined && version !== held) {
        if (patch && patch[0]!.path && held !== undefined && held === before) this.say({ type: 'patch', url, from: held, version, at, patch })
        else this.say({ type: 'snapshot', url, version, at, data, format: typeof data === 'string' ? 'text' : undefined })
        held = version
        told = true
      } else if (status === 'live' && !told) {
        this.say({ type: 'current', url, version, at })
        told = true
      }
      before = version
      if (status === 'stale' || status === 'offline') {
        told = false
        this.say({ type: 'stale', url, error })
      }
    }
    handle.onPatch((patch, state) => tell(state, patch))
    handle.subscribe(() => queueMicrotask(() => tell(handle.getSnapshot()))) // what onPatch has not told
    const now = handle.getSnapshot()
    if (now.status !== 'connecting') tell(now)
  }
}

scope.onconnect = (event: MessageEvent) => new Tab(event.ports[0]!)
