// One line in a page, <script src="/.pollbridge/shim.js"></script> first in its head, and what the page polls with fetch
// or XMLHttpRequest is answered from memory, as long as it is certain that the network would say the same.
import { patchFetch } from './fetch.js'
import { hangUp } from './live.js'
import { notes } from './notes.js'
import { late } from './options.js'
import { doubt, forget } from './polls.js'
import { unwrap } from './wrap.js'
import { patchXHR } from './xhr.js'

export type { ShimOptions } from './options.js'
export type { Note } from './notes.js'

const page = window as any

if (!page.pollbridgeShim?.restore) {
  if (late) console.warn('pollbridge: shim.js is not the first script: what kept fetch before is not helped')
  patchFetch()
  patchXHR()
  // Where somebody may have logged in or out meanwhile.
  for (const type of ['focus', 'pageshow']) addEventListener(type, doubt)
  for (const type of ['pagehide', 'offline']) addEventListener(type, hangUp)
  page.pollbridgeShim = {
    notes,
    /** Makes the page poll as if this script had never been there. */
    restore() {
      unwrap()
      forget()
    },
  }
}
