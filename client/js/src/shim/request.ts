import type { Header } from './answer.js'
import { isIncluded } from './options.js'

/** A GET as pollbridge would have to be asked for it. */
export interface Asked {
  key: string // what has the same key is the same resource
  url: string // without what only keeps caches away
  origin: string
  path: string // path and query of url
  spelled: string // path and query as the page spelled them
  headers: Record<string, string> | undefined // that may tell users apart
}

// The page wants the network, or a part.
const direct = /^(range|if-|cache-control|pragma|prefer|a-im|last-event)/
// What is no part of the question. All else goes along with the subscription, and a rule that does not name it in
// its vary refuses that.
const inert = /^(content-type|x-requested-with|x-[cx]srf-token|hx-|trace|baggage|sentry-|(x-)?request-id|x-correlation-id|x-datadog-|newrelic|x?-?b3)/
// Parameters that only keep caches away. That the rule drops them too is for the server to say.
const buster = /^(_|_?ts?|cb|no_?cache|cache_?bust(er)?|rnd|rand(om)?)=(\d{10,}|0?\.\d+)$/i

/** What a GET asks for; undefined where the network has to be asked. */
export function read(target: URL, given: Iterable<Header>): Asked | undefined {
  if (!isIncluded(target)) return
  const headers: Record<string, string> = Object.create(null)
  let accept = ''
  for (let [name, value] of given) {
    name = name.toLowerCase()
    if (direct.test(name)) return
    if (/^accept/.test(name)) accept += name + value
    else if (!inert.test(name)) headers[name] = name in headers ? headers[name] + ', ' + value : value
  }
  const { origin, pathname, search } = target
  const query = search.slice(1).split('&').filter((p) => !buster.test(p)).join('&')
  const path = pathname + (query && '?' + query)
  const sent = Object.keys(headers).length ? headers : undefined
  return { key: JSON.stringify([origin, path, accept, headers]), url: origin + path, origin, path, spelled: pathname + search, headers: sent }
}
