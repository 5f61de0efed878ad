import { useFetch, useIntervalFn } from '@vueuse/core'
import { createApp, watchEffect } from 'vue'
import { type Document, interval, show, url } from './poller.js'

createApp({
  setup() {
    const { data, execute, isFetching } = useFetch(url).json<Document>()
    useIntervalFn(() => isFetching.value || void execute(), interval) // else it gives up the one before
    watchEffect(() => show(data.value ?? undefined))
    return () => null
  },
}).mount(document.createElement('div'))
