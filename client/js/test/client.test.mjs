// The client in Node, against the real pollbridge.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import WebSocket from 'ws'
import { createClient } from '../dist/index.js'
import { startBackend, startPollbridge, startRelay, until } from './server.mjs'

const orders = (state, ...more) => [{ id: 1, state, note: 'leave it with the neighbours if nobody answers' }, { id: 2, state: 'open' }, ...more]

/** A site with one rule for each path, and a client of it. */
async function start(t, { rules = '  - {path: /api/, interval: 50ms, vary: []}\n', yaml = '', options = {} } = {}) {
  const backend = await startBackend(), relay = await startRelay()
  const site = {
    backend, relay, proxy: undefined,
    async serve() {
      await site.proxy?.stop()
      site.proxy = await startPollbridge(`upstream: "${backend.origin}"\n${yaml}endpoints:\n${rules}`)
      relay.to(site.proxy.origin)
    },
    client: (more) => {
      const client = createClient({ url: relay.origin + '/.pollbridge/socket', WebSocket, ...options, ...more })
      t.after(() => client.close())
      return client
    },
  }
  t.after(async () => { await site.proxy?.stop(); relay.close(); backend.close() })
  await site.serve()
  return site
}

test('a handle is a store, an async iterable and an observable', async (t) => {
  const site = await start(t)
  site.backend.set('/api/orders', orders('open'))
  const handle = site.client().watch('/api/orders')
  assert.equal(handle.url, site.relay.origin + '/api/orders')
  assert.equal(handle.status, 'connecting')
  assert.equal(handle.age, Infinity)
  assert.equal(handle.getSnapshot(), handle.getSnapshot())

  const states = [], patches = []
  const off = handle.subscribe((state) => states.push(state))
  handle.onPatch((patch, state) => patches.push([patch, state]))
  await until(() => states.length === 1)
  assert.equal(states[0], handle.getSnapshot())
  assert.deepEqual(states[0].data, orders('open'))
  assert.equal(states[0].status, 'live')
  assert.match(states[0].version, /^[\w-]{16,}$/)
  assert.ok(handle.age >= 0 && handle.age < 30_000)
  assert.deepEqual(patches[0][0], [{ op: 'replace', path: '', value: orders('open') }])

  site.backend.set('/api/orders', orders('sent'))
  await until(() => states.length === 2)
  assert.deepEqual(patches[1][0], [{ op: 'replace', path: '/0/state', value: 'sent' }])
  assert.equal(patches[1][1], states[1])
  assert.equal(states[0].data[0].state, 'open', 'a state was changed after it was given away')
  assert.equal(states[0].data[1], states[1].data[1], 'an unchanged part is another object')

  const observable = handle[Symbol.observable ?? '@@observable']
  const seen = []
  let completed = false
  const subscription = observable().subscribe({ next: (state) => seen.push(state), complete: () => { completed = true } })
  assert.deepEqual(seen, [states[1]])
  subscription.unsubscribe()

  off()
  let turns = 0
  for await (const { data } of handle) {
    if (++turns === 1) site.backend.set('/api/orders', orders('paid'))
    else {
      assert.deepEqual(data, orders('paid'))
      break
    }
  }
  assert.equal(states.length, 2, 'called back after it was taken off')
  await until(() => site.relay.connections() === 0, 'the socket to be closed after the last handle')
  assert.equal(completed, false)
})

test('handles of one URL share a subscription, clients share nothing', async (t) => {
  const site = await start(t)
  site.backend.set('/api/a', { a: 1 })
  site.backend.set('/api/b', { b: 1 })
  const client = site.client({ linger: 0 })
  const first = client.watch('/api/a'), second = client.watch(site.relay.origin + '/api/a#top'), other = client.watch('/api/b')
  await until(() => first.status === 'live' && other.status === 'live')
  assert.equal(first.getSnapshot(), second.getSnapshot())
  assert.equal(site.relay.connections(), 1)
  first.close()
  first.close()
  site.backend.set('/api/a', { a: 2 })
  await until(() => second.getSnapshot().data.a === 2)
  second.close()
  await new Promise((resolve) => setTimeout(resolve, 10))
  const again = client.watch('/api/a')
  assert.equal(again.getSnapshot().data, undefined, 'what nobody watches was kept')
  await until(() => again.status === 'live')
})

