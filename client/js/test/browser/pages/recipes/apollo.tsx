import { list } from './row.js'
import { ApolloProvider } from '@apollo/client/react'
import { createRoot } from 'react-dom/client'
import { client, Orders } from 'recipe'

createRoot(list).render(
  <ApolloProvider client={client}>
    <Orders />
  </ApolloProvider>,
)
