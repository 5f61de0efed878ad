import { every, show, url } from './poller.js'

every(() => fetch(new Request(url)).then((response) => response.json()).then(show))
