// What stands between a page and pollbridge, and what the page sees then: what it would see without pollbridge.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newContext, options, page, startSite, until } from './harness.mjs'
import { open } from './shim.mjs'

/** Opens a page whose time stands still, and watches there. */
async function watch(site, head = '') {
  site.backend.set('/page', page(head))
  const context = await newContext()
  await context.clock.install({ time: 0 })
  await context.clock.pauseAt(1000)
  const tab = await site.open('/page', context)
  const accepts = []
  tab.on('request', (r) => r.url().endsWith('/api/orders') && accepts.push(r.headers().accept))
  await tab.waitForFunction(() => window.pb)
  await tab.evaluate(() => { window.handle = pb.watch('/api/orders') })
  return { tab, clock: context.clock, accepts, shows: (n) => until(() => tab.evaluate((n) => handle.getSnapshot().data?.n === n, n), `the page to show ${n}`) }
}

const policy = (origin) => `<meta http-equiv=Content-Security-Policy content="connect-src ${origin}">` // and no ws:

test('where a policy forbids sockets the page has the document at once, and then an event stream', options, async (t) => {
  const site = await startSite(t)
  site.backend.set('/api/orders', { n: 1 })
  const { clock, accepts, shows } = await watch(site, policy(site.origin))
  await shows(1)
  await clock.runFor(500)
  await until(() => accepts.includes('text/event-stream'))
  for (let n = 2; n < 5; n++) {
    site.backend.set('/api/orders', { n })
    await shows(n)
  }
})

test('where what opens a socket is swallowed the page reads an event stream', options, async (t) => {
  const site = await startSite(t)
  site.backend.set('/api/orders', { n: 1 })
  site.relay.swallow = true
  const { clock, accepts, shows } = await watch(site)
  await until(() => site.relay.sockets())
  assert.deepEqual(accepts, [])
  await clock.runFor(5000)
  await shows(1)
  await clock.runFor(500)
  await until(() => accepts.includes('text/event-stream'))
  site.backend.set('/api/orders', { n: 2 })
  await shows(2)
})

for (const [what, head, swallow] of [['a policy forbids sockets', policy], ['what opens a socket is swallowed', () => '', true]]) {
  test(`where ${what} the shim leaves everything to the network`, options, async (t) => {
    const site = await startSite(t)
    let n = 0
    site.backend.set('/api/orders', (req, res) => ({ n: ++n }))
    site.relay.swallow = !!swallow
    const tab = await open(t, site, { before: head(site.origin) })
    const found = await tab.evaluate(() => reasons('/api/orders', 8))
    assert.ok(!found.includes(null), String(found))
  })
}

test('behind a service worker that answers all requests the shim does what it does', options, async (t) => {
  const site = await startSite(t)
  site.backend.set('/api/orders', { n: 1 })
  site.backend.set('/worker.js', (_, res) => void res.writeHead(200, { 'content-type': 'text/javascript' }).end(`
    addEventListener('install', () => skipWaiting())
    addEventListener('activate', (e) => e.waitUntil(clients.claim()))
    addEventListener('fetch', (e) => e.respondWith(fetch(e.request)))`))
  const tab = await open(t, site)
  await tab.evaluate(async () => {
    await navigator.serviceWorker.register('/worker.js')
    await new Promise((resolve) => { navigator.serviceWorker.controller ? resolve() : (navigator.serviceWorker.oncontrollerchange = resolve) })
    await poll('/api/orders', memory)
  })
  site.backend.set('/api/orders', { n: 2 })
  assert.equal(await tab.evaluate(() => poll('/api/orders', (text, note) => memory(text, note) && text.includes('2'))), '{"n":2}')
})

test('a worker watches as a page does', options, async (t) => {
  const site = await startSite(t)
  site.backend.set('/api/orders', { n: 1 })
  site.backend.set('/worker.js', (_, res) => void res.writeHead(200, { 'content-type': 'text/javascript' }).end(`
    import { watch } from '/.pollbridge/pollbridge.js'
    watch('/api/orders', ({ n }) => postMessage(n))`))
  const tab = await site.open('/empty')
  await tab.evaluate(() => {
    window.got = []
    window.worker = new Worker('/worker.js', { type: 'module' })
    worker.onmessage = ({ data }) => got.push(data)
  })
  await tab.waitForFunction(() => got.at(-1) === 1)
  site.backend.set('/api/orders', { n: 2 })
  await tab.waitForFunction(() => got.at(-1) === 2)
  assert.equal(site.relay.sockets(), 1)
})
