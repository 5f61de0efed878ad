import { map } from 'rxjs'
import { watch$ } from 'pollbridge/rxjs'
import { app, type Station, stop } from '../station.js'

const subscription = watch$<Station[]>('/api/stations')
  .pipe(map(({ data }) => data ?? []))
  .subscribe((stations) => {
    app.replaceChildren(
      ...stations.map(({ name, bikes }) => {
        const row = document.createElement('li')
        row.textContent = `${name}: ${bikes}`
        return row
      }),
    )
  })

stop.onclick = () => subscription.unsubscribe()
