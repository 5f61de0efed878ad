import { interval, show, url } from './poller.js'

setInterval(() => fetch(new Request(url)).then((response) => response.json()).then(show), interval)
