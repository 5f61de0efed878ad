import htmx from 'htmx.org'
import { interval, url } from './poller.js'

document.querySelector('output')!.setAttribute('hx-get', url)
document.querySelector('output')!.setAttribute('hx-trigger', `every ${interval}ms`)
htmx.process(document.body)
