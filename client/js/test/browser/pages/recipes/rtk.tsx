import { list } from './row.js'
import { ApiProvider } from '@reduxjs/toolkit/query/react'
import { createRoot } from 'react-dom/client'
import { api, Orders } from 'recipe'

createRoot(list).render(
  <ApiProvider api={api}>
    <Orders />
  </ApiProvider>,
)
