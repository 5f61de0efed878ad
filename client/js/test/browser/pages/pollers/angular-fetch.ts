import { poll } from './angular.js'

poll(false)
