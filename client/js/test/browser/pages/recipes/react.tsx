import { list } from './row.js'
import { createRoot } from 'react-dom/client'
import { Orders } from 'recipe'

createRoot(list).render(<Orders />)
