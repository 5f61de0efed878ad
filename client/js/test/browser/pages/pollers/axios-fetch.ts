import axios from 'axios'
import { type Document, interval, show, url } from './poller.js'

setInterval(() => axios.get<Document>(url, { adapter: 'fetch' }).then(({ data }) => show(data)), interval)
