import axios from 'axios'
import { type Document, interval, show, url } from './poller.js'

setInterval(() => axios.get<Document>(url).then(({ data }) => show(data)), interval)
