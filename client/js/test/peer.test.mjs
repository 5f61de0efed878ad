// What a good server does not do, and what only time shows: the client before
// a peer that says what the test has it say.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import WebSocket from 'ws'
import { createClient } from '../dist/index.js'
import { startPeer, until } from './server.mjs'

const at = '2026-05-01T10:00:00.000Z'
const snapshot = (version, data) => ({ type: 'snapshot', url: '/a', version, at, data })
const patch = (from, version, operations, more) => ({ type: 'patch', url: '/a', from, version, at, patch: operations, ...more })

async function start(t, answer, options) {
  const peer = await startPeer(t, answer)
  const client = createClient({ url: peer.url, WebSocket, transports: ['websocket'], ...options })
  t.after(() => client.close())
  return { peer, client }
}

test('a patch that does not fit is not shown: the whole document is asked for', async (t) => {
  for (const [name, lie] of [
    ['of another version', patch('other', 'v2', [{ op: 'replace', path: '/n', value: 2 }])],
    ['of what is not there', patch('v1', 'v2', [{ op: 'replace', path: '/n', value: 2 }, { op: 'remove', path: '/gone' }])],
    ['whose test fails', patch('v1', 'v2', [{ op: 'replace', path: '/n', value: 2 }, { op: 'test', path: '/n', value: 3 }])],
    ['of an unknown operation', patch('v1', 'v2', [{ op: 'replace', path: '/n', value: 2 }, { op: 'spam', path: '/n' }])],
    ['that is none', patch('v1', 'v2', { n: 2 })],
    ['with a current for another version', { type: 'current', url: '/a', version: 'v2', at }],
  ]) {
    const { peer, client } = await start(t, (m, c) => {
      const asked = c.told.filter((m) => m.type === 'subscribe').length
      if (asked === 1) {
        c.say(snapshot('v1', { n: 1, same: {} }))
        c.say(lie)
        c.say(patch('v2', 'v3', [{ op: 'replace', path: '/n', value: 3 }])) // under way already
      } else c.say(snapshot('v3', { n: 3, same: {} }))
    })
    const shown = [], patches = []
    const handle = client.watch('/a', (data) => shown.push(data))
    handle.onPatch((patch) => patches.push(patch))
    await until(() => shown.at(-1)?.n === 3, name)
    assert.deepEqual(shown, [{ n: 1, same: {} }, { n: 3, same: {} }], name)
    assert.equal(shown[0].same, shown[1].same, name)
    assert.equal(patches.length, 2, name)
    assert.deepEqual(peer.connections[0].told.map((m) => [m.type, m.url, m.version]), [['subscribe', '/a', undefined], ['subscribe', '/a', undefined]], name)
    client.close()
  }
})

test('documents with members that are called __proto__ stay what they are', async (t) => {
  const text = '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":2}}}'
  const { peer, client } = await start(t, (m, c) => c.socket.send(`{"type":"snapshot","url":"/a","version":"v1","at":"${at}","data":${text}}`))
  const handle = client.watch('/a')
  await until(() => handle.status === 'live')
  assert.equal(JSON.stringify(handle.getSnapshot().data), text)
  peer.connections[0].socket.send(`{"type":"patch","url":"/a","from":"v1","version":"v2","at":"${at}","patch":[{"op":"add","path":"/__proto__/polluted","value":3},{"op":"add","path":"/constructor/prototype/x","value":4}]}`)
  await until(() => handle.getSnapshot().version === 'v2')
  assert.equal(JSON.stringify(handle.getSnapshot().data), '{"__proto__":{"polluted":3},"constructor":{"prototype":{"polluted":2,"x":4}}}')
  peer.connections[0].socket.send(`{"type":"patch","url":"/a","from":"v2","version":"v3","at":"${at}","format":"merge-patch","patch":{"__proto__":{"polluted":5}}}`)
  await until(() => handle.getSnapshot().version === 'v3')
  assert.equal(JSON.stringify(handle.getSnapshot().data), '{"__proto__":{"polluted":5},"constructor":{"prototype":{"polluted":2,"x":4}}}')
  assert.deepEqual([{}.polluted, Object.polluted, {}.x], [undefined, undefined, undefined])
})

