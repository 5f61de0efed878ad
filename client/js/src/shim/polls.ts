import { type Answer, type Header, essence, plain, renew, tag } from './answer.js'
import { protect, spell } from './exact.js'
import { type Live, hangUp, watch } from './live.js'
import { note } from './notes.js'
import { type Asked, read } from './request.js'

const second = 1000
const long = 300 * second
const now = () => performance.now()

type Poll = ReturnType<typeof makePoll>

/** One URL, with the headers that it is asked for with, and what is known of it. */
function makePoll({ url, path }: Asked) {
  // When it was asked for, and when the network had answered.
  let n = 0, first = 0, last = 0, answered = 0
  let tight = 0 // how sure it is that an answer brings about the next request

  let live: Live | undefined
  let since = 0 // watched
  let rests = 0, why = '' // until when it is not watched again, and the reason
  let real: Answer | undefined // the last of the network
  let proved = false // that the network says what is live
  let versions: string[] = [] // that were live on this connection, the newest last
  let spelt: unknown, text: string | undefined // the live document, as text
  let burst = 0 // answers since the last look

  /** Milliseconds between two requests, on average. */
  const pace = () => (n > 1 ? (last - first) / (n - 1) : 0)

  /** Ends the watching; where there is a reason it does not begin again for a while. */
  function leave(reason = '') {
    live?.close()
    live = spelt = real = undefined
    proved = false
    versions = []
    n = 0
    why = reason
    rests = reason ? now() + (reason === 'unauthorized' ? 30 * second : long) : 0
  }

  /** Holds the network's last answer against what is live: only what is the same resource has the same versions. */
  function prove() {
    if (proved || !live?.isLive || !real || real.started < doubted || due) return
    const named = tag(real)!
    if (versions.includes(named)) real.version = named
    else if (says(real.text)) real.version = live.version!
    proved = !!real.version
  }

  function says(body?: string) {
    try {
      return body !== undefined && spelling() === (live!.isText ? body : spell(JSON.parse(protect(body))))
    } catch {
      return false
    }
  }

  /** The live document, as text. */
  function spelling() {
    const { data, isText } = live!
    if (spelt !== data) text = isText ? data.join('') : spell(data)
    spelt = data
    return text!
  }

  return {
    url, leave,
    isWatched: () => !!live,
    isRepeated: () => !!live || n > 1,

    /** Takes note of a request. Those of the same moment are one. */
    count() {
      const t = now(), gap = t - last
      live?.wake()
      if (n && gap < 100) return
      if (gap > long || (n > 1 && gap > 4 * pace() + second)) n = 0
      tight = t - answered < 20 ? tight + 2 : tight && tight - 1
      if (!n++) first = t
      last = t
    },

    /** Begins to watch what was asked for often enough. */
    begin(asked: Asked) {
      if (live || n < 3 || tight > 2 || now() < rests) return
      since = now()
      live = watch(asked, (isNew) => {
        const { isLive, version, url: known } = live!
        if (isLive && asked.spelled !== path && known !== path) return leave('another each time') // to the server
        if (isLive) versions = [...versions.slice(-7), version!]
        else versions = [], proved = false
        prove()
        if (isNew && real && real.version !== version) document.dispatchEvent(new CustomEvent('pollbridge:update', { detail: { url } }))
      }, (code) => {
        if (code === 'unauthorized') forget()
        leave(code)
      })
      live.wake()
    },

    doubt() { proved = false },

    /** Takes note of what the network has answered. */
    heard(answer?: Answer) {
      real = answer?.text && /^\uFEFF|\uFFFD/.test(answer.text) ? undefined : answer // else its bytes are others than the text's
      proved = false
      prove()
    },
    ended() { answered = now() },

    tidy() {
      const t = now()
      burst = 0
      if (t - last > Math.max(10 * second, 3 * pace())) leave()
      else if (t - since > 15 * second && !live!.version) leave('no document')
    },

    /** The answer to a request, or why the network has to be asked. */
    answer(): Answer | string {
      const t = now()
      if (!live) return t < rests ? why : 'new'
      const { isLive, version, at, isText, isOrdered } = live
      if (!isLive) return 'not live'
      if (!real || !proved) return 'unproved'
      if (Math.max(t - real.started, Date.now() - real.date) > Math.max(30 * second, 5 * pace())) return 'check'
      if (++burst > 100) return 'burst'
      const same = real.version === version
      if (!same && !plain(real)) return 'headers'
      let text = same ? real.text : undefined
      if (text === undefined) {
        text = spelling()
        if (!isOrdered || text.includes('\uFFFD') || (isText && /json/.test(essence(real)))) return 'spelling'
      }
      return renew(real, text, version!, at!)
    },
  }
}

