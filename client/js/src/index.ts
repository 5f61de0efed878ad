import { createClient } from './client.js'
import type { Client } from './types.js'

export { createClient } from './client.js'
export { apply, merge } from './apply.js'
export { share } from './share.js'
export type * from './types.js'

let client: Client | undefined

const own = () => (client ??= createClient())

/** `watch` of a client that is made on first use. */
export const watch: Client['watch'] = (url, onData, options) => own().watch(url, onData, options)

/** `fetch` of the same client. */
export const fetch: Client['fetch'] = (input, init) => own().fetch(input, init)

/** Ends all that was watched by `watch`, as when the user logs out. The next `watch` begins anew. */
export const close: Client['close'] = () => {
  client?.close()
  client = undefined
}
