import { ApolloLink } from '@apollo/client'
import { fallbackHttpConfig, rewriteURIForGET, selectHttpOptionsAndBody } from '@apollo/client/link/http'
import { Observable } from 'rxjs'
import { type Client, type Handle, watch } from './index.js'

// How often a watched query is looked for that no component shows any more.
const sweepInterval = 5000

interface Watched {
  handle: Handle
  operation: ApolloLink.Operation
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
    for (const [url, { handle, operation }] of watched) {
      if (isShown(operation)) continue
      handle.close()
      watched.delete(url)
    }
    if (watched.size === 0) timer = clearInterval(timer) as undefined
  }

  const open = (url: string, operation: ApolloLink.Operation): Handle => {
    const known = watched.get(url)
    if (known) return known.handle
    const handle = client.watch<ApolloLink.Result>(url)
    watched.set(url, { handle, operation })
    timer ??= setInterval(sweep, sweepInterval)
    let seen: unknown
    handle.subscribe(({ data: result, status }) => {
      if (status === 'ended') watched.delete(url)
      if (result === undefined || result === seen) return
      const begun = seen !== undefined // the first is the answer to the query
      seen = result
      if (begun && isShown(operation) && result.data && !('errors' in result)) {
        const { query, variables } = operation
        operation.client.writeQuery({ query, variables, data: result.data, overwrite: true })
      }
    })
    seen = handle.getSnapshot().data
    return handle
  }

  return new ApolloLink((operation, forward) => {
    if (!operation.getContext().watch || operation.operationType !== 'query') return forward(operation)
    const { body } = selectHttpOptionsAndBody(operation, fallbackHttpConfig)
    const { newURI: url } = rewriteURIForGET(uri, body)
    if (url === undefined) return forward(operation)

    return new Observable((observer) => {
      const handle = open(url, operation)
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
      return stop
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
