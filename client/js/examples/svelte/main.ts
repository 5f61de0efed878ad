import { mount, unmount } from 'svelte'
import Stations from './Stations.svelte'
import { app as target, stop } from '../station.js'

const component = mount(Stations, { target })

stop.onclick = () => void unmount(component)