const polls = new Map<string, Poll>()
let doubted = 0 // when what is held may have become another's, or old
let due = false // connections are to be opened anew
let writing = 0 // requests
let renewed = -long
let cookies: string | undefined
const statistics = /_(ga|gid|gcl|fbp|hj|pk_|uet|cl)[^;]*/g // cookies that change all the time, and are nobody's login
let sweeper: any

const watched = () => [...polls.values()].filter((p) => p.isWatched())

/**
 * After a write, or when another user may have logged in: nothing is answered
 * before the network has been asked, over connections that are opened anew,
 * because one is its opener's for as long as it lasts.
 */
export function doubt() {
  doubted = now()
  for (const poll of watched()) {
    poll.doubt()
    due = true
  }
}

/** Forgets every document. */
export function forget() {
  for (const poll of watched()) poll.leave()
}

function sweep() {
  for (const poll of watched()) poll.tidy()
  sweeper = watched().length ? setTimeout(sweep, 2 * second) : 0
}

/** The poll that a GET belongs to, counted; undefined where it cannot be one. */
function pollOf(target: URL, headers: Iterable<Header>): Poll | undefined {
  const asked = read(target, headers)
  if (!asked) return
  if (cookies !== (cookies = document.cookie.replace(statistics, ''))) doubt()
  if (due && !writing && now() - renewed > 10 * second) {
    due = false
    renewed = now()
    hangUp()
  }
  const { key } = asked
  const poll = polls.get(key) || makePoll(asked)
  polls.delete(key)
  polls.set(key, poll) // at the end
  for (const [key, poll] of polls) if (polls.size > 200 && !poll.isWatched()) polls.delete(key)
  poll.count()
  if (watched().length < 50) poll.begin(asked)
  sweeper ||= setTimeout(sweep, 2 * second)
  return poll
}

/** A request that a page makes to an origin of ours. */
export interface Round {
  answer?: Answer | undefined // from memory
  started: number
  date: number
  /** Has to be called with the status of what the network has answered, and with what makes a copy of it. */
  ended(status: number, copy?: () => Answer | undefined | Promise<Answer | undefined>): void
}

/** Takes note of a request; `headers` are those of a GET that may be answered from memory. */
export function begin(method: string, url: URL, headers?: Iterable<Header>): Round {
  const writes = !/^(get|head|options|trace)$/i.test(method)
  if (writes) doubt(), writing++
  const poll = headers && /^get$/i.test(method) ? pollOf(url, headers) : undefined
  const answer = poll?.answer()
  const repeated = poll?.isRepeated()
  if (repeated) note(poll!.url, typeof answer === 'string' ? answer : undefined)
  return {
    answer: typeof answer === 'object' ? { ...answer, url: url.href.split('#')[0]! } : undefined,
    started: now(),
    date: Date.now(),
    async ended(status, copy) {
      if (writes) doubt(), writing--
      if (status === 401) forget()
      poll?.ended()
      try {
        if (poll) poll.heard(copy && poll.isWatched() ? await copy() : undefined)
      } catch {
        // It was aborted, or broke off.
      }
    },
  }
}
