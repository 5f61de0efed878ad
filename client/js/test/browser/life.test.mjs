// What happens to a page: it is left and come back to, loses the network,
// sleeps, gets another user, and has siblings.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { options, page, rules, startSite, told, until } from './harness.mjs'

/** Watches a URL on a tab as window.handle, with each state in window.states. */
const watch = (tab, url = '/api/orders', clientOptions) => tab.evaluate(([url, clientOptions]) => {
  window.client = clientOptions ? pb.createClient(clientOptions) : pb
  window.states = []
  window.handle = client.watch(url)
  handle.subscribe((state) => states.push(state))
}, [url, clientOptions])

const live = (tab) => tab.waitForFunction(() => handle.status === 'live')
const shows = (tab, n) => tab.waitForFunction((n) => handle.getSnapshot().data?.n === n && handle.status === 'live', n)
const state = (tab) => tab.evaluate(() => ({ ...handle.getSnapshot(), states: states.map((s) => s.error?.code ?? s.status) }))

test('two tabs have a socket each, and the API is polled once', options, async (t) => {
  const site = await startSite(t)
  site.backend.set('/api/orders', { n: 1 })
  const first = await site.open(), second = await site.open('/', first.context())
  await Promise.all([watch(first), watch(second)])
  await Promise.all([live(first), live(second)])
  assert.equal(site.relay.sockets(), 2)
  const before = site.backend.count('/api/orders'), began = Date.now()
  site.backend.set('/api/orders', { n: 2 })
  await Promise.all([shows(first, 2), shows(second, 2)])
  await until(() => site.backend.count('/api/orders') >= before + 20)
  const took = Date.now() - began
  assert.ok(took >= 18 * 50 - 10, `20 polls at an interval of 50 ms took ${took} ms`) // the first may have been due, and the last have come sooner
})

test('left and come back to from the cache, it resumes', options, async (t) => {
  const site = await startSite(t)
  site.backend.set('/api/orders', { n: 1 })
  const tab = await site.open()
  await watch(tab)
  await shows(tab, 1)
  const { version } = await state(tab)
  // A page that comes out of the cache has a world that playwright does not know of.
  const cdp = await tab.context().newCDPSession(tab)
  const run = async (expression) => (await cdp.send('Runtime.evaluate', { expression, returnByValue: true })).result.value
  await run('addEventListener("pageshow", (event) => { window.persisted = event.persisted })')
  await tab.goto(site.origin + '/empty')
  site.backend.set('/api/orders', { n: 2 })
  await cdp.send('Runtime.evaluate', { expression: 'history.back()' })
  await until(() => run('window.persisted === true && handle.status === "live" && handle.getSnapshot().data.n === 2').catch(() => false), 'the page from the cache')
  const states = JSON.parse(await run('JSON.stringify(states)'))
  assert.deepEqual(states.map((s) => s.error?.code ?? s.status).slice(0, 3), ['live', 'suspended', 'live'])
  assert.deepEqual([states[1].data.n, states[1].version], [1, version])
})

test('offline it says so, and comes back at once', options, async (t) => {
  const site = await startSite(t)
  site.backend.set('/api/orders', { n: 1 })
  const tab = await site.open()
  await watch(tab)
  await shows(tab, 1)
  await tab.context().setOffline(true)
  await tab.waitForFunction(() => handle.status === 'offline')
  assert.equal((await state(tab)).data.n, 1)
  site.relay.to(undefined) // as there is no network, nobody is there
  site.relay.cut()
  site.backend.set('/api/orders', { n: 2 })
  await new Promise((resolve) => setTimeout(resolve, 3000)) // the delay between two tries has grown
  site.relay.to(site.proxy.origin)
  const began = Date.now()
  await tab.context().setOffline(false)
  await shows(tab, 2)
  t.diagnostic(`live ${Date.now() - began} ms after the network is back`)
})

test('offline and back with a socket that lived on', options, async (t) => {
  const site = await startSite(t)
  site.backend.set('/api/orders', { n: 1 })
  const tab = await site.open()
  await watch(tab)
  await shows(tab, 1)
  await tab.context().setOffline(true)
  await tab.waitForFunction(() => handle.status === 'offline')
  await tab.context().setOffline(false)
  await live(tab)
})

