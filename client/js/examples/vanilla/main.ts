import { watch } from 'pollbridge'
import { app, type Station, stop } from '../station.js'

const handle = watch<Station[]>('/api/stations', (stations) => {
  app.replaceChildren(
    ...stations.map(({ name, bikes }) => {
      const row = document.createElement('li')
      row.textContent = `${name}: ${bikes}`
      return row
    }),
  )
})
handle.subscribe(({ status }) => (app.dataset.status = status))

stop.onclick = () => handle.close()
