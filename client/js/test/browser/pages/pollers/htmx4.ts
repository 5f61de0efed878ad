import htmx from 'htmx4'
import { interval, url } from './poller.js'

document.querySelector('output')!.setAttribute('hx-get', url)
document.querySelector('output')!.setAttribute('hx-trigger', `every ${interval}ms`)
htmx.process(document.body)
