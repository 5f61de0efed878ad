import { every, show, url } from './poller.js'

every(() => new Promise<void>((resolve) => {
  const request = new XMLHttpRequest()
  request.open('GET', url)
  request.responseType = 'json'
  request.onload = () => show(request.response)
  request.onloadend = () => resolve()
  request.send()
}))
