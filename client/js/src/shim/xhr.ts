import { type Answer, type Header, encode, essence, header, keepable } from './answer.js'
import { isExcluded, isOurs } from './options.js'
import { type Round, begin } from './polls.js'
import { later, wrap } from './wrap.js'

/** One use of an XMLHttpRequest, from open() on. */
interface Call {
  method: string
  url: URL
  headers: Header[]
  odd: boolean // it cannot be answered from memory
  // Where it is answered from memory:
  answer?: Answer
  state: number // readyState
  body?: unknown // as responseType has it
}

const calls = new WeakMap<XMLHttpRequest, Call>()

const isForeign = (url: URL) => url.origin !== location.origin

const failed = { url: '', status: 0, statusText: '', text: '', headers: [] as Header[] } as Answer

const fire = (xhr: XMLHttpRequest, type: string, loaded?: number, total = 0) =>
  xhr.dispatchEvent(loaded === undefined ? new Event(type) : new ProgressEvent(type, { loaded, total, lengthComputable: total > 0 }))

/** The body as the type says that was asked for. It is the same object each time. */
function body({ responseType }: XMLHttpRequest, call: Call) {
  const { answer, state } = call
  const { text } = answer!
  if (!responseType || responseType === 'text') return state > 2 ? text : ''
  if (state < 4 || answer === failed) return null
  if (call.body === undefined) {
    const bytes = encode(text!)
    call.body = null
    try {
      call.body = responseType === 'json' ? JSON.parse(text!) : responseType === 'blob' ? new Blob([bytes], { type: essence(answer!) }) : bytes.buffer
    } catch {
      // As the network's: null.
    }
  }
  return call.body
}

/** Tells of the answer as the network would: state by state, as long as nobody aborts it or asks anew. */
function deliver(xhr: XMLHttpRequest, call: Call, answer: Answer) {
  const size = encode(answer.text!).length
  const total = header(answer, 'content-encoding') ? 0 : +header(answer, 'content-length')!
  for (const [state, type] of [[2], [3], [3, 'progress'], [4], [4, 'load'], [4, 'loadend']] as [number, string?][]) {
    const over = calls.get(xhr) !== call || call.answer !== answer
    if (over && (!type || type === 'load')) return // the others come with the event before them, whatever that has done
    if (!over) call.state = state
    fire(xhr, type || 'readystatechange', type ? (over ? 0 : size) : undefined, over ? 0 : total)
  }
}

/** What may be told again of a response that has come. */
function copy(xhr: XMLHttpRequest, asked: URL, { started, date }: Round): Answer | undefined {
  const { responseURL: url, status, statusText, responseType } = xhr
  const headers = [...xhr.getAllResponseHeaders().matchAll(/(.*?): (.*)\r/g)].map(([, name, value]): Header => [name!, value!])
  const answer: Answer = { url, status, statusText, type: isForeign(asked) ? 'cors' : 'basic', headers, started, date }
  if (url !== asked.href.split('#')[0] || !keepable(answer)) return // else it was redirected
  if (!responseType || responseType === 'text') answer.text = xhr.responseText
  return answer
}

function invalid(): never {
  throw new DOMException('not open, or sent', 'InvalidStateError')
}

export function patchXHR() {
  const { prototype } = XMLHttpRequest

  wrap(prototype, 'open', (native, xhr, [method, url, async = true, user, password]) => {
    const before = calls.get(xhr)
    calls.delete(xhr)
    try {
      const target = new URL(url, document.baseURI)
      if (!isExcluded(target)) calls.set(xhr, { method: '' + method, url: target, headers: [], odd: !async || user != null || password != null, state: 0 })
    } catch {
      // open() says what is wrong with it.
    }
    try {
      native()
    } catch (error) {
      if (before) calls.set(xhr, before)
      throw error
    }
    if (before?.answer && before.state !== 1) fire(xhr, 'readystatechange') // to the browser it was open all the time
  })

  wrap(prototype, 'send', (native, xhr: XMLHttpRequest) => {
    const call = calls.get(xhr)
    if (call?.answer) invalid()
    if (!call || (!isOurs(call.url) && !xhr.withCredentials)) return native()
    const { url, method, headers, odd } = call
    let round: Round
    try {
      const simple = isOurs(url) && !odd && xhr.responseType !== 'document' && (xhr.withCredentials || !isForeign(url))
      round = begin(method, url, simple ? headers : undefined)
    } catch {
      return native()
    }
    const { answer, ended } = round
    if (answer && !/xml/.test(essence(answer))) { // which would have to be parsed
      call.answer = answer
      call.state = 1
      fire(xhr, 'loadstart', 0)
      return later(() => deliver(xhr, call, answer))
    }
    const end = () => (calls.get(xhr) === call ? ended(xhr.status, () => copy(xhr, url, round)) : ended(0))
    xhr.addEventListener('loadend', end, { once: true })
    try {
      native()
    } catch (error) { // a synchronous one, which has no events then
      xhr.removeEventListener('loadend', end)
      ended(0)
      throw error
    }
  })

  /** Wraps what is another thing while a request is answered from memory. */
  const mine = (name: string, instead: (call: Call, native: () => any, xhr: XMLHttpRequest, arg: any) => unknown, part?: 'value' | 'get' | 'set') =>
    wrap(prototype, name, (native, xhr, [arg]) => {
      const call = calls.get(xhr)
      return call?.answer ? instead(call, native, xhr, arg) : native()
    }, part)

  mine('abort', (call, native, xhr) => {
    const ends = call.state < 4 && call.state
    call.answer = failed
    if (ends) {
      call.state = 4
      fire(xhr, 'readystatechange')
      fire(xhr, 'abort', 0)
      fire(xhr, 'loadend', 0)
    }
    call.state = 0
  })
  mine('setRequestHeader', invalid)
  mine('getResponseHeader', ({ answer, state }, native, xhr, name) => (state > 1 ? header(answer!, ('' + name).toLowerCase()) : null))
  mine('getAllResponseHeaders', ({ answer, state }) => (state > 1 ? answer!.headers.map((h) => h.join(': ') + '\r\n').join('') : ''))
  mine('withCredentials', (call, native) => (call.state ? invalid() : native()), 'set')
  for (const [name, part] of [['overrideMimeType', 'value'], ['responseType', 'set']] as const) mine(name, (call, native) => (call.state > 2 ? invalid() : native()), part)
  mine('readyState', (call) => call.state, 'get')
  for (const name of ['status', 'statusText'] as const) mine(name, ({ answer, state }) => (state > 1 ? answer! : failed)[name], 'get')
  mine('responseURL', ({ answer, state }) => (state > 1 ? answer! : failed).url, 'get')
  mine('response', (call, native, xhr) => body(xhr, call), 'get')
  mine('responseText', (call, native, xhr) => native() || body(xhr, call), 'get') // it throws for other types

  const recorded = (name: string, record: (call: Call, args: any[]) => void) =>
    wrap(prototype, name, (native, xhr, args) => {
      native()
      const call = calls.get(xhr)
      if (call) record(call, args)
    })
  recorded('setRequestHeader', (call, [name, value]) => call.headers.push(['' + name, ('' + value).trim()]))
  recorded('overrideMimeType', (call, [type]) => { call.odd ||= /charset|xml/i.test(type) }) // else the text stays the same
}