test('watch calls back with the present document, and with each that follows', async (t) => {
  const site = await start(t)
  site.backend.set('/api/a', { a: 1 })
  const client = site.client()
  const shown = [], late = []
  client.watch('/api/a', (data, state) => shown.push([data, state.status]))
  await until(() => shown.length === 1)
  const handle = client.watch('/api/a', (data) => late.push(data))
  assert.deepEqual(late, [])
  await until(() => late.length === 1)
  site.backend.set('/api/a', { a: 2 })
  await until(() => shown.length === 2 && late.length === 2)
  assert.deepEqual(shown, [[{ a: 1 }, 'live'], [{ a: 2 }, 'live']])
  handle.close()
  site.backend.set('/api/a', { a: 3 })
  await until(() => shown.length === 3)
  assert.equal(late.length, 2)
})

test('the errors of a listener are its own', async (t) => {
  const site = await start(t)
  site.backend.set('/api/a', { a: 1 })
  const client = site.client()
  const thrown = []
  const keep = (error) => thrown.push(error.message)
  const others = process.listeners('uncaughtException') // the test runner's, which would call it a failure
  process.removeAllListeners('uncaughtException').on('uncaughtException', keep)
  t.after(() => {
    process.off('uncaughtException', keep)
    for (const f of others) process.on('uncaughtException', f)
  })
  const handle = client.watch('/api/a', () => { throw new Error('mine') })
  const seen = []
  handle.subscribe((state) => { if (state.data) throw new Error('also mine') })
  handle.subscribe((state) => state.data && seen.push(state.data.a))
  await until(() => seen.length === 1)
  site.backend.set('/api/a', { a: 2 })
  await until(() => seen.length === 2)
  assert.deepEqual(thrown, ['mine', 'also mine', 'mine', 'also mine'])
})

test('who has left is not called any more, also not of the change that goes on', async (t) => {
  const site = await start(t)
  site.backend.set('/api/a', { a: 1 })
  const client = site.client(), called = []
  const other = client.watch('/api/a'), handle = client.watch('/api/a', ({ a }) => {
    called.push('data ' + a)
    if (a === 2) off()
    if (a === 3) handle.close()
  })
  const off = handle.subscribe(({ data }) => called.push('state ' + data.a))
  handle.subscribe(({ data }) => called.push('other ' + data.a))
  handle.onPatch(() => called.push('patch'))
  for (let a = 2; a < 5; a++) {
    await until(() => other.getSnapshot().data?.a === a - 1)
    site.backend.set('/api/a', { a })
  }
  await until(() => other.getSnapshot().data.a === 4)
  assert.deepEqual(called, ['data 1', 'state 1', 'other 1', 'patch', 'data 2', 'other 2', 'patch', 'data 3'])
})

test('text is one string, whose lines are patched', async (t) => {
  const site = await start(t)
  const table = (state) => ['id,state', `1,${state}`, ...Array.from({ length: 50 }, (_, i) => `${i},delivered to the depot`)].join('\n')
  site.backend.set('/api/orders.csv', (_, res) => { res.setHeader('content-type', 'text/csv'); res.end(state()) })
  let state = () => table('open')
  const handle = site.client().watch('/api/orders.csv')
  const patches = []
  await until(() => handle.status === 'live')
  handle.onPatch((patch) => patches.push(patch))
  assert.equal(handle.getSnapshot().data, table('open'))
  state = () => table('sent') + '\nlast'
  await until(() => patches.length)
  assert.equal(handle.getSnapshot().data, table('sent') + '\nlast')
  assert.deepEqual(patches, [[{ op: 'replace', path: '', value: table('sent') + '\nlast' }]])
})

test('merge patches, and whole documents, share what did not change', async (t) => {
  const site = await start(t, { rules: '  - {path: /api/merge, interval: 50ms, vary: [], format: merge-patch}\n  - {path: /api/whole, interval: 50ms, vary: [], format: snapshot}\n' })
  const client = site.client()
  for (const path of ['/api/merge', '/api/whole']) {
    site.backend.set(path, { a: { n: 1 }, b: { deep: [1, 2, 3] }, ['__proto__x']: 1, gone: true })
    const handle = client.watch(path)
    await until(() => handle.status === 'live')
    const before = handle.getSnapshot().data
    site.backend.set(path, { a: { n: 2 }, b: { deep: [1, 2, 3] }, ['__proto__x']: 1 })
    await until(() => handle.getSnapshot().data !== before)
    assert.deepEqual(handle.getSnapshot().data, { a: { n: 2 }, b: { deep: [1, 2, 3] }, ['__proto__x']: 1 })
    assert.equal(handle.getSnapshot().data.b, before.b)
  }
})

