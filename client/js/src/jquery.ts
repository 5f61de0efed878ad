import { fetch as polled, type PolledFetch } from './fetch.js'

// What is used of jQuery, which is the same from 1.5 to 4.
interface JQuery {
  ajaxTransport(dataType: string, transport: (options: any) => any): void
}

/**
 * Has jQuery answer what is polled from the live document. Until a URL is
 * live, and for everything that is not a plain GET, requests go the way they
 * go without it.
 *
 *     transport($)
 */
export function transport($: JQuery, fetch: PolledFetch = polled): void {
  $.ajaxTransport('+*', ({ type, url: asked, async, cache, username, xhrFields, mimeType }) => {
    const url = cache === false ? asked.replace(/[?&]_=\d+$/, '') : asked // what only keeps caches away makes each poll another
    if (type !== 'GET' || !async || username || xhrFields || mimeType || !fetch.asks(url)) return undefined

    const abort = new AbortController()
    return {
      send(headers: Record<string, string>, complete: (status: number, text: string, responses?: object, headers?: string) => void) {
        fetch(url, { headers, signal: abort.signal })
          .then((response) =>
            response.text().then((text) => {
              const lines = [...response.headers].map(([name, value]) => `${name}: ${value}\r\n`)
              complete(response.status, response.statusText, { text }, lines.join(''))
            }),
          )
          .catch(() => abort.signal.aborted || complete(0, 'error'))
      },
      abort: () => abort.abort(),
    }
  })
}
