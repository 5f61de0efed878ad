import $ from 'jquery'
import { every, show, url } from './poller.js'

every(() => $.getJSON(url, show))
