import { useFetch, useIntervalFn } from '@vueuse/core'
import { createApp, watchEffect } from 'vue'
import { type Document, interval, show, url } from './poller.js'

createApp({
  setup() {
    const { data, execute } = useFetch(url).json<Document>()
    useIntervalFn(() => void execute(), interval)
    watchEffect(() => show(data.value ?? undefined))
    return () => null
  },
}).mount(document.createElement('div'))
