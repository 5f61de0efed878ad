// The traps that a page's own polls set for whoever answers them from memory: when the network has to be asked.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startBackend } from '../server.mjs'
import { newContext, options, rules, startSite, until } from './harness.mjs'
import { open } from './shim.mjs'

test('what the network answers to this page alone is not answered from memory', options, async (t) => {
  const site = await startSite(t, { yaml: rules({ path: '/api/orders', interval: '50ms', vary: [], serve: false }) })
  site.backend.set('/api/orders', (req) => ({ for: req.headers['x-requested-with'] ?? 'anybody' }))
  const tab = await open(t, site)
  const found = await tab.evaluate(async () => [await reasons('/api/orders', 12, { headers: { 'X-Requested-With': 'XMLHttpRequest' } }), await poll('/api/orders', memory)])
  assert.ok(!found[0].includes(null), String(found[0]))
  assert.equal(found[1], '{"for":"anybody"}')
})

test('headers that say something about the document are those of the document', options, async (t) => {
  const site = await startSite(t)
  const send = (n) => site.backend.set('/api/orders', (req, res) => void res.writeHead(200, { 'content-type': 'application/json', 'x-total-count': n, 'x-request-id': Math.random() }).end(`{"n":${n}}`))
  send(1)
  const tab = await open(t, site)
  await tab.evaluate(() => poll('/api/orders', memory))
  for (let n = 2; n < 6; n++) {
    send(n)
    await tab.evaluate((n) => poll('/api/orders', (text, note, response) => {
      if (JSON.parse(text).n !== +response.headers.get('x-total-count')) throw new Error(text + response.headers.get('x-total-count'))
      return memory(text, note) && JSON.parse(text).n === n
    }), n)
  }
})

test('after a write nothing from before it is shown', options, async (t) => {
  const site = await startSite(t, { yaml: rules({ path: '/api/orders', interval: '10s', vary: [], refresh_on: ['POST /api/orders/{id}'] }) })
  let n = 1
  site.backend.set('/api/orders', () => ({ n }))
  site.backend.set('/api/orders/1', () => ({ n: ++n }))
  const tab = await open(t, site)
  await tab.evaluate(() => poll('/api/orders', memory))
  for (let i = 0; i < 3; i++) {
    const [wrote, read] = await tab.evaluate(async (xhr) => {
      const wrote = xhr
        ? await new Promise((resolve) => { const x = new XMLHttpRequest(); x.open('POST', '/api/orders/1'); x.responseType = 'json'; x.onload = () => resolve(x.response); x.send() })
        : await (await fetch('/api/orders/1', { method: 'POST' })).json()
      return [wrote.n, (await (await fetch('/api/orders')).json()).n]
    }, i % 2)
    assert.ok(read >= wrote, `${read} was read after ${wrote} was written`)
    if (!i) await tab.evaluate((n) => poll('/api/orders', (text, note) => memory(text, note) && JSON.parse(text).n === n), n)
  }
})

test('another user on the same page never sees what was the first one\'s', options, async (t) => {
  const site = await startSite(t, { yaml: rules({ path: '/api/orders', interval: '50ms', vary: ['Cookie:sid'] }) })
  const orders = { alice: [], bob: [] } // the same at first
  site.backend.set('/api/orders', (req, res) => {
    const user = /sid=(\w+)/.exec(req.headers.cookie)?.[1]
    if (!orders[user]) return void res.writeHead(401).end()
    return orders[user]
  })
  site.backend.set('/login', (req, res) => void res.writeHead(200, { 'set-cookie': `sid=${new URL(req.url, 'http://x').searchParams.get('user')}; HttpOnly; Path=/` }).end())
  const tab = await open(t, site)
  const login = (user) => tab.evaluate((user) => fetch('/login?user=' + user, { method: 'POST' }).then((r) => r.text()), user)
  await login('alice')
  await tab.evaluate(() => poll('/api/orders', memory))
  await login('bob')
  await tab.evaluate(() => poll('/api/orders', memory))
  orders.alice = ['secret of alice']
  orders.bob = ['of bob']
  const seen = await tab.evaluate(async () => {
    const seen = []
    await poll('/api/orders', (text, note) => seen.push(text) && memory(text, note) && text.includes('bob'))
    return seen
  })
  assert.ok(!seen.join().includes('alice'), String(seen))
  // A cookie that a script sets is seen as well, if it could be somebody's, and a refusal.
  const asked = tab.requests.length
  await tab.evaluate(() => { document.cookie = '_ga_X1=GS1.1.17' })
  await tab.evaluate(() => fetch('/api/orders').then((r) => r.text()))
  assert.equal(tab.requests.length, asked)
  await tab.evaluate(() => { document.cookie = 'tenant=2' })
  await tab.evaluate(() => fetch('/api/orders').then((r) => r.text()))
  assert.equal(tab.requests.length, asked + 1)
  await login('nobody')
  assert.equal(await tab.evaluate(() => fetch('/api/orders').then((r) => r.status)), 401)
  assert.equal(await tab.evaluate(() => fetch('/api/orders').then((r) => r.status)), 401)
})

