import { interval, show, url } from './poller.js'

setInterval(() => fetch(url).then((response) => response.json()).then(show), interval)
