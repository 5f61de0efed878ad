// What the pollers have in common: each asks for its own document every 200 ms
// and shows its one member, as an application of the library would.

/** The document's URL: the page says which poller it is. */
export const url: string = document.documentElement.dataset.url!

export const interval = 200

export interface Document {
  n: number
}

const output = document.createElement('output')
document.body.append(output)

export function show(document: Document | undefined): void {
  if (document) output.textContent = String(document.n)
}
