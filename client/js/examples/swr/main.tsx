import { createRoot } from 'react-dom/client'
import useSWRSubscription from 'swr/subscription'
import { subscribe } from 'pollbridge/swr'
import { app, type Station, stop } from '../station.js'

function Stations() {
  const { data, error } = useSWRSubscription<Station[], { message: string }>('/api/stations', subscribe)
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
root.render(<Stations />)

stop.onclick = () => root.unmount()
