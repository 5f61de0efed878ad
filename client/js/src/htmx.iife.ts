// For pages that load htmx by a script: the same, for the htmx of the page.
import { extend } from './htmx.js'

const { htmx } = globalThis as { htmx?: Parameters<typeof extend>[0] }

if (htmx) extend(htmx)
else console.error('pollbridge: load htmx before this script')
