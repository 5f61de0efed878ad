import { Observable } from 'rxjs'
import { type Client, type State, watch } from './index.js'

/**
 * The states of a watched URL, beginning with the present one. Each subscriber
 * watches until it unsubscribes; a subscription that is over (`ended`) completes.
 * A failing API is a state with `error`, not an error of the Observable.
 */
export function watch$<T = unknown>(url: string, client: Pick<Client, 'watch'> = { watch }): Observable<State<T>> {
  return new Observable((observer) => {
    const handle = client.watch<T>(url)
    const push = (state: State<T>) => {
      observer.next(state)
      if (state.status === 'ended') observer.complete()
    }
    handle.subscribe(push)
    push(handle.getSnapshot())
    return () => handle.close()
  })
}
