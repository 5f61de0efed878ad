import $ from 'jquery'
import { transport } from 'pollbridge/jquery'
import type { Station } from '../station.js'

transport($)

// The loop stays as it was. It asks in memory now, so it may be as fast as one likes.
const timer = setInterval(() => {
  $.getJSON('/api/stations', (stations: Station[]) => {
    $('#app').html(stations.map(({ name, bikes }) => `<li>${name}: ${bikes}</li>`).join(''))
  })
}, 200)

$('#stop').on('click', () => clearInterval(timer))
