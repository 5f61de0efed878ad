import { poll } from './angular.js'

poll(true)
