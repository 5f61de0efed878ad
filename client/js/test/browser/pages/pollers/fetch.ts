import { every, show, url } from './poller.js'

every(() => fetch(url).then((response) => response.json()).then(show))
