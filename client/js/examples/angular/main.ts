import '@angular/compiler' // only because this example is not built by Angular's own tools
import { Component } from '@angular/core'
import { toSignal } from '@angular/core/rxjs-interop'
import { bootstrapApplication } from '@angular/platform-browser'
import { watch$ } from 'pollbridge/angular'
import { app as element, type Station, stop } from '../station.js'

@Component({
  selector: 'app-stations',
  template: `
    <ul [attr.data-status]="stations()?.status">
      @for (station of stations()?.data; track station.id) {
        <li>{{ station.name }}: {{ station.bikes }}</li>
      }
    </ul>
  `,
})
class Stations {
  stations = toSignal(watch$<Station[]>('/api/stations'))
}

element.append(document.createElement('app-stations'))
const app = await bootstrapApplication(Stations)

stop.onclick = () => app.destroy()
