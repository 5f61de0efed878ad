import { list } from './row.js'
import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { createRoot } from 'react-dom/client'
import { Orders } from 'recipe'

createRoot(list).render(
  <QueryClientProvider client={new QueryClient()}>
    <Orders />
  </QueryClientProvider>,
)