test('what it does not know it ignores', async (t) => {
  const { peer, client } = await start(t, (m, c) => {
    c.say({ type: 'weather', url: '/a', data: 1 })
    c.say({ ...snapshot('v1', 1), more: 2 })
    c.say({ type: 'snapshot', url: '/elsewhere', version: 'v', at, data: 9 })
    c.say({ type: 'end', url: '/elsewhere', error: { code: 'gone', message: '' } })
  })
  const handle = client.watch('/a')
  await until(() => handle.status === 'live')
  assert.equal(handle.getSnapshot().data, 1)
  assert.equal(peer.connections.length, 1)
})

test('it resumes with the version it holds', async (t) => {
  const { peer, client } = await start(t, (m, c) => c.say(m.version ? { type: 'current', url: '/a', version: m.version, at } : snapshot('v1', { n: 1 })))
  const handle = client.watch('/a')
  await until(() => handle.status === 'live')
  for (const code of [1001, 1012, 1013, undefined]) {
    const before = peer.connections.length
    const states = [], off = handle.subscribe((s) => states.push(s.status))
    code ? peer.connections.at(-1).socket.close(code) : peer.connections.at(-1).socket.terminate()
    await until(() => peer.connections.length > before && handle.status === 'live', `coming back after ${code}`)
    off()
    assert.deepEqual(states, ['stale', 'live'], String(code))
    assert.equal(peer.connections.at(-1).told[0].version, 'v1')
  }
})

test('what is its own fault it does not repeat soon', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: 1e12 })
  t.mock.method(Math, 'random', () => 0)
  for (const code of [1008, 1009]) {
    const sockets = []
    class Fake {
      constructor() { sockets.push(this) }
      send() {}
      close() {}
    }
    const client = createClient({ url: 'ws://127.0.0.1:1/', WebSocket: Fake, transports: ['websocket'] })
    client.watch('/a')
    sockets[0].onopen()
    sockets[0].onclose({ code })
    for (let i = 0; i < 299; i++) t.mock.timers.tick(100)
    assert.equal(sockets.length, 1, String(code))
    t.mock.timers.tick(100)
    assert.equal(sockets.length, 2, String(code))
    client.close()
  }
})

test('an error before it is open is its end, and one that was let go of has none', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: 1e12 })
  t.mock.method(Math, 'random', () => 0)
  const sockets = []
  class Fake {
    constructor() { sockets.push(this) }
    send() {}
    close() { this.closed = true }
  }
  const client = createClient({ url: 'ws://127.0.0.1:1/', WebSocket: Fake, transports: ['websocket'], linger: 0 })
  client.watch('/a')
  sockets[0].onerror() // as where the page's policy forbids it: no close follows
  t.mock.timers.tick(0)
  assert.equal(sockets.length, 2)
  sockets[0].onerror()
  t.mock.timers.tick(0)
  assert.equal(sockets.length, 2)
  assert.ok(!sockets[1].closed)
  sockets[1].onopen()
  sockets[1].onerror() // a close follows, and says why
  assert.ok(!sockets[1].closed)
  client.close()
})

