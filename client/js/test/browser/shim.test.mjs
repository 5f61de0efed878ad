// The traps that a page's own polls set for whoever answers them, and what the shim does about each.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { getBrowser, options, rules, startSite, until } from './harness.mjs'

const icon = '<!doctype html><meta charset=utf-8><title>page</title><link rel=icon href=data:,>'
const shim = (attributes = '') => `<script src="/.pollbridge/shim.js" ${attributes}></script>`

/** A tab with the shim in it, and what polls there: `poll(url, done, init)` until done(text, note, response). */
async function open(t, site, { before = '', after = '', attributes, path = '/page', context } = {}) {
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
        const n = pollbridgeShim.notes.length
        const response = await fetch(typeof url === 'function' ? url() : url, init)
        const text = await response.text()
        if (await done(text, pollbridgeShim.notes.slice(n)[0], response)) return text
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

test('what is polled is answered from memory, and the page is told of changes', options, async (t) => {
  const site = await startSite(t)
  site.backend.set('/api/orders', [{ id: 1, state: 'open' }])
  const tab = await open(t, site)
  await tab.evaluate(() => {
    window.updates = []
    document.addEventListener('pollbridge:update', (e) => updates.push(e.detail.url))
    return poll('/api/orders', memory)
  })
  const asked = tab.requests.length
  site.backend.set('/api/orders', [{ id: 1, state: 'sent' }, { id: 2, state: 'open' }])
  await tab.waitForFunction(() => updates.length)
  assert.equal(await tab.evaluate(() => fetch('/api/orders').then((r) => r.text())), '[{"id":1,"state":"sent"},{"id":2,"state":"open"}]')
  assert.equal(tab.requests.length, asked)
  assert.deepEqual(await tab.evaluate(() => updates[0]), site.origin + '/api/orders')
})

test('nothing is watched before it was polled again and again, nor what no rule names', options, async (t) => {
  const site = await startSite(t)
  for (const path of ['/api/orders', '/api/other', '/api/since']) site.backend.set(path, { path })
  const tab = await open(t, site)
  // Each once, and cursors: no key comes back.
  await tab.evaluate(async () => {
    for (let i = 0; i < 5; i++) {
      await (await fetch('/api/orders?since=' + (1700000000 + i))).text()
      await beat()
    }
    await (await fetch('/api/orders')).text()
    await Promise.all([1, 2, 3].map(async () => (await fetch('/api/orders')).text())) // one beat
  })
  assert.equal(tab.sockets, 0)
  // What is asked for as soon as it is answered paces itself by the answers, as long-polls do.
  await tab.evaluate(async () => { for (let i = 0; i < 6; i++) await poll('/api/orders', () => true) })
  assert.equal(tab.sockets, 0)
  assert.deepEqual(await tab.evaluate(async () => [...new Set((await reasons('/api/other', 12)).slice(6))]), ['not_found'])
})

test('cache busters make no new resource where the rule says so too', options, async (t) => {
  const site = await startSite(t, { yaml: rules('/api/orders', { path: '/api/other', interval: '50ms', vary: [], drop_query: [] }) })
  site.backend.set('/api/orders', { orders: 1 })
  site.backend.set('/api/other', { orders: 2 })
  const tab = await open(t, site)
  assert.equal(await tab.evaluate(() => poll(() => '/api/orders?open=1&_=' + Date.now(), memory)), '{"orders":1}')
  const url = await tab.evaluate(async () => (await fetch('/api/orders?open=1&_=1234567890123')).url)
  assert.equal(url, site.origin + '/api/orders?open=1&_=1234567890123')
  const found = await tab.evaluate(() => reasons(() => '/api/other?_=' + Date.now(), 12))
  assert.ok(!found.includes(null), String(found))
})

test('who asks for the network gets it', options, async (t) => {
  const site = await startSite(t)
  site.backend.set('/api/orders', { orders: 1 })
  const tab = await open(t, site)
  await tab.evaluate(() => poll('/api/orders', memory))
  const inits = [
    ...['no-store', 'reload', 'no-cache', 'force-cache'].map((cache) => ({ cache })),
    ...['omit'].map((credentials) => ({ credentials })),
    ...[['Cache-Control', 'no-cache'], ['Pragma', 'no-cache'], ['Range', 'bytes=0-3'], ['If-None-Match', '"x"'], ['X-Custom', '1'], ['Authorization', 'Bearer x'], ['Accept', 'text/csv']].map((h) => ({ headers: [h] })),
    { keepalive: true }, { mode: 'no-cors' }, { method: 'HEAD' }, { method: 'POST', body: '{}' },
  ]
  for (const init of inits) {
    const before = tab.requests.length
    await tab.evaluate(async (init) => (await fetch('/api/orders', init)).text(), init)
    assert.equal(tab.requests.length, before + 1, JSON.stringify(init))
  }
  const xhr = await tab.evaluate(async () => {
    await poll('/api/orders', memory)
    const asks = [
      (x) => x.setRequestHeader('Cache-Control', 'no-cache'), (x) => x.overrideMimeType('text/plain; charset=iso-8859-1'), (x) => { x.responseType = 'document' }, () => {},
    ]
    const found = []
    for (const ask of asks) {
      const x = new XMLHttpRequest(), n = pollbridgeShim.notes.length
      x.open('GET', '/api/orders')
      ask(x)
      x.send()
      await new Promise((resolve) => { x.onloadend = resolve })
      found.push(pollbridgeShim.notes.slice(n).some((n) => n.from === 'memory'))
      await beat()
    }
    return found
  })
  assert.deepEqual(xhr, [false, false, false, true])
})

test('only a whole document that is text is answered', options, async (t) => {
  const answers = {
    '/api/none': (req, res) => void res.writeHead(204).end(),
    '/api/error': (req, res) => void res.writeHead(500, { 'content-type': 'application/json' }).end('{}'),
    '/api/latin': (req, res) => void res.writeHead(200, { 'content-type': 'text/plain; charset=iso-8859-1' }).end(Buffer.from('bl\xe5b\xe6r', 'latin1')),
    '/api/broken': (req, res) => void res.writeHead(200, { 'content-type': 'text/plain' }).end(Buffer.from('bl\xe5', 'latin1')),
    '/api/binary': (req, res) => void res.writeHead(200, { 'content-type': 'application/octet-stream' }).end('abc'),
    '/api/orders': { orders: 1 },
  }
  const site = await startSite(t, { yaml: rules(...Object.keys(answers)) })
  for (const path in answers) site.backend.set(path, answers[path])
  const tab = await open(t, site)
  for (const path in answers) {
    const found = await tab.evaluate((path) => reasons(path, 9), path)
    assert.equal(found.includes(null), path === '/api/orders', path + ': ' + found)
  }
})

test('a page reads the numbers, the members and their order as the API wrote them', options, async (t) => {
  const site = await startSite(t)
  const send = (text) => site.backend.set('/api/orders', (req, res) => void res.writeHead(200, { 'content-type': 'application/json' }).end(text))
  send('{"v": 1, "big": 9007199254740993, "float": 21.0, "exp": 1E2, "neg": -0.0, "tiny": 0.00000012, "huge": 1e400, "text": "1.0 \\" 9007199254740993 \\u00e9", "twice": 1, "twice": 2}')
  const tab = await open(t, site)
  await tab.evaluate(() => poll('/api/orders', memory))
  const value = (v) => `{"v":${v},"big":9007199254740995,"float":22.0,"exp":1E3,"neg":-0.0,"tiny":0.00000012,"huge":1e400,"text":"1.0 \\" 9007199254740993 é","twice":2}`
  send(value(2).replace('é', '\\u00e9').replace(/,/g, ', ').replace('"twice"', '"twice": 1, "twice"'))
  assert.equal(await tab.evaluate(() => poll('/api/orders', (text, note) => memory(text, note) && text.includes('"v":2'))), value(2))

  // A member that is new: nobody but the API knows its place.
  send('{"z":1,"a":2,"list":[1]}')
  await tab.evaluate(() => poll('/api/orders', (text, note) => memory(text, note) && text.startsWith('{"z"')))
  send('{"z":1,"m":3,"a":2,"list":[1,2,3]}')
  await tab.evaluate(() => poll('/api/orders', (text, note) => {
    if (text.includes('m') && text !== '{"z":1,"m":3,"a":2,"list":[1,2,3]}') throw new Error(text)
    return memory(text, note) && text.includes('m')
  }))
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
  // A cookie that a script sets is seen as well, and a refusal.
  const asked = tab.requests.length
  await tab.evaluate(() => { document.cookie = 'tenant=2' })
  await tab.evaluate(() => fetch('/api/orders').then((r) => r.text()))
  assert.equal(tab.requests.length, asked + 1)
  await login('nobody')
  assert.equal(await tab.evaluate(() => fetch('/api/orders').then((r) => r.status)), 401)
  assert.equal(await tab.evaluate(() => fetch('/api/orders').then((r) => r.status)), 401)
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

test('a connection that died unseen is noticed, and sessions are kept alive', options, async (t) => {
  const site = await startSite(t)
  site.backend.set('/api/orders', { orders: 1 })
  const context = await (await getBrowser()).newContext()
  await context.clock.install()
  const tab = await open(t, site, { context })
  await tab.evaluate(() => poll('/api/orders', memory))
  site.relay.mute(true)
  site.backend.set('/api/orders', { orders: 2 })
  await tab.clock.fastForward(31_000)
  assert.equal(await tab.evaluate(() => poll('/api/orders', (text) => text === '{"orders":2}')), '{"orders":2}')
})

test('what is not polled any more is not watched any more', options, async (t) => {
  const site = await startSite(t)
  site.backend.set('/api/orders', { orders: 1 })
  const context = await (await getBrowser()).newContext()
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
  site.backend.set('/api/orders', { orders: 2 })
  await tab.goBack({ waitUntil: 'commit' })
  await tab.waitForFunction(() => window.kept)
  assert.equal(await tab.evaluate(() => fetch('/api/orders').then((r) => r.text())), '{"orders":2}')
  await tab.evaluate(() => poll('/api/orders', memory))
})

test('it gets on with others that patch fetch, with a strict policy, and can be taken out', options, async (t) => {
  const site = await startSite(t)
  site.backend.set('/api/orders', { orders: 1 })
  const policy = `<meta http-equiv=Content-Security-Policy content="default-src 'none'; script-src 'self'; connect-src 'self'; img-src data:">`
  site.backend.set('/rum.js', (req, res) => void res.writeHead(200, { 'content-type': 'text/javascript' }).end(`
    window.seen = window.seen || []
    { const name = document.currentScript.dataset.name, native = window.fetch
      window.fetch = function (...args) { seen.push(name); return native.apply(this, args) }
      const send = XMLHttpRequest.prototype.send
      XMLHttpRequest.prototype.send = function (...args) { seen.push(name + ' xhr'); return send.apply(this, args) } }`))
  const tab = await open(t, site, { before: policy + '<script src=/rum.js data-name=before></script>', after: '<script src=/rum.js data-name=after></script>' })
  await tab.evaluate(() => poll('/api/orders', memory))
  assert.deepEqual(await tab.evaluate(async () => {
    seen.length = 0
    await fetch('/api/orders')
    const x = new XMLHttpRequest()
    x.open('GET', '/api/orders')
    x.send()
    await new Promise((resolve) => { x.onload = resolve })
    return seen
  }), ['after', 'after xhr'])
  const asked = tab.requests.length
  await tab.evaluate(async () => {
    pollbridgeShim.restore()
    seen.length = 0
    await fetch('/api/orders')
  })
  assert.equal(tab.requests.length, asked + 1)
  assert.deepEqual(await tab.evaluate(() => seen), ['after', 'before'])
})

test('taken out of a page that has nothing else, everything is the browser\'s own again', options, async (t) => {
  const site = await startSite(t)
  const tab = await open(t, site, { before: '<script>window.own = [fetch, ...Object.values(Object.getOwnPropertyDescriptors(XMLHttpRequest.prototype)).flatMap((d) => [d.value, d.get, d.set])]</script>' })
  const same = () => tab.evaluate(() => [fetch, ...Object.values(Object.getOwnPropertyDescriptors(XMLHttpRequest.prototype)).flatMap((d) => [d.value, d.get, d.set])].every((f, i) => f === own[i]))
  assert.equal(await same(), false)
  await tab.evaluate(() => pollbridgeShim.restore())
  assert.equal(await same(), true)
})

test('it says so when it comes too late, once', options, async (t) => {
  const site = await startSite(t)
  const warnings = []
  const context = await (await getBrowser()).newContext()
  context.on('console', (m) => m.type() === 'warning' && warnings.push(m.text()))
  await open(t, site, { context })
  assert.deepEqual(warnings, [])
  await open(t, site, { context, path: '/late', before: '<script>window.kept = fetch</script>', after: shim() })
  await until(() => warnings.length)
  assert.equal(warnings.length, 1)
  assert.match(warnings[0], /shim\.js is not the first script of this page/)
})

test('it leaves alone what it is told to', options, async (t) => {
  const site = await startSite(t, { yaml: rules({ path: '/api/{x...}', interval: '50ms', vary: [] }) })
  for (const path of ['/api/a', '/api/b', '/api/b/c']) site.backend.set(path, { path })
  const tab = await open(t, site, { attributes: 'data-include="/api/b /api/x" data-exclude="/api/b/"' })
  const found = await tab.evaluate(async () => [await reasons('/api/a', 8), await reasons('/api/b/c', 8), await poll('/api/b', memory)])
  assert.deepEqual(found, [Array(8).fill('not a poll'), Array(8).fill('not a poll'), '{"path":"/api/b"}'])
})

test('text is answered as it is', options, async (t) => {
  const site = await startSite(t, { yaml: rules('/part', '/api/orders.csv') })
  site.backend.set('/part', '<li>1.0</li>\n<li>two</li>\n')
  const tab = await open(t, site)
  assert.equal(await tab.evaluate(() => poll('/part', memory)), '<li>1.0</li>\n<li>two</li>\n')
  site.backend.set('/part', '<li>1.0</li>\n<li>three</li>\n')
  assert.equal(await tab.evaluate(() => poll('/part', (text, note) => memory(text, note) && text.includes('three'))), '<li>1.0</li>\n<li>three</li>\n')
})
