import { memo, StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { useWatch } from 'pollbridge/react'
import { app, type Station, stop } from '../station.js'

// Stations that did not change are the same objects as before: only the rows
// of the others render.
const Row = memo(({ station: { name, bikes } }: { station: Station }) => (
  <li>
    {name}: {bikes}
  </li>
))

function Stations() {
  const { data, status, error } = useWatch<Station[]>('/api/stations')
  if (!data) return <p>{error?.message ?? 'Loading'}</p>
  return (
    <ul data-status={status}>
      {data.map((station) => (
        <Row key={station.id} station={station} />
      ))}
    </ul>
  )
}

const root = createRoot(app)
root.render(
  <StrictMode>
    <Stations />
  </StrictMode>,
)

stop.onclick = () => root.unmount()
