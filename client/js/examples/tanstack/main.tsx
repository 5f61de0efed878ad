import { QueryClient, QueryClientProvider, useQuery } from '@tanstack/react-query'
import { createRoot } from 'react-dom/client'
import { watchQuery } from 'pollbridge/tanstack'
import { app, type Station, stop } from '../station.js'

function Stations() {
  const { data, error } = useQuery(watchQuery<Station[]>('/api/stations'))
  if (!data) return <p>{error?.message ?? 'Loading'}</p>
  return (
    <ul>
      {data.map(({ id, name, bikes }) => (
        <li key={id}>
          {name}: {bikes}
        </li>
      ))}
    </ul>
  )
}

const root = createRoot(app)
root.render(
  <QueryClientProvider client={new QueryClient()}>
    <Stations />
  </QueryClientProvider>,
)

stop.onclick = () => root.unmount()
