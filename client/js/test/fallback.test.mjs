// Where no socket comes through, and where there is no pollbridge.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import WebSocket from 'ws'
import { poll } from '../dist/fallback.js'
import { createClient } from '../dist/index.js'
import { startBackend, startMiddlebox, startPollbridge, startRelay, until } from './server.mjs'

async function start(t, blocks, options, paths = ['/api/a']) {
  const backend = await startBackend()
  const proxy = await startPollbridge(`upstream: "${backend.origin}"\nendpoints:\n${paths.map((path) => `  - {path: ${path}, interval: 50ms, vary: []}\n`).join('')}`)
  const box = await startMiddlebox(proxy.origin, blocks)
  t.after(async () => { box.close(); await proxy.stop(); backend.close() })
  const client = createClient({ url: box.origin + '/.pollbridge/socket', WebSocket, interval: 100, ...options })
  t.after(() => client.close())
  for (const path of paths) backend.set(path, { n: 1, pad: 'x'.repeat(300) })
  return { backend, box, client }
}

test('without WebSockets it reads the event stream', async (t) => {
  const { backend, box, client } = await start(t, { upgrade: true })
  const handle = client.watch('/api/a'), patches = []
  await until(() => handle.status === 'live')
  await until(() => box.seen.includes('events'))
  handle.onPatch((patch) => patches.push(patch))
  for (let n = 2; n < 6; n++) {
    backend.set('/api/a', { n, pad: 'x'.repeat(300) })
    await until(() => handle.getSnapshot().data.n === n)
  }
  assert.deepEqual(patches[0], [{ op: 'replace', path: '/n', value: 2 }])
  assert.deepEqual(box.seen.filter((kind) => kind !== 'upgrade'), ['plain', 'events'])
  assert.equal(handle.status, 'live')
})

test('without event streams its polls wait, and after that it polls', async (t) => {
  const blocks = { upgrade: true, events: true }
  const { backend, box, client } = await start(t, blocks)
  const handle = client.watch('/api/a')
  await until(() => handle.status === 'live')
  await until(() => box.seen.filter((kind) => kind === 'waits').length === 1, 'a long-poll')
  for (let n = 2; n < 5; n++) {
    backend.set('/api/a', { n })
    await until(() => handle.getSnapshot().data.n === n)
  }
  assert.ok(box.seen.filter((kind) => kind === 'waits').length <= 4, String(box.seen))
  assert.equal(box.seen.filter((kind) => kind === 'events').length, 1)

  blocks.waits = true // from now on these do not come through either
  const polls = () => box.seen.filter((kind) => kind === 'plain').length
  backend.set('/api/a', { n: 9 })
  await until(() => handle.getSnapshot().data.n === 9)
  const before = polls()
  await until(() => polls() > before + 3)
  assert.equal(handle.status, 'live')
  backend.set('/api/a', { n: 10 })
  await until(() => handle.getSnapshot().data.n === 10)
})

test('a token that expires while an event stream is read is asked for again', async (t) => {
  const backend = await startBackend()
  const proxy = await startPollbridge(`upstream: "${backend.origin}"\nendpoints:\n  - {path: /api/, interval: 50ms, vary: [Authorization]}\n`)
  const box = await startMiddlebox(proxy.origin, { upgrade: true })
  t.after(async () => { box.close(); await proxy.stop(); backend.close() })
  let good = 'Bearer 1', given = 'Bearer 1'
  backend.set('/api/a', (req, res) => (req.headers.authorization === good ? { token: good } : void res.writeHead(401).end()))
  const client = createClient({ url: box.origin + '/.pollbridge/socket', WebSocket, interval: 100, headers: () => ({ Authorization: given }) })
  t.after(() => client.close())
  const handle = client.watch('/api/a')
  await until(() => handle.status === 'live' && box.seen.includes('events'))
  good = given = 'Bearer 2'
  await until(() => handle.getSnapshot().data.token === 'Bearer 2')
  assert.ok(!box.seen.includes('waits'), String(box.seen))
  good = 'Bearer 3'
  await until(() => handle.status === 'ended')
  assert.equal(handle.getSnapshot().error.code, 'unauthorized')
})

test('transports says which there are', async (t) => {
  for (const [transports, blocks, kinds] of [
    [['poll'], {}, ['plain', 'waits']],
    [['events'], {}, ['plain', 'events']],
    [['websocket', 'poll'], { upgrade: true }, ['plain', 'upgrade', 'waits']],
  ]) {
    const { backend, box, client } = await start(t, blocks, { transports })
    const handle = client.watch('/api/a')
    await until(() => handle.status === 'live' && box.seen.includes(kinds.at(-1)))
    backend.set('/api/a', { n: 2 })
    await until(() => handle.getSnapshot().data.n === 2)
    assert.deepEqual([...new Set(box.seen)].sort(), [...kinds].sort())
    client.close()
  }
})

test('a browser keeps connections for the page: few requests are held', async (t) => {
  const paths = Array.from({ length: 9 }, (_, i) => '/api/' + i)
  const { backend, box, client } = await start(t, { upgrade: true }, {}, paths)
  const handles = paths.map((path) => client.watch(path))
  await until(() => handles.every((h) => h.status === 'live') && box.seen.filter((kind) => kind === 'events').length === 4)
  for (const path of paths) backend.set(path, { n: 2 })
  await until(() => handles.every((h) => h.getSnapshot().data.n === 2))
  assert.equal(box.seen.filter((kind) => kind === 'events').length, 4)
  assert.equal(box.seen.filter((kind) => kind === 'waits').length, 0)
})

