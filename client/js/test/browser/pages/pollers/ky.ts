import ky from 'ky'
import { type Document, interval, show, url } from './poller.js'

setInterval(() => ky(url).json<Document>().then(show), interval)
