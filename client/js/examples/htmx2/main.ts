import htmx from 'htmx.org'
import { extend } from 'pollbridge/htmx'

extend(htmx)

document.querySelector<HTMLButtonElement>('#stop')!.onclick = () => htmx.swap('#app', '', { swapStyle: 'innerHTML', swapDelay: 0, settleDelay: 0 })
