import { createApp, defineComponent, h } from 'vue'
import { useWatch } from 'pollbridge/vue'
import { app as element, type Station, stop } from '../station.js'

// In a single-file component the first line is the same, and the rest is
//
//     <li v-for="station in data" :key="station.id">{{ station.name }}: {{ station.bikes }}</li>
const Stations = defineComponent(() => {
  const { data, status } = useWatch<Station[]>('/api/stations')
  return () =>
    h('ul', { 'data-status': status.value }, data.value?.map(({ id, name, bikes }) => h('li', { key: id }, `${name}: ${bikes}`)))
})

const app = createApp(Stations)
app.mount(element)

stop.onclick = () => app.unmount()
