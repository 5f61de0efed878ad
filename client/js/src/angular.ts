import { HttpErrorResponse, type HttpEvent, type HttpHandlerFn, HttpHeaders, type HttpRequest, HttpResponse } from '@angular/common/http'
import { Observable } from 'rxjs'
import { fetch as polled, type PolledFetch } from './fetch.js'

export { watch$ } from './rxjs.js'

/**
 * An HttpInterceptorFn that answers what is polled, as JSON or text, from the
 * live document. Until a URL is live, and for everything that is not a GET,
 * requests go on to the next handler.
 *
 *     provideHttpClient(withInterceptors([watchInterceptor]))
 */
export function watchInterceptor(request: HttpRequest<unknown>, next: HttpHandlerFn, fetch: PolledFetch = polled): Observable<HttpEvent<unknown>> {
  const { method, responseType, reportProgress, urlWithParams: url } = request
  const plain = method === 'GET' && !reportProgress && (responseType === 'json' || responseType === 'text')
  if (!plain || !fetch.asks(url)) return next(request)

  return new Observable((observer) => {
    const abort = new AbortController()
    const headers = request.headers.keys().map((name): [string, string] => [name, request.headers.getAll(name)!.join(', ')])
    const credentials = request.withCredentials ? 'include' : 'same-origin'
    const fail = (error: unknown, answer: object = { status: 0, url }) => observer.error(new HttpErrorResponse({ error, ...answer }))
    fetch(url, { headers, credentials, signal: abort.signal })
      .then((response) =>
        response.text().then((text) => {
          const { ok, status, statusText } = response
          const answer = { headers: new HttpHeaders(response.headers), status, statusText, url }
          let body: unknown = text
          if (responseType === 'json') {
            try {
              body = text === '' ? null : JSON.parse(text)
            } catch (error) {
              if (ok) return fail({ error, text }, answer)
            }
          }
          if (!ok) return fail(body, answer)
          observer.next(new HttpResponse({ ...answer, body }))
          observer.complete()
        }),
      )
      .catch((error) => fail(error))
    return () => abort.abort()
  })
}