test('a refusal that any request of the page meets drops what is held', options, async (t) => {
  const site = await startSite(t)
  site.backend.set('/api/orders', { orders: 1 })
  site.backend.set('/api/session', (req, res) => void res.writeHead(401).end())
  const tab = await open(t, site)
  await tab.evaluate(() => poll('/api/orders', memory))
  const asked = tab.requests.length
  await tab.evaluate(() => fetch('/api/orders').then((r) => r.text()))
  assert.equal(tab.requests.length, asked)
  assert.equal(await tab.evaluate(() => fetch('/api/session').then((r) => r.status)), 401)
  await tab.evaluate(() => fetch('/api/orders').then((r) => r.text()))
  assert.equal(tab.requests.length, asked + 2)
})

test('a token is part of the question', options, async (t) => {
  const site = await startSite(t, { yaml: rules({ path: '/api/orders', interval: '50ms', vary: ['Authorization'] }, { path: '/api/all', interval: '50ms', vary: [] }) })
  site.backend.set('/api/orders', (req) => ({ user: req.headers.authorization ?? 'nobody' }))
  site.backend.set('/api/all', (req) => ({ user: req.headers.authorization ?? 'nobody' }))
  const tab = await open(t, site)
  for (const user of ['Bearer alice', 'Bearer bob', undefined]) {
    const init = user && { headers: { Authorization: user } }
    const found = await tab.evaluate(async (init) => [await poll('/api/orders', memory, init), (await (await fetch('/api/orders', init)).json()).user], init)
    assert.deepEqual(found, [`{"user":"${user ?? 'nobody'}"}`, user ?? 'nobody'])
  }
  // A rule that does not tell them apart does not take them, so these go on polling.
  const found = await tab.evaluate(() => reasons('/api/all', 12, { headers: { Authorization: 'Bearer alice' } }))
  assert.ok(!found.includes(null), String(found))
})

test('where the way to the API, or the API, fails, the page polls as it did before', options, async (t) => {
  const site = await startSite(t)
  site.backend.set('/api/orders', { orders: 1 })
  const tab = await open(t, site)
  await tab.evaluate(() => poll('/api/orders', memory))
  site.backend.set('/api/orders', (req, res) => void res.writeHead(503).end('no'))
  assert.equal(await tab.evaluate(() => poll('/api/orders', (text, note, r) => r.status === 503)), 'no')
  site.backend.set('/api/orders', { orders: 2 })
  assert.equal(await tab.evaluate(() => poll('/api/orders', memory)), '{"orders":2}')
  site.relay.cut() // sockets too
  assert.equal(await tab.evaluate(() => poll('/api/orders', (text, note) => note?.from === 'network')), '{"orders":2}')
  await tab.evaluate(() => poll('/api/orders', memory))
  await site.proxy.stop() // none any more, and the API takes its place
  site.relay.to(site.backend.origin)
  site.backend.set('/api/orders', { orders: 3 })
  await tab.evaluate(() => poll('/api/orders', async (text) => text === '{"orders":3}').catch(() => {}))
  const found = await tab.evaluate(() => reasons('/api/orders', 5))
  assert.ok(!found.includes(null), String(found))
})

test('the network is asked now and then: a connection that died unseen is noticed, and sessions are kept alive', options, async (t) => {
  const site = await startSite(t)
  site.backend.set('/api/orders', { orders: 1 })
  const context = await newContext()
  await context.clock.install()
  const tab = await open(t, site, { context })
  // When each request to the network was about to be made, and when it was.
  await tab.evaluate(async () => {
    window.looks = []
    window.look = async () => {
      const before = performance.now(), answer = fetch('/api/orders')
      if (pollbridgeShim.notes.at(-1)?.from !== 'memory') looks.push([before, performance.now()])
      window.shown = await (await answer).text()
    }
    do {
      await beat()
      await look()
    } while (pollbridgeShim.notes.at(-1)?.from !== 'memory')
  })
  site.relay.mute(true)
  await site.change('/api/orders', { orders: 2 }) // else the old one would be taken for what the network says, and believed until the next look
  const asked = await tab.evaluate(() => { setInterval(look, 2000); return looks.length })
  await until(async () => { await tab.clock.runFor(2000); return tab.evaluate(() => shown === '{"orders":2}') })
  const [[last], [, next]] = (await tab.evaluate(() => looks)).slice(asked - 1)
  assert.ok(next - last > 30_000, `the network was asked again after ${next - last} ms`)
})

