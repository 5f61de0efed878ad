import { every, show, url } from './poller.js'

// As a library does that keeps fetch before the shim is loaded: the page's head has done it.
const { savedFetch } = window as unknown as { savedFetch: typeof fetch }

every(() => savedFetch(url).then((response) => response.json()).then(show))
