import { apply, merge } from '../apply.js'
import type { Message } from '../subscription.js'
import { protect } from './exact.js'
import { socketPath } from './options.js'
import type { Asked } from './request.js'

// The shim's connection lives by the page's polls. Where it fails they go to the network, and the next of them opens it
// again: there is nothing to fall back to, to keep alive or to wake up.

const second = 1000

/** A document that pollbridge keeps up to date. */
export interface Live {
  readonly asked: Asked
  url: string // as the server calls it
  isLive: boolean // what is held is what the API says, as far as pollbridge knows
  version?: string | undefined
  at?: string
  data?: any // with its numbers protected; of a text, its lines
  isText?: boolean
  isOrdered?: boolean // the members of objects are in the API's order
  /** Sees to it that there is a connection, or soon will be. */
  wake(): void
  close(): void
  /** Called when the document, or that it is live, has changed. */
  changed(isNew: boolean): void
  /** Called when the server has ended it. */
  ended(code: string): void
}

type Connection = ReturnType<typeof makeConnection>

const connections: Record<string, Connection> = {}

function makeConnection(url: string, headers: Record<string, string> | undefined) {
  const lives = new Set<Live>()
  let socket: WebSocket | undefined
  let opened = 0, tries = 0, notBefore = 0

  const say = (type: string, { asked: { spelled: url }, version }: Live) => {
    if (socket?.readyState === 1) socket.send(JSON.stringify({ type, url, version, headers }))
  }

  function wake() {
    if (socket || Date.now() < notBefore) return
    socket = new WebSocket(url, 'pollbridge.v1')
    socket.onopen = () => {
      opened = Date.now()
      for (const live of lives) say('subscribe', live)
    }
    socket.onmessage = ({ data }) => {
      try {
        receive(JSON.parse(protect(data)))
      } catch {
        lost() // what cannot be understood
      }
    }
    socket.onclose = lost
  }

  function receive(m: Message) {
    for (const live of [...lives]) {
      if (m.type === 'alias' && m.for === live.asked.spelled) live.url = m.url!
      else if (m.url === live.url && !take(live, m)) {
        live.version = undefined // the whole document is needed
        say('subscribe', live)
      }
    }
  }

  /** The next poll after a delay (full jitter) comes back. */
  function lost() {
    if (opened && Date.now() - opened > 5 * second) tries = 0
    notBefore = Date.now() + Math.random() * Math.min(300 * second, 500 * 2 ** tries++)
    hangUp()
  }

  function hangUp() {
    if (!socket) return
    socket.onopen = socket.onmessage = socket.onclose = null
    socket.close()
    socket = undefined
    opened = 0
    for (const live of lives) become(live, false)
  }

  /** Takes in a message. Returns false where it does not fit what is held. */
  function take(live: Live, { type, from, version, at, format, data, patch, error }: Message): boolean {
    if (type === 'end') {
      if (error) { // else it is the end of one before, that was asked for
        lives.delete(live)
        live.ended(error.code)
      }
      return true
    }
    if (type === 'patch') {
      if (!live.version || from !== live.version) return !live.version // it is under way
      try {
        data = format ? merge(live.data, patch) : apply(live.data, patch)
      } catch {
        return false
      }
      // A member that is added to an object comes last, wherever the API has it.
      if (format || patch.some((o: any) => /^[amc]/.test(o.op) && !/\/(0|[1-9]\d{0,8})$/.test(o.path))) live.isOrdered = false
    } else if (type === 'snapshot') {
      live.isText = format === 'lines'
      live.isOrdered = true
    } else {
      if (type === 'current' && version !== live.version) return false
      if (/stale|current/.test(type)) become(live, type === 'current')
      return true
    }
    live.data = data
    live.version = version
    live.at = at!
    become(live, true, true)
    return true
  }

  function become(live: Live, isLive: boolean, isNew = false) {
    live.isLive = isLive
    live.changed(isNew)
  }

  return {
    hangUp,
    watch(asked: Asked, changed: Live['changed'], ended: Live['ended']): Live {
      const live: Live = {
        asked, url: asked.spelled, isLive: false, wake, changed, ended,
        close() {
          if (!lives.delete(live)) return
          if (![...lives].some((other) => other.url === live.url)) say('unsubscribe', live)
          if (!lives.size) hangUp()
        },
      }
      lives.add(live)
      say('subscribe', live)
      return live
    },
  }
}

/** Watches what is asked for. Those who ask with the same headers share a connection. */
export const watch = (asked: Asked, changed: Live['changed'], ended: Live['ended']): Live =>
  (connections[asked.origin + JSON.stringify(asked.headers)] ??= makeConnection(asked.origin.replace('http', 'ws') + socketPath, asked.headers)).watch(asked, changed, ended)

/** Ends every connection. The next poll opens it again, as whoever the user then is. */
export function hangUp() {
  for (const key in connections) connections[key]!.hangUp()
}