test('an end says whether it comes back, and the console what happened', async (t) => {
  const info = t.mock.method(console, 'info', () => {}).mock, warn = t.mock.method(console, 'warn', () => {}).mock
  for (const [code, status] of [['gone', 'ended'], ['forbidden', 'ended'], ['unsupported_type', 'ended'], ['unauthorized', 'ended'], ['something new', 'ended']]) {
    const { peer, client } = await start(t, (m, c) => c.say({ type: 'end', url: '/a', error: { code, message: 'it is over' } }), { transports: undefined })
    const handle = client.watch('/a'), states = []
    handle.subscribe((s) => states.push(s.status))
    await until(() => handle.status === status, code)
    assert.deepEqual(handle.getSnapshot().error, { code, message: 'it is over' })
    assert.deepEqual(states, [status])
    assert.deepEqual(info.calls.at(-1).arguments, ['pollbridge:', handle.url, { code, message: 'it is over' }])
    assert.equal(peer.connections.length, 1)
    await until(() => peer.connections[0].socket.readyState === 3) // nothing is watched any more
    client.close()
  }
  for (const code of ['not_found', 'limit', 'shutting_down', 'not_shareable']) {
    let asked = 0
    const { client } = await start(t, (m, c) => c.say({ type: 'end', url: '/a', error: { code, message: '' } }), {
      transports: undefined, interval: 20,
      fetch: async () => new Response(JSON.stringify({ asked: ++asked }), { headers: { 'content-type': 'application/json' } }),
    })
    const handle = client.watch('/a')
    await until(() => handle.status === 'live' && asked > 2, code)
    client.close()
    const before = asked
    await new Promise((resolve) => setTimeout(resolve, 100))
    assert.equal(asked, before, 'polled after it was closed')
    assert.equal(warn.callCount(), code === 'shutting_down' ? 0 : 1, code)
    if (warn.callCount()) assert.match(warn.calls[0].arguments[0], new RegExp(`^pollbridge: .*/a is polled, not pushed: ${code}: $`))
    warn.resetCalls()
  }
})

test('the console is told of no polling that does not come about', async (t) => {
  const warn = t.mock.method(console, 'warn', () => {}).mock
  const { client } = await start(t, (m, c) => c.say({ type: 'end', url: '/a', error: { code: 'not_found', message: '' } }), {
    transports: undefined, interval: 20, fetch: () => Promise.reject(new TypeError('no')), // as pollbridge/fetch has it
  })
  const handle = client.watch('/a')
  await until(() => handle.getSnapshot().error?.code === 'unreachable')
  assert.equal(warn.callCount(), 0)
})

test('where polling may not take its place, what no rule matches has ended', async (t) => {
  for (const m of [{ type: 'end', url: '/a', error: { code: 'not_found', message: 'no rule' } }, { type: 'error', error: { code: 'bad_message', message: 'no such header' } }]) {
    const { client } = await start(t, (_, c) => c.say(m))
    const handle = client.watch('/a')
    await until(() => handle.status === 'ended')
    assert.deepEqual(handle.getSnapshot().error, m.error)
  }
})

test('a message that was not understood does not leave one waiting', async (t) => {
  const { client } = await start(t, (m, c) => c.say({ type: 'error', error: { code: 'bad_message', message: 'headers may name only what vary lists' } }), {
    transports: undefined, interval: 20, headers: () => ({ 'X-Unknown': '1' }),
    fetch: async (_, { headers }) => new Response(JSON.stringify(headers)),
  })
  const handle = client.watch('/a')
  await until(() => handle.status === 'live')
  assert.deepEqual(handle.getSnapshot().data, { 'X-Unknown': '1' })
})

test('where headers cannot be had it says so, and asks again', async (t) => {
  let fails = true
  const { client, peer } = await start(t, (m, c) => c.say(snapshot('v1', m.headers)), {
    transports: undefined, interval: 30,
    headers: async () => { if (fails) throw new Error('the token service is down'); return { Authorization: 'Bearer x' } },
    fetch: async () => new Response('{}', { headers: { 'pollbridge-at': at, etag: 'W/"v0"' } }),
  })
  const handle = client.watch('/a')
  await until(() => handle.getSnapshot().error)
  assert.match(handle.getSnapshot().error.message, /token service is down/)
  fails = false
  await until(() => peer.connections[0].told.length)
  await until(() => handle.getSnapshot().version === 'v1')
  assert.deepEqual(handle.getSnapshot().data, { Authorization: 'Bearer x' })
})

