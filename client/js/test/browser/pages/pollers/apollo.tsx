import { ApolloClient, gql, HttpLink, InMemoryCache } from '@apollo/client'
import { ApolloProvider, useQuery } from '@apollo/client/react'
import { createRoot } from 'react-dom/client'
import { type Document, interval, show, url } from './poller.js'

const QUERY = gql`
  query Document {
    document {
      n
    }
  }
`

/** Polls with POST, as HttpLink does by default, or with GET. */
export function poll(useGETForQueries: boolean): void {
  const client = new ApolloClient({ link: new HttpLink({ uri: url, useGETForQueries }), cache: new InMemoryCache() })

  function App() {
    show(useQuery<{ document: Document }>(QUERY, { pollInterval: interval }).data?.document)
    return null
  }

  createRoot(document.createElement('div')).render(
    <ApolloProvider client={client}>
      <App />
    </ApolloProvider>,
  )
}
