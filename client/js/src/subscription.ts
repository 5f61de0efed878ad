import type { Operation, PollbridgeError, State, Status } from './types.js'
import { apply, merge } from './apply.js'
import { share } from './share.js'

/** A message of the protocol about one URL. */
export interface Message {
  type: 'snapshot' | 'patch' | 'current' | 'stale' | 'end' | 'alias' | 'error' | string
  url?: string
  for?: string
  from?: string
  version?: string
  at?: string
  format?: string
  data?: any
  patch?: any
  error?: PollbridgeError
}

/** One who is told of changes. */
export interface Listener {
  changed(state: State<any>, patch?: Operation[]): void
  throttle: number
}

/** What a client holds of one URL. */
export interface Subscription {
  href: string
  path: string // as the server is asked
  key: string // as the server calls it
  state: State<any>
  lines?: string[] // of a text
  listeners: Set<Listener>
  told: boolean // by the socket that is open now
  asked: boolean // for other headers, since it was last told
  sent?: number // throttle, to the server
  stop?: AbortController // of polling
  headers?: Record<string, string>
}

/** Calls back, whatever becomes of it. */
export function safely(f: () => void) {
  try {
    f()
  } catch (error) {
    queueMicrotask(() => { throw error })
  }
}

/** Makes a state known, if it is another. */
export function set(s: Subscription, status: Status, change: Partial<State> = {}, patch?: Operation[]) {
  const old: any = s.state
  const next: any = { ...old, error: undefined, ...change, status }
  if (Object.keys(next).every((k) => next[k] === old[k] || (k === 'at' && +next[k] === +old[k]) || (k === 'error' && next[k] && old[k] && next[k].code === old[k].code && next[k].message === old[k].message))) return
  s.state = next
  for (const l of [...s.listeners]) safely(() => l.changed(next, patch))
}

/** Takes in a document that came whole. */
export function replace(s: Subscription, m: { version?: string; at?: Date; data: any }, lines?: string[]) {
  s.lines = lines
  const data = share(s.state.data, m.data)
  set(s, 'live', { version: m.version, at: m.at, data }, data === s.state.data ? undefined : [{ op: 'replace', path: '', value: data }])
}

/** Takes in what is said about the document. Returns false where it does not fit, and a whole one is needed. */
export function take(s: Subscription, m: Message): boolean {
  const { version } = m, at = m.at ? new Date(m.at) : undefined, old = s.state
  if (m.type === 'snapshot') replace(s, { version, at, data: m.format === 'lines' ? m.data.join('') : m.data }, m.format === 'lines' ? m.data : undefined)
  else if (m.type === 'stale') set(s, 'stale', { error: m.error })
  else if (m.type === 'current') {
    if (version !== old.version) return false
    set(s, 'live', { at })
  } else if (m.type === 'patch') {
    if (m.from !== old.version) return false
    try {
      const base = s.lines || old.data
      const next = m.format === 'merge-patch' ? merge(base, m.patch) : apply(base, m.patch)
      if (s.lines) replace(s, { version, at, data: next.join('') }, next)
      else set(s, 'live', { version, at, data: next }, m.format ? [{ op: 'replace', path: '', value: next }] : m.patch)
    } catch {
      return false
    }
  }
  return true
}
