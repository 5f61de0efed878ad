import { configureStore } from '@reduxjs/toolkit'
import { createApi, fetchBaseQuery } from '@reduxjs/toolkit/query/react'
import { createRoot } from 'react-dom/client'
import { Provider } from 'react-redux'
import { type Document, interval, show, url } from './poller.js'

const api = createApi({
  baseQuery: fetchBaseQuery({ baseUrl: '/' }),
  endpoints: (build) => ({ document: build.query<Document, void>({ query: () => url.slice(1) }) }),
})

const store = configureStore({
  reducer: { [api.reducerPath]: api.reducer },
  middleware: (defaults) => defaults().concat(api.middleware),
})

function App() {
  show(api.useDocumentQuery(undefined, { pollingInterval: interval }).data)
  return null
}

createRoot(document.createElement('div')).render(
  <Provider store={store}>
    <App />
  </Provider>,
)
