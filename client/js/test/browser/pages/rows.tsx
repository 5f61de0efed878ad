// The same thousand rows, shown in every way that data comes to React, each
// counting how often one of its rows renders.
import { configureStore } from '@reduxjs/toolkit'
import { createApi, fetchBaseQuery } from '@reduxjs/toolkit/query/react'
import { QueryClient, QueryClientProvider, useQuery } from '@tanstack/react-query'
import { memo, useEffect, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { Provider } from 'react-redux'
import useSWR from 'swr'
import useSWRSubscription from 'swr/subscription'
import { watch } from 'pollbridge'
import { useWatch } from 'pollbridge/react'
import { watchEntry } from 'pollbridge/rtk'
import { subscribe } from 'pollbridge/swr'
import { watchQuery } from 'pollbridge/tanstack'

interface Item {
  id: number
  n: number
}

const url = '/api/rows'
const interval = 200
const ask = (): Promise<Item[]> => fetch(url).then((response) => response.json())

const api = createApi({
  baseQuery: fetchBaseQuery({ baseUrl: '/api/' }),
  endpoints: (build) => ({
    polled: build.query<Item[], void>({ query: () => 'rows' }),
    watched: build.query<Item[], void>({ query: () => 'rows', onCacheEntryAdded: watchEntry(() => url) }),
  }),
})
const store = configureStore({
  reducer: { [api.reducerPath]: api.reducer },
  middleware: (defaults) => defaults({ serializableCheck: false, immutableCheck: false }).concat(api.middleware),
})

const ways: Record<string, () => Item[] | undefined> = {
  'setState, polled'() {
    const [rows, set] = useState<Item[]>()
    useEffect(() => {
      const timer = setInterval(() => ask().then(set, () => {}), interval)
      return () => clearInterval(timer)
    }, [])
    return rows
  },
  'SWR, polled': () => useSWR(url, ask, { refreshInterval: interval, dedupingInterval: 0 }).data,
  'TanStack Query, polled': () => useQuery({ queryKey: ['polled'], queryFn: ask, refetchInterval: interval }).data,
  'RTK Query, polled': () => api.usePolledQuery(undefined, { pollingInterval: interval }).data,

  'setState, watched'() {
    const [rows, set] = useState<Item[]>()
    useEffect(() => watch<Item[]>(url, set).close, [])
    return rows
  },
  'useWatch, watched': () => useWatch<Item[]>(url).data,
  'SWR, watched': () => useSWRSubscription<Item[]>(url, subscribe).data,
  'TanStack Query, watched': () => useQuery(watchQuery<Item[]>(url)).data,
  'RTK Query, watched': () => api.useWatchedQuery().data,
}

/** By way: the sum of all `n`, and how many rows were rendered since this was last set. */
const page = Object.assign(window, { shown: {} as Record<string, number>, renders: {} as Record<string, number> })

const Row = memo(({ item, way }: { item: Item; way: string }) => {
  page.renders[way] = (page.renders[way] ?? 0) + 1
  return <li>{item.n}</li>
})

function Table({ way, use }: { way: string; use: () => Item[] | undefined }) {
  const rows = use()
  useEffect(() => {
    if (rows) page.shown[way] = rows.reduce((sum, { n }) => sum + n, 0)
  })
  return rows?.map((item) => <Row key={item.id} item={item} way={way} />)
}

createRoot(document.body.appendChild(document.createElement('ul'))).render(
  <Provider store={store}>
    <QueryClientProvider client={new QueryClient()}>
      {Object.entries(ways).map(([way, use]) => (
        <Table key={way} way={way} use={use} />
      ))}
    </QueryClientProvider>
  </Provider>,
)
