import axios from 'axios'
import { type Document, every, show, url } from './poller.js'

every(() => axios.get<Document>(url, { adapter: 'fetch' }).then(({ data }) => show(data)))
