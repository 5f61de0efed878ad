// What the pollers have in common: each asks for its own document every 200 ms
// and shows its one member, as an application of the library would.

/** The document's URL: the page says which poller it is. */
export const url: string = document.documentElement.dataset.url!

export const interval = 200

export interface Document {
  n: number
}

/**
 * Polls every 200 ms, but not while the poll before goes on: on a slow machine
 * they would queue up for the few connections that a browser has, and time out.
 */
export function every(poll: () => PromiseLike<unknown>): void {
  let going = false
  setInterval(async () => {
    if (going) return
    going = true
    try {
      await poll()
    } finally {
      going = false
    }
  }, interval)
}

const output = document.createElement('output')
document.body.append(output)

export function show(document: Document | undefined): void {
  if (document) output.textContent = String(document.n)
}
