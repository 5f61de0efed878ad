export type Header = [name: string, value: string]

/** A response as it came from the network, or as it would have come. */
export interface Answer {
  url: string
  status: number
  statusText: string
  /** End-to-end headers as scripts are shown them: names in lower case, sorted. */
  headers: Header[]
  text?: string // unknown where the page read it as something else
  type: ResponseType
  started: number // performance.now() when it was asked for
  date: number // Date.now() then, which goes on while the machine sleeps
  version?: string // of the document that it is, once that is known
}

export const encode = (text: string) => new TextEncoder().encode(text)

export const header = ({ headers }: Answer, name: string) => headers.find((h) => h[0] === name)?.[1] ?? null

export const essence = (a: Answer) => header(a, 'content-type')!.split(';')[0]!

/** The version by which pollbridge calls what it answers a GET with. */
export const tag = (a: Answer) => /^(?:W\/)?"([\w-]{16,})"$/.exec(header(a, 'etag') || '')?.[1]

/** Reports whether a response may be told again: a whole document that is text, in UTF-8. */
export const keepable = (a: Answer) =>
  a.status === 200 && /^[^;]*(json|text|xml|script|csv)(?!.*charset=(?!"?utf-?8))/i.test(header(a, 'content-type') || '') && essence(a) !== 'text/event-stream'

// Beginnings of the names of headers that do not depend on the document. Of any other (a count of pages, a cursor)
// nobody knows what it is for the next document.
const inert = /^(content-(type|len|enc|lang|sec)|date$|age$|etag|expires|pragma|cache-|pollbridge-|vary|server|via|connection|keep-|transfer-|acce|alt-svc|strict-|referrer-|permissions-|cross-origin-|x-(powered|content-type|frame|xss|request-id|corr|runtime|cache|amz)|cf-|nel|report)/

/** Reports whether a document that came another way would have come with the same headers. */
export const plain = (a: Answer) => a.headers.every((h) => inert.test(h[0])) && (!header(a, 'etag') || a.version === tag(a))

/** The answer that the network would give now, with the document that is live. */
export function renew(a: Answer, text: string, version: string, at: string): Answer {
  const etag = header(a, 'etag')
  const fresh: any = {
    __proto__: null,
    etag: a.version === tag(a) ? etag!.replace(/"[^"]*/, '"' + version) : etag,
    date: new Date(Date.parse(header(a, 'date')!) + performance.now() - a.started).toUTCString(),
    age: 0,
    'pollbridge-at': at,
    'cache-status': 'pollbridge; hit; detail=shim',
    'content-length': header(a, 'content-encoding') ? undefined : encode(text).length,
  }
  return { ...a, text, headers: a.headers.map(([name, value]) => [name, '' + (fresh[name] ?? value)]) }
}
