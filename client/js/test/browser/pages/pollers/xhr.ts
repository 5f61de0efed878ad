import { interval, show, url } from './poller.js'

setInterval(() => {
  const request = new XMLHttpRequest()
  request.open('GET', url)
  request.responseType = 'json'
  request.onload = () => show(request.response)
  request.send()
}, interval)
