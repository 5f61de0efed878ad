import { type Answer, encode, keepable } from './answer.js'
import { isExcluded, isOurs } from './options.js'
import { type Round, begin } from './polls.js'
import { later, wrap } from './wrap.js'

/** Gives a response what its constructor cannot. As one of the network's, it cannot be read once its request is aborted. */
function dress(response: any, a: Answer, signal: AbortSignal): Response {
  const { clone, headers } = response
  const hide = (target: object, name: string, value: unknown) => Object.defineProperty(target, name, { value, configurable: true, writable: true })
  hide(response, 'url', a.url)
  hide(response, 'type', a.type)
  hide(response, 'clone', () => dress(clone.call(response), a, signal))
  for (const name of ['append', 'delete', 'set']) hide(headers, name, () => { throw new TypeError('Headers are immutable') })
  for (const name of ['arrayBuffer', 'blob', 'bytes', 'formData', 'json', 'text']) {
    const read = response[name]
    if (read) hide(response, name, () => (signal.aborted && !response.bodyUsed ? Promise.reject(signal.reason) : read.call(response)))
  }
  return response
}

/** What may be told again of a response. Its body is copied before anybody else has begun to read it. */
async function copy(response: Response, { started, date }: Round): Promise<Answer | undefined> {
  const { url, status, statusText, type } = response
  const answer: Answer = { url, status, statusText, type, headers: [...response.headers], started, date }
  if (response.redirected || !keepable(answer)) return
  answer.text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(await response.clone().arrayBuffer())
  return answer
}

function ask(input: any, init: any = {}): [Round, AbortSignal?] | undefined {
  const method = '' + (init.method ?? input.method ?? 'GET')
  const url = new URL(input.url ?? input, document.baseURI)
  const ours = isOurs(url)
  if (isExcluded(url) || (!ours && (init.credentials ?? input.credentials) !== 'include')) return
  // Headers may be an iterator, which can be read only once: by the network.
  if (!ours || init.headers?.next || !/^get$/i.test(method)) return [begin(method, url)]
  const { headers, signal, credentials, mode, cache, integrity, keepalive } = new Request(input, init)
  const simple = cache === 'default' && !integrity && !keepalive && !signal.aborted && mode !== 'no-cors' &&
    (credentials === 'include' || (credentials !== 'omit' && url.origin === location.origin))
  return [begin(method, url, simple ? headers : undefined), signal]
}

export function patchFetch() {
  wrap(window, 'fetch', (network, self, args) => {
    let asked: ReturnType<typeof ask>
    try {
      if (!self || self === window) asked = ask(args[0], args[1])
    } catch {
      // The network says what is wrong with it.
    }
    if (!asked) return network()
    const [round, signal] = asked, { answer, ended } = round
    if (answer) {
      return new Promise((resolve, reject) => later(() => {
        if (signal!.aborted) reject(signal!.reason)
        else resolve(dress(new Response(encode(answer.text!), answer), answer, signal!))
      }))
    }
    const promise: Promise<Response> = network()
    promise.then((response) => ended(response.status, () => copy(response, round)), () => ended(0))
    return promise
  })
}