test('an alias is followed, and two spellings of one URL get along', async (t) => {
  const site = await start(t, { rules: '  - {path: /api/, interval: 50ms, vary: [], drop_query: ["_"]}\n' })
  site.backend.set('/api/a', { a: 1 })
  const client = site.client({ linger: 0 })
  const plain = client.watch('/api/a'), other = client.watch('/api/a?_=17')
  await until(() => plain.status === 'live' && other.status === 'live')
  site.backend.set('/api/a', { a: 2 })
  await until(() => plain.getSnapshot().data.a === 2 && other.getSnapshot().data.a === 2)
  other.close()
  site.backend.set('/api/a', { a: 3 })
  await until(() => plain.getSnapshot().data.a === 3)
})

test('after a restart nothing is sent again, and what changed meanwhile is shared', async (t) => {
  const site = await start(t)
  site.backend.set('/api/orders', orders('open'))
  // Polling would take the socket's place if that is not back soon, and say that it fails too.
  const handle = site.client({ transports: ['websocket'] }).watch('/api/orders'), states = []
  await until(() => handle.status === 'live')
  const { data, version } = handle.getSnapshot()
  handle.subscribe((state) => states.push(state))
  await site.serve()
  await until(() => states.at(-1)?.status === 'live')
  assert.deepEqual(states.map((s) => [s.status, s.error?.code]), [['stale', 'disconnected'], ['live', undefined]])
  assert.equal(handle.getSnapshot().data, data)
  assert.equal(handle.getSnapshot().version, version)

  await site.proxy.stop()
  site.proxy = undefined
  site.backend.set('/api/orders', orders('sent', { id: 3 }))
  await site.serve()
  await until(() => handle.getSnapshot().data.length === 3)
  assert.equal(handle.getSnapshot().data[1], data[1])
})

test('an API that fails makes it stale, and live again when it is over', async (t) => {
  const site = await start(t)
  let fails = false
  site.backend.set('/api/a', (_, res) => (fails ? void res.writeHead(503).end() : { a: 1 }))
  const handle = site.client().watch('/api/a')
  await until(() => handle.status === 'live')
  fails = true
  await until(() => handle.status === 'stale')
  assert.deepEqual([handle.getSnapshot().error.code, handle.getSnapshot().error.status, handle.getSnapshot().data], ['upstream_status', 503, { a: 1 }])
  fails = false
  await until(() => handle.status === 'live')
  assert.equal(handle.getSnapshot().error, undefined)
})

test('a token that expired is asked for again, once, and then it is over', async (t) => {
  const site = await start(t, { rules: '  - {path: /api/, interval: 50ms, vary: [Authorization]}\n' })
  let good = 'Bearer 1'
  site.backend.set('/api/a', (req, res) => (req.headers.authorization === good ? { token: good } : void res.writeHead(401).end()))
  let given = 'Bearer 1', asked = 0
  const client = site.client({ headers: async (url) => { asked++; assert.equal(url, site.relay.origin + '/api/a'); return { Authorization: given } } })
  const handle = client.watch('/api/a'), states = []
  await until(() => handle.status === 'live')
  assert.equal(asked, 1)
  handle.subscribe((state) => states.push(state))
  good = given = 'Bearer 2'
  await until(() => handle.getSnapshot().data.token === 'Bearer 2')
  assert.equal(asked, 2)
  assert.ok(states.every((s) => s.status === 'live'), 'it flickered')

  good = 'Bearer 3' // and the callback does not know
  await until(() => handle.status === 'ended')
  assert.equal(asked, 3)
  assert.equal(handle.getSnapshot().error.code, 'unauthorized')
  given = 'Bearer 3' // whoever watches now begins anew
  const again = client.watch('/api/a')
  assert.equal(again.getSnapshot().data, undefined)
  await until(() => again.status === 'live')
})

test('what no rule matches is polled, whatever it is', async (t) => {
  const site = await start(t, { rules: '  - {path: /api/, interval: 50ms, vary: []}\n' })
  site.backend.set('/other', { n: 1 })
  site.backend.set('/api/a', { a: 1 })
  const client = site.client({ interval: 50 })
  const other = client.watch('/other'), a = client.watch('/api/a')
  await until(() => other.status === 'live' && a.status === 'live')
  site.backend.set('/other', { n: 2 })
  await until(() => other.getSnapshot().data.n === 2)
  other.close()
  const away = client.watch(site.backend.origin + '/other') // another site altogether
  await until(() => away.getSnapshot().data?.n === 2)
})

