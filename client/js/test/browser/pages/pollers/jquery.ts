import $ from 'jquery'
import { interval, show, url } from './poller.js'

setInterval(() => $.getJSON(url, show), interval)