test('when sockets come through it comes back to them, and polls no more', async (t) => {
  const blocks = { upgrade: true }
  const { backend, box, client } = await start(t, blocks)
  const handle = client.watch('/api/a'), states = []
  await until(() => handle.status === 'live')
  handle.subscribe((s) => states.push(s.status))
  blocks.upgrade = false
  const upgrades = () => box.seen.filter((kind) => kind === 'upgrade').length
  const before = upgrades()
  await until(() => upgrades() > before)
  await until(() => client.fetch(box.origin + '/api/a').then((r) => !r.headers.get('date')), 'an answer from what the socket has told')
  backend.set('/api/a', { n: 2 })
  await until(() => handle.getSnapshot().data.n === 2)
  await until(async () => {
    const seen = box.seen.length, polled = backend.count('/api/a')
    await until(() => backend.count('/api/a') > polled + 10) // by pollbridge, in half a second at least
    return box.seen.length === seen
  }, 'the polls to end')
  assert.ok(states.every((s) => s === 'live'), String(states))
})

test('without a pollbridge it polls as before, and finds one that appears', async (t) => {
  const backend = await startBackend(), relay = await startRelay()
  relay.to(backend.origin)
  let proxy
  t.after(async () => { relay.close(); backend.close(); await proxy?.stop() })
  const client = createClient({ url: relay.origin + '/.pollbridge/socket', WebSocket, interval: 100 })
  t.after(() => client.close())
  backend.set('/api/a', { n: 1, same: {} })
  const handle = client.watch('/api/a'), shown = []
  handle.subscribe((s) => shown.push(s))
  await until(() => handle.status === 'live')
  const { data, at } = handle.getSnapshot()
  const polled = backend.count('/api/a')
  await until(() => backend.count('/api/a') > polled + 3)
  assert.equal(shown.length, 1, 'called back though nothing changed')
  backend.set('/api/a', { n: 2, same: {} })
  await until(() => handle.getSnapshot().data.n === 2)
  assert.equal(handle.getSnapshot().data.same, data.same)
  assert.ok(+handle.getSnapshot().at > +at)
  for (const { headers } of backend.requests.filter((r) => r.path === '/api/a')) {
    assert.deepEqual([headers.accept, headers.prefer, headers['if-none-match']], ['*/*', undefined, undefined], 'a legacy API was asked in a new way')
  }

  backend.set('/api/a', (_, res) => void res.writeHead(500).end()) // which polling survives
  await until(() => handle.status === 'stale')
  assert.deepEqual([handle.getSnapshot().error.status, handle.getSnapshot().data.n], [500, 2])
  backend.set('/api/a', { n: 3 })
  await until(() => handle.status === 'live')

  proxy = await startPollbridge(`upstream: "${backend.origin}"\nendpoints:\n  - {path: /api/, interval: 50ms, vary: []}\n`)
  relay.to(proxy.origin)
  relay.cut()
  await until(() => handle.getSnapshot().version, 'a version')
  await until(() => client.fetch(relay.origin + '/api/a').then((r) => r.headers.get('etag') === `"${handle.getSnapshot().version}"` && r.url && !r.headers.get('date')), 'an answer from memory')
})

test('text is told from JSON as pollbridge does', async (t) => {
  const backend = await startBackend()
  t.after(() => backend.close())
  const as = (type, body) => (_, res) => { res.setHeader('content-type', type); res.end(body) }
  const client = createClient({ origin: backend.origin, transports: ['poll'], interval: 30 })
  t.after(() => client.close())
  for (const [type, body, want] of [
    ['application/json', '"x"', 'x'], ['application/problem+json', '1', 1], ['text/plain', '{"a":1}', { a: 1 }], ['text/javascript', ' [1]', [1]],
    ['text/html', '<p>', '<p>'], ['text/csv', '1', '1'], ['text/plain', 'null', 'null'], ['application/json; charset=utf-8', 'null', null],
  ]) {
    backend.set('/x', as(type, body))
    const handle = client.watch('/x?' + encodeURIComponent(type + body))
    await until(() => handle.status === 'live', type)
    assert.deepEqual(handle.getSnapshot().data, want, `${type} ${body}`)
    handle.close()
  }
  backend.set('/y', { a: 1 })
  const handle = client.watch('/y')
  await until(() => handle.status === 'live')
  backend.set('/y', as('text/html', '<form>log in</form>')) // 200, and no document
  await until(() => handle.status === 'stale')
  assert.deepEqual(handle.getSnapshot().data, { a: 1 })
})

test('what comes after the socket has taken its place is not taken in', async (t) => {
  const control = new AbortController(), taken = [], headers = { 'pollbridge-at': new Date().toJSON() }
  let events
  const stream = new ReadableStream({ start(controller) { events = controller } })
  const say = (m) => events.enqueue(new TextEncoder().encode(`data: ${JSON.stringify(m)}\n\n`))
  const over = poll({ href: 'http://x/a', state: {}, stop() {} }, {
    interval: 10, events: true, waits: true, headers: async () => undefined, found() {},
    take: (s, m) => { taken.push(m.type); return true },
    // The abort of a stream that nobody reads is not always told.
    fetch: async (url, { headers: { Accept } }) => (Accept ? new Response(stream, { headers: { ...headers, 'content-type': 'text/event-stream' } }) : Response.json({ n: 1 }, { headers })),
  }, control.signal)
  await until(() => events && taken.length === 1)
  say({ type: 'current' })
  await until(() => taken.length === 2)
  control.abort()
  say({ type: 'patch', from: 'old' })
  await over
  assert.deepEqual(taken, ['snapshot', 'current'])
})
