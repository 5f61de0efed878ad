import axios from 'axios'
import { type Document, every, show, url } from './poller.js'

every(() => axios.get<Document>(url).then(({ data }) => show(data)))
