import htmx from 'htmx4'
import { extend } from 'pollbridge/htmx'

extend(htmx)

document.querySelector<HTMLButtonElement>('#stop')!.onclick = () => htmx.swap({ target: document.querySelector('#app')!, text: '', swap: 'innerHTML swapEmpty:true' })
