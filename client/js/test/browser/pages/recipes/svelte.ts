import { list } from './row.js'
import { mount } from 'svelte'
import Orders from 'recipe'

mount(Orders, { target: list })
