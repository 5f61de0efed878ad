import axios from 'axios'
import { adapter } from 'pollbridge/axios'
import { app, type Station, stop } from '../station.js'

const api = axios.create({ baseURL: '/api', adapter })

// The loop stays as it was. It asks in memory now, so it may be as fast as one likes.
const timer = setInterval(async () => {
  const { data } = await api.get<Station[]>('/stations')
  app.replaceChildren(
    ...data.map(({ name, bikes }) => {
      const row = document.createElement('li')
      row.textContent = `${name}: ${bikes}`
      return row
    }),
  )
}, 200)

stop.onclick = () => clearInterval(timer)
