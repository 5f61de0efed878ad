import { createRoot } from 'react-dom/client'
import useSWR from 'swr'
import { type Document, interval, show, url } from './poller.js'

const fetcher = (url: string) => fetch(url).then((response) => response.json())

function App() {
  show(useSWR<Document>(url, fetcher, { refreshInterval: interval, dedupingInterval: 0 }).data)
  return null
}

createRoot(document.createElement('div')).render(<App />)