test('pollbridge is restarted under the page', options, async (t) => {
  const site = await startSite(t)
  site.backend.set('/api/orders', { n: 1 })
  const tab = await site.open()
  await watch(tab)
  await shows(tab, 1)
  for (const signal of ['SIGTERM', 'SIGKILL']) {
    const before = (await state(tab)).states.length
    await site.proxy.stop(signal)
    site.relay.cut()
    await tab.waitForFunction(() => handle.status === 'stale')
    site.proxy = undefined
    await site.serve()
    await live(tab)
    // Polling, if it has begun, says unreachable; and what it has found, when that is confirmed by the socket, is live once more.
    const states = (await state(tab)).states.slice(before).filter((s) => s !== 'unreachable')
    assert.deepEqual(states.filter((s, i) => s !== states[i - 1]), ['disconnected', 'live'], signal)
  }
})

test('a machine that was asleep notices that its socket is dead', options, async (t) => {
  const site = await startSite(t)
  site.backend.set('/api/orders', { n: 1 })
  const tab = await site.open('/empty')
  await tab.clock.install() // Date and timers are the test's, sockets and all else are real
  site.backend.set('/', page())
  await tab.goto(site.origin + '/')
  await tab.waitForFunction(() => window.pb)
  await watch(tab)
  await shows(tab, 1)
  /** Has time go by until the socket is given up, and returns how many seconds that took; the page needs none of the network until then. */
  const giveUp = async (asleep) => {
    const before = (await state(tab)).states.length
    site.relay.mute() // open on this side, gone on the other: no packet says so
    if (asleep) await tab.clock.fastForward('01:00:00')
    for (let seconds = 0; ; seconds++) {
      if ((await state(tab)).states.slice(before).includes('disconnected')) return seconds
      await tab.clock.runFor(1000)
    }
  }
  site.backend.set('/api/orders', { n: 2 })
  await shows(tab, 2)
  const woken = await giveUp(true)
  site.backend.set('/api/orders', { n: 3 })
  await shows(tab, 3)
  assert.ok(woken <= 20, `${woken} s after it woke up`)

  // And one that is awake, within some 40 s of silence.
  const seconds = await giveUp(false)
  site.backend.set('/api/orders', { n: 4 })
  await shows(tab, 4)
  t.diagnostic(`a socket that goes silent is given up after ${seconds} s`)
  assert.ok(seconds <= 60)
})

test('a tab that is hidden for long lets go of its socket, and comes back when it is looked at', options, async (t) => {
  const site = await startSite(t)
  site.backend.set('/api/orders', { n: 1 })
  const tab = await site.open('/empty')
  await tab.clock.install()
  await tab.goto(site.origin + '/')
  await tab.waitForFunction(() => window.pb)
  await watch(tab)
  await shows(tab, 1)
  // No tab of a headless browser is ever hidden.
  const hide = (hidden) => tab.evaluate((hidden) => {
    Object.defineProperty(document, 'hidden', { value: hidden, configurable: true })
    document.dispatchEvent(new Event('visibilitychange'))
  }, hidden)
  await tab.clock.pauseAt(await tab.evaluate(() => Date.now() + 3_600_000)) // on a slow machine the changes take their time
  await hide(true)
  for (let i = 0; i < 28; i++) { // 4 min 40 s, in which there are changes
    site.backend.set('/api/orders', { n: 2 + i })
    await shows(tab, 2 + i)
    await tab.clock.runFor(10_000)
  }
  await tab.clock.runFor(30_000)
  assert.equal((await state(tab)).error?.code, 'suspended')
  site.backend.set('/api/orders', { n: 99 })
  await tab.clock.runFor(600_000)
  assert.equal((await state(tab)).error?.code, 'suspended')
  await hide(false)
  await shows(tab, 99)
})

/** A site where the cookie sid says who one is, and a document says whom it is for. */
async function startPrivateSite(t) {
  const site = await startSite(t, { yaml: 'endpoints:\n  - {path: /api/, interval: 50ms, vary: ["Cookie:sid"]}\n' })
  site.backend.set('/api/me', (req, res) => {
    const user = /sid=(\w+)/.exec(req.headers.cookie ?? '')?.[1]
    return user ? { user } : void res.writeHead(401).end()
  })
  return site
}

test('another user on the same page never sees the documents of the one before', options, async (t) => {
  const site = await startPrivateSite(t)
  for (const clientOptions of [undefined, { shared: true }]) {
    const tab = await site.open()
    await tab.evaluate(() => { document.cookie = 'sid=alice' })
    await watch(tab, '/api/me', clientOptions)
    await tab.waitForFunction(() => handle.getSnapshot().data?.user === 'alice')
    const seen = await tab.evaluate(async (clientOptions) => {
      client.close() // she logs out
      const after = handle.getSnapshot()
      document.cookie = 'sid=bob'
      const seen = []
      window.client = clientOptions ? pb.createClient(clientOptions) : pb
      window.handle = client.watch('/api/me', (data) => seen.push(data.user))
      window.seen = seen
      seen.push(handle.getSnapshot().data)
      return [after.status, after.data === undefined]
    }, clientOptions)
    assert.deepEqual(seen, ['ended', true])
    await tab.waitForFunction(() => handle.getSnapshot().data?.user === 'bob')
    await tab.waitForTimeout(300)
    assert.deepEqual(await tab.evaluate(() => seen), [undefined, 'bob'])
  }
})

