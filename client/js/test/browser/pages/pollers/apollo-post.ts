import { poll } from './apollo.js'

poll(false)
