import { type Client, createClient, type Handle, type Options } from './index.js'

// A URL is polled if it is asked for again within the longest pause, and is not
// any more after some pauses of its own length.
const longest = 90_000
const shortest = 5_000
const pauses = 4

// What several ask for at once is asked for once.
const moment = 50

// Where watching has ended, it is tried again after this time.
const rest = 60_000

interface Poll {
  handle?: Handle
  last: number // asked for
  notBefore: number // to be watched
  timer?: ReturnType<typeof setTimeout>
}

/** A `fetch` that watches what is polled. */
export interface PolledFetch {
  (...args: Parameters<typeof globalThis.fetch>): Promise<Response>
  /** Takes note of a GET that is about to be sent, and reports whether its answer is live already. */
  asks(url: string | URL): boolean
  /** Forgets all documents, as when the user logs out. */
  close(): void
}

/**
 * A `fetch` that watches what is polled: from its second GET on a URL is
 * watched, and later ones are answered from the live document, until they
 * cease. Where no pollbridge is in front, and for what none of its rules
 * matches, it is plain `fetch`, and asks for nothing that it is not asked for.
 * It has a client of its own, made with the options.
 */
export function createFetch(options: Options = {}): PolledFetch {
  const polls = new Map<string, Poll>()
  const network: typeof globalThis.fetch = (input, init) => (options.fetch ?? globalThis.fetch)(input, init)
  const home = origin(options)
  let client: Client | undefined

  let asking = false // the page is

  // A client polls what it cannot watch. This one must not: what the page asks
  // for may be a queue, of which each request takes one.
  const getClient = () =>
    (client ??= createClient({
      ...options,
      fetch: (input, init) => (asking ? network(input, init) : Promise.reject(new TypeError('the page has not asked'))),
    }))

  const open = (url: URL, poll: Poll) => {
    const handle = (poll.handle = getClient().watch(url))
    handle.subscribe(({ status, error }) => {
      if (status !== 'ended' && error?.code !== 'unreachable') return
      handle.close() // refused, or there is no pollbridge, or no rule for this
      poll.handle = undefined
      poll.notBefore = Date.now() + rest
    })
  }

  const asks = (input: string | URL): boolean => {
    let url: URL
    try {
      url = new URL(input, globalThis.document?.baseURI ?? home)
    } catch {
      return false // fetch says what is wrong with it
    }
    if (url.origin !== home) return false
    url.hash = ''
    const now = Date.now()
    const poll: Poll = polls.get(url.href) ?? { last: -Infinity, notBefore: 0 }
    polls.set(url.href, poll)
    const gap = now - poll.last
    if (gap > moment) {
      poll.last = now
      if (gap < longest && !poll.handle && now >= poll.notBefore) open(url, poll)
      clearTimeout(poll.timer)
      const end = () => {
        polls.delete(url.href)
        poll.handle?.close()
      }
      poll.timer = setTimeout(end, Math.min(longest, Math.max(shortest, pauses * gap)))
    }
    return poll.handle?.status === 'live'
  }

  const fetch: typeof globalThis.fetch = (input, init) => {
    if (!home) return network(input, init)
    const request = input instanceof Request ? input : undefined
    if (/^get$/i.test(init?.method ?? request?.method ?? 'GET')) asks(request?.url ?? (input as string | URL))
    asking = true
    try {
      return getClient().fetch(input, init) // which has called `network` when it returns, if it ever does
    } finally {
      asking = false
    }
  }

  const close = () => {
    for (const { timer } of polls.values()) clearTimeout(timer)
    polls.clear()
    client?.close()
    client = undefined
  }

  return Object.assign(fetch, { asks, close })
}

// Where pollbridge is; undefined where there is no page, or one from nowhere.
function origin({ url = '', origin }: Options): string | undefined {
  try {
    const home = new URL(url, origin ?? globalThis.document?.baseURI ?? globalThis.location?.href).origin
    return home === 'null' ? undefined : home.replace(/^ws/, 'http')
  } catch {
    return undefined
  }
}

/** `createFetch` for the page that it is on. */
export const fetch: PolledFetch = createFetch()