test('who logs in again watches again, with the new cookie', options, async (t) => {
  const site = await startPrivateSite(t)
  const tab = await site.open()
  await watch(tab, '/api/me')
  await tab.waitForFunction(() => handle.status === 'ended')
  assert.equal((await state(tab)).error.code, 'unauthorized')
  await tab.evaluate(() => { document.cookie = 'sid=alice' })
  await watch(tab, '/api/me')
  await tab.waitForFunction(() => handle.getSnapshot().data?.user === 'alice')
})

test('a token that expires is asked for again', options, async (t) => {
  const site = await startSite(t, { yaml: 'endpoints:\n  - {path: /api/, interval: 50ms, vary: [Authorization]}\n' })
  let good = 'Bearer 1'
  site.backend.set('/api/me', (req, res) => (req.headers.authorization === good ? { token: good } : void res.writeHead(401).end()))
  const tab = await site.open()
  await tab.evaluate(() => {
    window.token = 'Bearer 1'
    window.asked = 0
    window.states = []
    window.client = pb.createClient({ headers: async () => { asked++; return { Authorization: token } } })
    window.handle = client.watch('/api/me')
    handle.subscribe((s) => states.push(s))
  })
  await tab.waitForFunction(() => handle.getSnapshot().data?.token === 'Bearer 1')
  await tab.evaluate(() => { token = 'Bearer 2' })
  good = 'Bearer 2'
  await tab.waitForFunction(() => handle.getSnapshot().data?.token === 'Bearer 2')
  assert.equal(await tab.evaluate(() => asked), 2)
  assert.equal(await tab.evaluate(() => client.fetch('/api/me', { headers: { authorization: 'Bearer 2' } }).then((r) => r.json()).then((m) => m.token)), 'Bearer 2')
})

test('without any pollbridge the page polls, and finds one that appears', options, async (t) => {
  const site = await startSite(t, { bridge: false })
  // The page has the client from elsewhere, as from npm.
  const { readFileSync } = await import('node:fs')
  for (const name of ['pollbridge.js', 'fallback.js']) {
    site.backend.set('/js/' + name, (_, res) => { res.setHeader('content-type', 'text/javascript'); res.end(readFileSync(new URL('../../dist/' + name, import.meta.url))) })
  }
  site.backend.set('/page', page().replace('/.pollbridge/', '/js/'))
  site.backend.set('/api/orders', { n: 1 })
  const tab = await site.open('/page')
  await tab.waitForFunction(() => window.pb)
  await watch(tab, '/api/orders', { interval: 100 })
  await shows(tab, 1)
  site.backend.set('/api/orders', { n: 2 })
  await shows(tab, 2)
  await site.serve()
  site.relay.cut()
  await told(tab)
  const requests = []
  tab.on('request', (r) => requests.push(r.url()))
  await until(async () => {
    const before = requests.length, polled = site.backend.count('/api/orders')
    await until(() => site.backend.count('/api/orders') > polled + 10) // by pollbridge, in half a second at least
    return requests.length === before
  }, 'the polls to end')
  site.backend.set('/api/orders', { n: 3 })
  await shows(tab, 3)
})

test('without WebSockets the page reads event streams', options, async (t) => {
  const site = await startSite(t)
  site.backend.set('/api/orders', { n: 1 })
  const tab = await site.open('/empty')
  await tab.addInitScript(() => { window.WebSocket = class { constructor() { throw new DOMException('blocked', 'SecurityError') } } })
  await tab.goto(site.origin + '/')
  await tab.waitForFunction(() => window.pb)
  const accepts = []
  tab.on('request', (r) => r.url().endsWith('/api/orders') && accepts.push(r.headers().accept))
  await watch(tab)
  await shows(tab, 1)
  await until(() => accepts.includes('text/event-stream'))
  for (let n = 2; n < 5; n++) {
    site.backend.set('/api/orders', { n })
    await shows(tab, n)
  }
  assert.deepEqual(accepts, [undefined, 'text/event-stream'])
})
