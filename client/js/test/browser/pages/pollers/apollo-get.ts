import { poll } from './apollo.js'

poll(true)
