/** What `window.pollbridgeShim` may hold before the script runs; each is also an attribute of its tag, such as data-include. */
export interface ShimOptions {
  /** Only URLs that begin so, or match. Default: all. */
  include?: (string | RegExp)[]
  /** No URL that begins so, or matches. What is written there is no reason for doubts. */
  exclude?: (string | RegExp)[]
  /** Other origins that pollbridge stands before. */
  origins?: string[]
  /** Path of the socket there. Default: /.pollbridge/socket. */
  socket?: string
  /** Tell in the console and in a corner of the page what was answered from where. */
  debug?: boolean
}

const script = document.currentScript as HTMLScriptElement | null
const given: ShimOptions = (window as any).pollbridgeShim || {}
const data = script?.dataset || {}
const list = (name: 'include' | 'exclude' | 'origins'): any[] => given[name] || data[name]?.split(/[\s,]+/).filter(Boolean) || []

/** Some script has run before this one: not the one that holds its options, nor what runs later, or is none. */
export const late = document.querySelectorAll('script:not([defer],[type=module],[type$=map],[type$=json])')[+!!(window as any).pollbridgeShim] !== script
export const debug = given.debug || data.debug !== undefined
export const socketPath = given.socket || data.socket || '/.pollbridge/socket'

const include = list('include')
const exclude = list('exclude')
const origins = [location.origin, ...list('origins').map((origin) => new URL(origin).origin)]

const matches = (url: URL) => (pattern: string | RegExp) =>
  typeof pattern === 'string' ? url.href.startsWith(new URL(pattern, location.href).href) : pattern.test(url.href)

export const isExcluded = (url: URL) => exclude.some(matches(url))

/** Reports whether a URL is on an origin that pollbridge stands before. */
export const isOurs = (url: URL) => origins.includes(url.origin)

export const isIncluded = (url: URL) => !include.length || include.some(matches(url))
