import { ApolloClient, gql, HttpLink, InMemoryCache } from '@apollo/client'
import { ApolloProvider, useQuery } from '@apollo/client/react'
import { createRoot } from 'react-dom/client'
import { watchLink } from 'pollbridge/apollo'
import { app, type Station, stop } from '../station.js'

const STATIONS = gql`
  query Stations {
    stations {
      id
      name
      bikes
    }
  }
`

const client = new ApolloClient({
  link: watchLink('/graphql').concat(new HttpLink({ uri: '/graphql' })),
  cache: new InMemoryCache(),
})

function Stations() {
  const { data, error } = useQuery<{ stations: Station[] }>(STATIONS, { context: { watch: true } })
  if (!data) return <p>{error?.message ?? 'Loading'}</p>
  return (
    <ul>
      {data.stations.map(({ id, name, bikes }) => (
        <li key={id}>
          {name}: {bikes}
        </li>
      ))}
    </ul>
  )
}

const root = createRoot(app)
root.render(
  <ApolloProvider client={client}>
    <Stations />
  </ApolloProvider>,
)

stop.onclick = () => root.unmount()