test('what is not polled any more is not watched any more', options, async (t) => {
  const site = await startSite(t)
  site.backend.set('/api/orders', { orders: 1 })
  const context = await newContext()
  await context.clock.install()
  const tab = await open(t, site, { context })
  const socket = tab.waitForEvent('websocket')
  await tab.evaluate(() => poll('/api/orders', memory))
  const closed = (await socket).waitForEvent('close')
  await tab.clock.fastForward(13_000)
  await closed
  await tab.evaluate(() => poll('/api/orders', memory))
})

test('a page that comes back from the cache of pages goes on', options, async (t) => {
  const site = await startSite(t)
  site.backend.set('/api/orders', { orders: 1 })
  const tab = await open(t, site)
  await tab.evaluate(() => { window.kept = true; return poll('/api/orders', memory) })
  await tab.goto(site.origin + '/empty')
  await site.change('/api/orders', { orders: 2 })
  await tab.goBack({ waitUntil: 'commit' })
  await tab.waitForFunction(() => window.kept)
  assert.equal(await tab.evaluate(() => fetch('/api/orders').then((r) => r.text())), '{"orders":2}')
  await tab.evaluate(() => poll('/api/orders', memory))
})

test('documents that no cache may keep are answered too, each as the network has it', options, async (t) => {
  const site = await startSite(t, { yaml: rules({ path: '/api/orders', interval: '50ms', vary: ['Cookie'] }) })
  const send = (n) => site.backend.set('/api/orders', (req, res) => void res.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'private, no-store' }).end(`{"n": ${n}.0}`))
  send(1)
  const context = await newContext()
  await context.addCookies([{ name: 'sid', value: 'alice', url: site.origin }])
  const tab = await open(t, site, { context })
  assert.equal(await tab.evaluate(() => poll('/api/orders', memory)), '{"n": 1.0}')
  send(2)
  assert.equal(await tab.evaluate(() => poll('/api/orders', (text, note) => memory(text, note) && text.includes('2'))), '{"n":2.0}')
})

test('every way of writing counts, but not to what is excluded', options, async (t) => {
  const site = await startSite(t, { yaml: rules({ path: '/api/orders', interval: '10s', vary: [], refresh_on: ['PUT /orders/{id}'] }) })
  let n = 1
  site.backend.set('/api/orders', () => ({ n }))
  site.backend.set('/orders/1', () => ({ n: ++n }))
  site.backend.set('/rum/beat', {})
  const tab = await open(t, site, { attributes: 'data-exclude="/rum/"' })
  await tab.evaluate(() => poll('/api/orders', memory))
  const found = await tab.evaluate(async () => {
    await fetch('/rum/beat', { method: 'POST' })
    const before = await reasons('/api/orders', 1)
    const x = new XMLHttpRequest()
    x.open('PUT', '/orders/1', false)
    x.send()
    return [before, (await (await fetch('/api/orders')).json()).n]
  })
  assert.deepEqual(found, [[null], 2])
})

test('a write with credentials to another origin counts: who is logged in there is here', options, async (t) => {
  const other = await startBackend()
  t.after(() => other.close())
  const site = await startSite(t)
  site.backend.set('/api/orders', { orders: 1 })
  other.set('/login', (req, res) => void res.writeHead(200, { 'access-control-allow-origin': site.origin, 'access-control-allow-credentials': 'true' }).end())
  const tab = await open(t, site)
  for (const [how, asks] of [['omit', false], ['include', true], ['xhr', true]]) {
    await tab.evaluate(() => poll('/api/orders', memory))
    const found = await tab.evaluate(async ([url, how]) => {
      const x = new XMLHttpRequest()
      x.open('POST', url)
      x.withCredentials = true
      if (how === 'xhr') await new Promise((resolve) => { x.onload = resolve; x.send() })
      else await fetch(url, { method: 'POST', credentials: how })
      return (await reasons('/api/orders', 1))[0]
    }, [other.origin + '/login', how])
    assert.equal(found !== null, asks, `${how}: ${found}`)
  }
})

