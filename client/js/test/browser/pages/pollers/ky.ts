import ky from 'ky'
import { type Document, every, show, url } from './poller.js'

every(() => ky(url).json<Document>().then(show))
