import { QueryClient, QueryClientProvider, useQuery } from '@tanstack/react-query'
import { createRoot } from 'react-dom/client'
import { type Document, interval, show, url } from './poller.js'

const queryFn = (): Promise<Document> => fetch(url).then((response) => response.json())

function App() {
  show(useQuery({ queryKey: [url], queryFn, refetchInterval: interval }).data)
  return null
}

createRoot(document.createElement('div')).render(
  <QueryClientProvider client={new QueryClient()}>
    <App />
  </QueryClientProvider>,
)
