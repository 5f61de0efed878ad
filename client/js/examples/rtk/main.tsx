import { configureStore } from '@reduxjs/toolkit'
import { createApi, fetchBaseQuery } from '@reduxjs/toolkit/query/react'
import { createRoot } from 'react-dom/client'
import { Provider } from 'react-redux'
import { watchEntry } from 'pollbridge/rtk'
import { app, type Station, stop } from '../station.js'

const api = createApi({
  baseQuery: fetchBaseQuery({ baseUrl: '/api/' }),
  endpoints: (build) => ({
    stations: build.query<Station[], void>({
      query: () => 'stations',
      onCacheEntryAdded: watchEntry(() => '/api/stations'),
      keepUnusedDataFor: 0,
    }),
  }),
})

const store = configureStore({
  reducer: { [api.reducerPath]: api.reducer },
  middleware: (defaults) => defaults().concat(api.middleware),
})

function Stations() {
  const { data } = api.useStationsQuery()
  if (!data) return <p>Loading</p>
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
  <Provider store={store}>
    <Stations />
  </Provider>,
)

stop.onclick = () => root.unmount()
