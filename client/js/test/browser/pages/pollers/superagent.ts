import superagent from 'superagent'
import { every, show, url } from './poller.js'

every(() => superagent.get(url).then(({ body }) => show(body)))