test('it comes back after random(0, min(30 s, 0.5 s * 2^n)), anew after 5 s of uptime', async (t) => {
  // Time and sockets are the test's: what is looked at is when they are opened.
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: 1e12 })
  const opened = []
  class Fake {
    constructor() { opened.push({ at: Date.now(), socket: this }) }
    send() {}
    close() {}
  }
  const random = t.mock.method(Math, 'random', () => 1)
  const client = createClient({ url: 'ws://127.0.0.1:1/', WebSocket: Fake, transports: ['websocket'] })
  t.after(() => client.close())
  client.watch('/a')
  const delays = []
  const lose = () => {
    const before = Date.now(), n = opened.length
    opened.at(-1).socket.onclose({ code: 1006 })
    for (let i = 0; opened.length === n && i < 40_000; i++) t.mock.timers.tick(10)
    delays.push(Date.now() - before)
  }
  opened.at(-1).socket.onopen()
  for (let i = 0; i < 9; i++) lose()
  assert.deepEqual(delays, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000])

  delays.length = 0
  opened.at(-1).socket.onopen()
  t.mock.timers.tick(4900) // not long enough
  lose()
  opened.at(-1).socket.onopen()
  t.mock.timers.tick(5100)
  lose()
  assert.deepEqual(delays, [30000, 500])

  delays.length = 0
  random.mock.mockImplementation(() => 0.25)
  for (let i = 0; i < 3; i++) lose()
  assert.deepEqual(delays, [250, 500, 1000])
  random.mock.mockImplementation(() => 0)
  lose()
  assert.deepEqual(delays.at(-1), 10) // at once, as far as this test's clock goes
})

test('a socket that was never there is looked for ever more seldom', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: 1e12 })
  const opened = []
  class Fake {
    constructor() { opened.push(Date.now()); setTimeout(() => this.onclose({ code: 1006 }), 1) }
    close() {}
  }
  t.mock.method(Math, 'random', () => 1)
  const client = createClient({ url: 'ws://127.0.0.1:1/', WebSocket: Fake, transports: ['websocket'] })
  t.after(() => client.close())
  client.watch('/a')
  for (let i = 0; i < 36_000; i++) t.mock.timers.tick(100) // an hour
  assert.ok(opened.length > 15 && opened.length < 25, `${opened.length} tries in an hour`)
})

test('a silent socket is asked for a sign of life, and given up without one', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: 1e12 })
  const sockets = []
  class Fake {
    said = []
    constructor() { sockets.push(this) }
    send(text) {
      this.said.push(JSON.parse(text))
      if (!this.dead && JSON.parse(text).type === 'ping') setTimeout(() => this.onmessage({ data: '{"type":"pong"}' }), 100)
    }
    close() { this.closed = true }
  }
  const client = createClient({ url: 'ws://127.0.0.1:1/', WebSocket: Fake, transports: ['websocket'] })
  t.after(() => client.close())
  const handle = client.watch('/a')
  sockets[0].onopen()
  sockets[0].onmessage({ data: JSON.stringify(snapshot('v1', 1)) })
  const wait = (ms) => { for (let i = 0; i < ms; i += 100) t.mock.timers.tick(100) }
  wait(600_000)
  const pings = sockets[0].said.filter((m) => m.type === 'ping').length
  assert.ok(pings >= 16 && pings <= 20, `${pings} pings in ten minutes of silence`)
  assert.deepEqual([sockets.length, handle.status], [1, 'live'])
  sockets[0].dead = true
  const died = Date.now()
  for (let i = 0; i < 1000 && handle.status === 'live'; i++) wait(100)
  const took = Date.now() - died
  assert.ok(took <= 46_000, `noticed after ${took} ms`)
  assert.equal(sockets[0].closed, true)
  wait(1000)
  assert.equal(sockets.length, 2)

  // Asleep: timers stand still, and the clock does not.
  sockets[1].onopen()
  sockets[1].onmessage({ data: JSON.stringify({ type: 'current', url: '/a', version: 'v1', at }) })
  sockets[1].dead = true
  wait(1000)
  t.mock.timers.setTime(Date.now() + 3_600_000)
  const woke = Date.now()
  for (let i = 0; i < 1000 && handle.status === 'live'; i++) wait(100)
  assert.ok(Date.now() - woke <= 15_000, `noticed ${Date.now() - woke} ms after waking up`)
})
