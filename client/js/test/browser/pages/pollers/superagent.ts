import superagent from 'superagent'
import { interval, show, url } from './poller.js'

setInterval(() => superagent.get(url).then(({ body }) => show(body)), interval)
