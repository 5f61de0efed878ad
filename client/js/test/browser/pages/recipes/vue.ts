import { list } from './row.js'
import { createApp } from 'vue'
import Orders from 'recipe'

createApp(Orders).mount(list)
