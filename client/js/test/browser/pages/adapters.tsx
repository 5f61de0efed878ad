// Components that the tests mount and unmount: each notes what it renders.
import { ApolloClient, gql, HttpLink, InMemoryCache } from '@apollo/client'
import { ApolloProvider, useQuery as useApolloQuery } from '@apollo/client/react'
import { QueryClient, QueryClientProvider, useQuery } from '@tanstack/react-query'
import { createRoot } from 'react-dom/client'
import useSWRSubscription from 'swr/subscription'
import { watchLink } from 'pollbridge/apollo'
import { useWatch } from 'pollbridge/react'
import { subscribe } from 'pollbridge/swr'
import { watchQuery } from 'pollbridge/tanstack'

interface Document {
  n: number
}

interface Failure {
  code: string
}

/** [n, code of the error] of each render. */
type Notes = [number | undefined, string | undefined][]

function React({ url, notes }: { url: string | null; notes: Notes }) {
  const { data, error } = useWatch<Document>(url)
  notes.push([data?.n, error?.code])
  return null
}

function SWR({ url, notes }: { url: string; notes: Notes }) {
  const { data, error } = useSWRSubscription<Document, Failure>(url, subscribe)
  notes.push([data?.n, error?.code])
  return null
}

function TanStack({ url, notes }: { url: string; notes: Notes }) {
  const { data, error } = useQuery({ ...watchQuery<Document>(url), queryKey: ['mine', url], retry: false })
  notes.push([data?.n, (error as Failure | null)?.code])
  return null
}

const DOCUMENT = gql`query Document { document { n } }`

/** Its URL is /graphql, whatever it is given. */
function Apollo({ notes }: { notes: Notes }) {
  const { data, error } = useApolloQuery<{ document: Document }>(DOCUMENT, { context: { watch: true } })
  notes.push([data?.document.n, error?.message])
  return null
}

const components = { React, SWR, TanStack, Apollo }
const queryClient = new QueryClient()
const apolloClient = new ApolloClient({ link: watchLink().concat(new HttpLink({ uri: '/graphql' })), cache: new InMemoryCache() })

function mount(name: keyof typeof components, url: string) {
  const notes: Notes = []
  const root = createRoot(document.createElement('div'))
  const Component = components[name]
  const show = (url: string) =>
    root.render(
      <ApolloProvider client={apolloClient}>
        <QueryClientProvider client={queryClient}>
          <Component url={url} notes={notes} />
        </QueryClientProvider>
      </ApolloProvider>,
    )
  show(url)
  return { notes, show, unmount: () => root.unmount() }
}

/** What Apollo is answered that no component shows. */
const ask = async () => (await apolloClient.query<{ document: Document }>({ query: DOCUMENT, context: { watch: true } })).data?.document.n

Object.assign(window, { mount, ask })
