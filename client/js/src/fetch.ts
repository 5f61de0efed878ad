import { type Client, type Handle, fetch as read, watch } from './index.js'

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
  asked: number // last
  notBefore: number // to be watched
  timer?: ReturnType<typeof setTimeout>
}

/** A `fetch` that watches what is polled. */
export interface PolledFetch {
  (...args: Parameters<typeof globalThis.fetch>): Promise<Response>
  /** Takes note of a GET that is about to be sent, and reports whether its answer is live already. */
  asks(url: string | URL): boolean
}

/**
 * A `fetch` for a client that watches what is polled: from its second GET on a
 * URL is watched, and later ones are answered from the live document, until
 * they cease. Where no pollbridge is in front, and for what none of its rules
 * matches, it is plain `fetch`. `origin` is where pollbridge is; what is
 * elsewhere is not watched.
 */
export function createFetch(client: Pick<Client, 'fetch' | 'watch'>, origin: string | undefined = globalThis.location?.origin): PolledFetch {
  const polls = new Map<string, Poll>()

  const open = (url: URL, poll: Poll) => {
    const handle = (poll.handle = client.watch(url))
    handle.subscribe(({ status, data, version }) => {
      if (status !== 'ended' && (data === undefined || version !== undefined)) return
      handle.close() // refused, or polled: there is no pollbridge, or no rule for this
      poll.handle = undefined
      poll.notBefore = Date.now() + rest
    })
  }

  const asks = (input: string | URL): boolean => {
    let url: URL
    try {
      url = new URL(input, globalThis.document?.baseURI ?? origin)
    } catch {
      return false // fetch says what is wrong with it
    }
    if (url.origin !== origin) return false
    url.hash = ''
    const now = Date.now()
    const poll: Poll = polls.get(url.href) ?? { asked: -Infinity, notBefore: 0 }
    polls.set(url.href, poll)
    const gap = now - poll.asked
    if (gap > moment) {
      poll.asked = now
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
    const request = input instanceof Request ? input : undefined
    if (/^get$/i.test(init?.method ?? request?.method ?? 'GET')) asks(request?.url ?? (input as string | URL))
    return client.fetch(input, init)
  }
  return Object.assign(fetch, { asks })
}

/** `createFetch` of the default client. */
export const fetch: PolledFetch = createFetch({ fetch: read, watch })
