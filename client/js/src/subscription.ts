import type { Operation, PollbridgeError, State, Status } from './types.js'
import { apply, merge } from './apply.js'
import { share } from './share.js'

/** A message of the protocol. */
export interface Message {
  type: string
  url?: string // none: it came by polling
  for?: string
  from?: string
  version?: string | undefined
  at?: string | null | undefined
  format?: string | false | undefined
  data?: any
  patch?: any
  error?: PollbridgeError
}

/** One who is told of changes, and throws nothing. */
export interface Listener {
  changed(state: State<any>, patch?: readonly Operation[]): void
  throttle: number
}

/** What a client holds of one URL, and how it comes by it. */
export interface Subscription {
  readonly href: string
  readonly path: string // as the server is asked
  key: string // as the server calls it
  state: State<any>
  readonly listeners: Set<Listener>
  type?: string | null | undefined // Content-Type, where it is known
  text?: unknown // the document is text, and its patches are about its lines
  told?: boolean // by the socket that is open now
  asked?: boolean // for other headers, since it was last told
  throttle?: number | undefined // as the server was told
  headers?: Record<string, string> | undefined // that were sent last
  stop?: (() => void) | undefined // ends the polling that goes on
}

const facts = ({ status, version, at, error }: State) => '' + [status, version, at, error?.code, error?.message]

/** Makes a state known, where it is another than before. */
export function set(s: Subscription, status: Status, change?: Partial<State>, patch?: readonly Operation[]) {
  const old = s.state, state: State<any> = { ...old, error: undefined, ...change, status }
  if (old.data === state.data && facts(old) === facts(state)) return
  s.state = state
  for (const listener of [...s.listeners]) listener.changed(state, patch)
}

/** Takes in a message. Returns false where it does not fit what is held: then the whole document is needed. */
export function take(s: Subscription, { type, from, version, at, format, data, patch, error }: Message): boolean {
  const old = s.state
  let operations: Operation[] | undefined
  if (type === 'stale') set(s, type, { error: error! })
  else if (type === 'current') {
    if (version !== old.version) return false
    set(s, 'live', at ? { at: new Date(at) } : {})
  } else {
    if (type === 'snapshot') {
      s.text = format
      if (format === 'lines') data = data.join('')
    } else if (type !== 'patch') return true
    else if (from !== old.version) return false
    else {
      try {
        if (s.text) data = apply(old.data.match(/[^\n]*\n|[^\n]+/g) || [], patch).join('')
        else if (format) data = merge(old.data, patch)
        else data = apply(old.data, (operations = patch))
      } catch {
        return false
      }
    }
    if (!operations) {
      data = share(old.data, data)
      operations = [{ op: 'replace', path: '', value: data }]
    }
    const same = data === old.data
    set(s, 'live', { data, version, at: (same && old.at) || new Date(at!) }, same ? undefined : operations)
  }
  return true
}
