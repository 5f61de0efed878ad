/**
 * How true what a handle shows is at present.
 *
 * - `connecting`: nothing has been received yet
 * - `live`: this is what the API says
 * - `stale`: the API, or the way to it, fails; the last good document stays
 * - `offline`: the browser has no network; the last good document stays
 * - `ended`: nothing more will come; `error` says why, if it was not `close()`
 */
export type Status = 'connecting' | 'live' | 'stale' | 'offline' | 'ended'

/** Programs go by `code`, see docs/protocol.md; `message` is for people. */
export interface PollbridgeError {
  readonly code: string
  readonly message: string
  /** The API's status, where one is the cause. */
  readonly status?: number
}

/** What is known of a URL. It is never changed: when anything in it does, there is another one. */
export interface State<T = unknown> {
  /** The document; text is a string. Parts that did not change are the same objects as before. */
  readonly data: T | undefined
  readonly status: Status
  readonly version?: string
  /** When the API was seen to say this. */
  readonly at?: Date
  /** Of `stale` and `ended`. */
  readonly error?: PollbridgeError
}

/** One operation of a JSON Patch (RFC 6902). */
export interface Operation {
  op: 'add' | 'remove' | 'replace' | 'move' | 'copy' | 'test'
  path: string
  from?: string
  value?: unknown
}

/** A minimal observable, as RxJS and others take it in `from`. */
export interface Observable<S> {
  subscribe(observer: { next?: (value: S) => void; complete?: () => void } | ((value: S) => void)): { unsubscribe(): void }
}

/** One watched URL. Its functions need no `this`. */
export interface Handle<T = unknown> extends AsyncIterable<State<T>> {
  /** For RxJS and its like. The key is Symbol.observable, where there is one. */
  '@@observable'(): Observable<State<T>>
  /** Absolute, as it is watched. */
  readonly url: string
  readonly status: Status
  /** Milliseconds since `at`; Infinity before the first document. */
  readonly age: number
  /** Calls back after each change, not at once. Returns what ends that. */
  subscribe(listener: (state: State<T>) => void): () => void
  /** The same object until something changes. */
  getSnapshot(): State<T>
  /** Calls back with each change of the document, as a JSON Patch; one that came whole, or as text, is one `replace` of "". */
  onPatch(listener: (patch: Operation[], state: State<T>) => void): () => void
  /** Ends this handle. Leaving a `for await` loop over it does the same. */
  close(): void
}

/** What is used of a WebSocket: `ws` and a browser's have it. */
export type WebSocketClass = new (url: string, protocols?: string) => any

export interface Options {
  /** Of the socket. Default: /.pollbridge/socket where the page is from. */
  url?: string
  /** What relative URLs are relative to. Default: the page, or where the socket is if that is another origin. */
  origin?: string
  WebSocket?: WebSocketClass
  fetch?: typeof fetch
  /** What to send along, such as a token. Asked before each request, and again when one is refused as `unauthorized`. */
  headers?: (url: string) => Record<string, string> | undefined | Promise<Record<string, string> | undefined>
  /** Milliseconds between plain polls, where there is no pollbridge. Default: 5000. */
  interval?: number
  /** Which to use, in this order where one fails. Default: all. */
  transports?: ('websocket' | 'events' | 'poll')[]
  /** One socket for all tabs of the browser, through a SharedWorker. */
  shared?: boolean
  /** Milliseconds that a URL is kept after its last handle was closed. Default: 2000. */
  linger?: number
}

export interface WatchOptions {
  /** At most one change in so many milliseconds, the newest. */
  throttle?: number
}

export interface Client {
  /** Watches a URL. `onData` gets each document: the present one, if there is one, and all that follow. */
  watch<T = any>(url: string | URL, onData?: (data: T, state: State<T>) => void, options?: WatchOptions): Handle<T>
  /** `fetch`, answered from what is watched where that is live; all else goes to the network. */
  fetch: typeof fetch
  /** Ends all handles, and forgets all documents. */
  close(): void
}
