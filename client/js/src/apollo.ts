import { ApolloLink } from '@apollo/client'
import { fallbackHttpConfig, rewriteURIForGET, selectHttpOptionsAndBody } from '@apollo/client/link/http'
import { Observable } from 'rxjs'
import { type Client, type Handle, watch } from './index.js'

// How often it is looked at which queries are shown. A component that comes back takes its first answer from the
// cache, and the link is not asked.
const sweepInterval = 1000

// How many queries that no component shows are known, in case that one does again.
const known = 100

interface Watched {
  handle?: Handle | undefined // while it is shown, or somebody waits for its answer
  operation: ApolloLink.Operation
  waiting: number // for its answer
}

/**
 * A link, before the HttpLink, for the queries that say so in their context:
 *
 *     useQuery(ORDERS, { context: { watch: true } })
 *
 * Such a query is watched at the URL that `useGETForQueries` would fetch, and
 * what changes is written to the cache for as long as the query is shown. All
 * other operations go on to the next link.
 */
export function watchLink(uri = '/graphql', client: Pick<Client, 'watch'> = { watch }): ApolloLink {
  const watched = new Map<string, Watched>() // by URL
  let timer: ReturnType<typeof setInterval> | undefined

  const sweep = () => {
    for (const [url, entry] of watched) {
      const { handle, operation } = entry
      if (entry.waiting || isShown(operation)) {
        if (!handle) follow(url, entry)
        continue
      }
      handle?.close()
      entry.handle = undefined
      if (watched.size > known) watched.delete(url)
    }
    if (watched.size === 0) timer = clearInterval(timer) as undefined
  }

  const follow = (url: string, entry: Watched, isAsked = false): Handle => {
    const { operation } = entry
    const handle = (entry.handle = client.watch<ApolloLink.Result>(url))
    let seen: unknown
    const push = () => {
      const { data: result, status } = handle.getSnapshot()
      if (status === 'ended') watched.delete(url)
      if (result === undefined || result === seen) return
      const isAnswer = isAsked && seen === undefined // to the query, which writes it
      seen = result
      if (!isAnswer && isShown(operation) && result.data && !('errors' in result)) {
        const { query, variables } = operation
        operation.client.writeQuery({ query, variables, data: result.data, overwrite: true })
      }
    }
    handle.subscribe(push)
    push()
    return handle
  }

  const open = (url: string, operation: ApolloLink.Operation): Watched => {
    const entry = watched.get(url) ?? { operation, waiting: 0 }
    watched.delete(url)
    watched.set(url, entry) // at the end
    timer ??= setInterval(sweep, sweepInterval)
    return entry
  }

  return new ApolloLink((operation, forward) => {
    if (!operation.getContext().watch || operation.operationType !== 'query') return forward(operation)
    const { body } = selectHttpOptionsAndBody(operation, fallbackHttpConfig)
    const { newURI: url } = rewriteURIForGET(uri, body)
    if (url === undefined) return forward(operation)

    return new Observable((observer) => {
      const entry = open(url, operation), handle = entry.handle ?? follow(url, entry, true)
      entry.waiting++
      const answer = () => {
        const { data, error, status } = handle.getSnapshot()
        if (data !== undefined) {
          observer.next(data as ApolloLink.Result)
          observer.complete()
        } else if (status === 'ended') {
          observer.error(error ?? new Error(`${url}: the subscription is over`))
        }
      }
      const stop = handle.subscribe(answer)
      answer()
      return () => {
        entry.waiting--
        stop()
      }
    })
  })
}

// Whether some component shows this query, with these variables.
function isShown({ client, operationName, variables }: ApolloLink.Operation): boolean {
  const wanted = JSON.stringify(variables)
  for (const query of client.getObservableQueries()) {
    if (query.queryName === operationName && JSON.stringify(query.variables) === wanted) return true
  }
  return false
}
