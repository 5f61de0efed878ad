// A page with the shim in it.
export const icon = '<!doctype html><meta charset=utf-8><title>page</title><link rel=icon href=data:,>'
export const shim = (attributes = '') => `<script src="/.pollbridge/shim.js" ${attributes}></script>`

/** A tab with the shim in it, and what polls there: `poll(url, done, init)` until done(text, note, response). */
export async function open(t, site, { before = '', after = '', attributes, path = '/page', context } = {}) {
  site.backend.set(path, icon.replace('<title>', before + shim(attributes) + after + '<title>'))
  const tab = await site.open(path, context)
  tab.requests = [] // that reach the network, of any kind but sockets
  tab.on('request', (r) => tab.requests.push(r.method() + ' ' + r.url().replace(site.origin, '')))
  tab.sockets = 0
  tab.on('websocket', () => tab.sockets++)
  await tab.evaluate(() => {
    window.beat = () => new Promise((resolve) => setTimeout(resolve, 110))
    window.poll = async (url, done, init) => {
      for (;;) {
        const before = pollbridgeShim.notes.at(-1)
        const response = await fetch(typeof url === 'function' ? url() : url, init)
        const text = await response.text()
        const note = pollbridgeShim.notes.at(-1)
        if (await done(text, note === before ? undefined : note, response)) return text
        await beat()
      }
    }
    window.memory = (text, note) => note?.from === 'memory'
    /** Polls so many times, and returns why the network was asked each time; null: it was not. */
    window.reasons = async (url, times, init) => {
      const found = []
      await poll(url, (text, note) => found.push(note ? note.why ?? null : 'not a poll') >= times, init)
      return found
    }
  })
  return tab
}