test('fetch answers from what is live, and else asks the network', async (t) => {
  const site = await start(t)
  site.backend.set('/api/a', { a: 1 })
  site.backend.set('/api/page', '<p>1</p>')
  site.backend.set('/echo', (req) => ({ one: req.headers['x-one'] }))
  const client = site.client()
  const calls = []
  const counted = site.client({ fetch: (...args) => { calls.push(args); return fetch(...args) } })
  const url = site.relay.origin + '/api/a'
  await (await counted.fetch(url)).json()
  assert.equal(calls.length, 1, 'answered before it was watched')
  const handle = counted.watch('/api/a'), page = counted.watch('/api/page')
  await until(() => handle.status === 'live' && page.status === 'live')

  const response = await counted.fetch('/api/a')
  assert.deepEqual([calls.length, response instanceof Response, response.url, response.status, response.ok, response.headers.get('content-type'), response.headers.get('etag'), response.redirected],
    [1, true, url, 200, true, 'application/json', `"${handle.getSnapshot().version}"`, false])
  const value = await response.json()
  assert.deepEqual(value, { a: 1 })
  value.a = 'changed'
  assert.deepEqual(handle.getSnapshot().data, { a: 1 })
  assert.deepEqual(await (await counted.fetch(new URL(url))).json(), { a: 1 })
  assert.deepEqual(await (await counted.fetch(new Request(url, { headers: { accept: 'application/json' } }))).json(), { a: 1 })
  assert.equal(calls.length, 1)

  const before = site.backend.count('/api/a')
  for (const [input, init] of [
    [url, { cache: 'reload' }], [url, { cache: 'no-store' }], [url, { headers: { authorization: 'Bearer x' } }], [url, { headers: { range: 'bytes=0-1' } }],
    [url, { method: 'HEAD' }], [url, { credentials: 'omit' }], [url + '?x=1'], [url + 'b'], [new Request(url, { cache: 'no-cache' })],
  ]) {
    const n = calls.length
    const r = await counted.fetch(input, init)
    await r.text()
    assert.deepEqual([calls.length, calls.at(-1)], [n + 1, [input, init]], JSON.stringify([input, init]))
  }
  assert.deepEqual(await (await counted.fetch(site.relay.origin + '/echo', { headers: new Map([['x-one', '1']]).entries() })).json(), { one: '1' }) // which can be read only once
  await assert.rejects(counted.fetch(url, { signal: AbortSignal.abort(new Error('no')) }), /no/)
  assert.ok(site.backend.count('/api/a') >= before)

  // The type of a text is not known from the socket, so it is taken from the first answer.
  let n = calls.length
  assert.equal(await (await counted.fetch('/api/page').catch(() => counted.fetch(site.relay.origin + '/api/page'))).text(), '<p>1</p>')
  n = calls.length
  const html = await counted.fetch(site.relay.origin + '/api/page')
  assert.deepEqual([calls.length, html.headers.get('content-type'), await html.text()], [n, 'text/html; charset=utf-8', '<p>1</p>'])

  // After a write nothing from before it.
  await counted.fetch(url, { method: 'POST', body: '{}' })
  n = calls.length
  await (await counted.fetch(url)).text()
  assert.equal(calls.length, n + 1)
  assert.equal((await client.fetch(url)).url, url)
})

test('close ends all, and forgets the documents', async (t) => {
  const site = await start(t)
  site.backend.set('/api/a', { secret: 1 })
  const client = site.client(), handle = client.watch('/api/a')
  await until(() => handle.status === 'live')
  const loop = (async () => { const seen = []; for await (const s of handle) seen.push(s.status); return seen })()
  client.close()
  assert.deepEqual(handle.getSnapshot(), { data: undefined, status: 'ended', version: undefined, at: undefined, error: undefined })
  assert.deepEqual(await loop, ['live', 'ended'])
  assert.throws(() => client.watch('/api/a'), /closed/)
  await until(() => site.relay.connections() === 0)
})

test('throttle holds changes back, the newest comes', async (t) => {
  const site = await start(t)
  let n = 0
  site.backend.set('/api/a', () => ({ n: ++n }))
  const seen = []
  site.client().watch('/api/a', ({ n }, { at }) => seen.push({ n, at: +at, came: Date.now() }), { throttle: 500 })
  await until(() => seen.length > 3)
  await until(() => seen.some(({ n }, i) => i && n > seen[i - 1].n + 1), 'a change that was held back for a newer one')
  for (const [i, { at }] of seen.slice(0, -1).entries()) { // it was sent after that, and the next one 500 ms later
    const gap = seen[i + 1].came - at
    assert.ok(gap >= 490, `the next one came ${gap} ms after the API had said ${seen[i].n}`)
  }
})

test('where there is no page, a url or an origin is needed', () => {
  assert.throws(() => createClient(), /url or origin/)
})