test('a page that writes all the time is shown nothing old', options, async (t) => {
  const site = await startSite(t, { yaml: rules({ path: '/api/orders', interval: '50ms', vary: [], refresh_on: ['POST /api/orders/{id}'] }) })
  let n = 1
  site.backend.set('/api/orders', () => ({ n }))
  site.backend.set('/api/orders/1', () => ({ n: ++n }))
  const tab = await open(t, site)
  await tab.evaluate(() => poll('/api/orders', memory))
  const faults = await tab.evaluate(async () => {
    const faults = []
    let written = 0
    const writer = (async () => {
      for (let i = 0; i < 20; i++) {
        written = (await (await fetch('/api/orders/1', { method: 'POST' })).json()).n
        await new Promise((resolve) => setTimeout(resolve, 60))
      }
    })()
    for (let i = 0; i < 20; i++) {
      const before = written, { n } = await (await fetch('/api/orders')).json()
      if (n < before) faults.push([before, n])
      await beat()
    }
    await writer
    return faults
  })
  assert.deepEqual(faults, [])
})

test('through changes, cuts, writes and restarts a page is shown what the API has said, member by member, and never goes back', options, async (t) => {
  const paths = ['/api/a', '/api/b', '/api/c']
  const site = await startSite(t, { yaml: rules(...paths) })
  const random = ((seed) => () => (seed = Math.imul(seed ^ (seed >>> 15), 0x2c1b3c6d) + 0x9e3779b9 | 0, (seed >>> 0) / 2 ** 32))(11)
  const said = Object.fromEntries(paths.map((path) => [path, new Set()]))
  const change = (path) => {
    const documents = said[path], n = documents.size
    const members = ['z', 'a', 'm', '7', 'b', 'x'].filter(() => random() < 0.7)
    const value = () => [String(random()), '1.0', '9007199254740993', '"Bl\\u00e5"', '[]', '{"y":1,"x":-0.0}'][Math.floor(random() * 6)]
    const text = `{"n":${n},"note":"${'long enough for patches to be shorter '.repeat(6)}",${members.map((m) => `"${m}":${value()},`).join('')}"list":[${Array.from({ length: 8 }, (_, i) => `{"id":${i},"v":${random() < 0.3 ? n : 0}.50}`)}]}`
    documents.add(text)
    site.backend.set(path, (req, res) => void res.writeHead(200, { 'content-type': 'application/json' }).end(text))
  }
  paths.forEach(change)
  site.backend.set('/write', { ok: true })
  const tab = await open(t, site)
  await tab.evaluate((paths) => {
    window.shown = []
    const xhr = (path) => new Promise((resolve, reject) => {
      const x = new XMLHttpRequest()
      x.open('GET', path)
      x.onload = () => resolve(x.responseText)
      x.onerror = reject
      x.send()
    })
    paths.forEach((path, i) => setInterval(async () => {
      const before = shown.length // what is shown when it is asked for; answers may overtake each other
      try {
        shown.push([path, i ? await xhr(path) : await (await fetch(path)).text(), before])
      } catch {} // while there is no way
    }, 120 + i))
  }, paths)
  const memory = (n) => tab.waitForFunction((n) => pollbridgeShim.notes.filter((note) => note.from === 'memory').length > n, n)
  await memory(10)
  for (let round = 0; round < 30; round++) {
    change(paths[round % 3])
    await new Promise((resolve) => setTimeout(resolve, 100))
    if (round % 10 === 3) site.relay.cut()
    if (round % 10 === 6) await tab.evaluate(() => fetch('/write', { method: 'POST' }).catch(() => {}))
    if (round === 15) await site.serve()
  }
  const compact = (text) => text.replaceAll('\\u00e5', 'å')
  await tab.waitForFunction((n) => Object.entries(n).every(([path, n]) => shown.filter((s) => s[0] === path).at(-1)[1].startsWith(`{"n":${n},`)), Object.fromEntries(paths.map((path) => [path, said[path].size - 1])))
  const shown = (await tab.evaluate(() => shown)).map(([path, text, before]) => ({ path, text, before, n: +/"n":(\d+)/.exec(text)?.[1] }))
  for (const { path, text, before, n } of shown) {
    if (isNaN(n)) continue // a plain error, while pollbridge was restarted
    // Members whose names are numbers come first in any JavaScript object, and so in what is written of it.
    const order = (text) => compact(text).replace(/"7":([^,{[]*|\[\]|\{[^}]*\}),/, '')
    assert.ok([...said[path]].some((document) => order(document) === order(text)), `${path} never said ${text}`)
    const newest = Math.max(...shown.slice(0, before).map((s) => (s.path === path && s.n) || 0))
    assert.ok(n >= newest, `${path} went from ${newest} to ${n}`)
  }
})
