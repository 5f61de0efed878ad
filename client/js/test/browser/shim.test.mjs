// What the shim answers, and what it leaves alone.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { startBackend } from '../server.mjs'
import { newContext, options, rules, startSite, until } from './harness.mjs'
import { icon, open, shim } from './shim.mjs'

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
  assert.deepEqual(await tab.evaluate(() => updates), []) // what the page has seen is no news
  site.backend.set('/api/orders', [{ id: 1, state: 'sent' }, { id: 2, state: 'open' }])
  await tab.waitForFunction(() => updates.length)
  assert.equal(await tab.evaluate(() => fetch('/api/orders').then((r) => r.text())), '[{"id":1,"state":"sent"},{"id":2,"state":"open"}]')
  assert.equal(tab.requests.length, asked)
  assert.deepEqual(await tab.evaluate(() => updates), [site.origin + '/api/orders'])
})

test('nothing is watched before it was polled again and again, nor what no rule names', options, async (t) => {
  const site = await startSite(t, { yaml: rules('/api/orders', { path: '/api/slow', interval: '50ms', vary: [], serve: false }) })
  for (const path of ['/api/orders', '/api/other']) site.backend.set(path, { path })
  const context = await newContext()
  await context.clock.install()
  const tab = await open(t, site, { context })
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
  // What is asked for as soon as it is answered, however slow the machine is, paces itself by the answers, as long-polls do.
  site.backend.set('/api/slow', async () => { await tab.clock.runFor(150); return { slow: true } })
  await tab.clock.pauseAt(await tab.evaluate(() => Date.now() + 3_600_000))
  await tab.evaluate(async () => { for (let i = 0; i < 6; i++) await poll('/api/slow', () => true) })
  assert.equal(tab.sockets, 0)
  await tab.clock.resume()
  await tab.evaluate(() => poll('/api/other', (text, note) => note?.why === 'not_found'))
  assert.deepEqual(await tab.evaluate(async () => [...new Set(await reasons('/api/other', 6))]), ['not_found'])
})

test('cache busters make no new resource where the rule says so too', options, async (t) => {
  const site = await startSite(t, { yaml: rules('/api/orders', { path: '/api/other', interval: '50ms', vary: [], drop_query: [] }) })
  site.backend.set('/api/orders', { orders: 1 })
  site.backend.set('/api/other', { orders: 2 })
  const tab = await open(t, site)
  assert.equal(await tab.evaluate(() => poll(() => '/api/orders?open=1&_=' + Date.now(), memory)), '{"orders":1}')
  const url = await tab.evaluate(async () => (await fetch('/api/orders?open=1&_=1234567890123')).url)
  assert.equal(url, site.origin + '/api/orders?open=1&_=1234567890123')
  for (const plain of [2, 0]) { // without one, at first
    await tab.evaluate(([plain, path]) => poll(() => path + (plain-- > 0 ? '' : '&_=' + Date.now()), (text, note) => {
      if (note?.from === 'memory') throw new Error('answered from memory')
      return note?.why === 'another each time'
    }), [plain, '/api/other?open=' + plain])
  }
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
  await tab.evaluate(() => poll('/api/orders', memory))
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

  // A member that is new: nobody but the API knows its place, and a patch does not say.
  const note = '"note":"' + 'long enough for a patch to be shorter '.repeat(5) + '"'
  send(`{"z":1,"a":2,"list":[1],${note}}`)
  await tab.evaluate(() => poll('/api/orders', (text, note) => memory(text, note) && text.startsWith('{"z"')))
  for (const added of ['"m":3,', '"m":3,"l":{"y":1},', '"m":3,"l":{"y":1,"x":{}},']) {
    const wanted = `{"z":1,${added}"a":2,"list":[1,2,3],${note}}`
    send(wanted)
    await tab.evaluate(([wanted, added]) => poll('/api/orders', (text, note) => {
      if (text.includes(added.slice(-9)) && text !== wanted) throw new Error(text)
      return memory(text, note) && text === wanted
    }), [wanted, added])
  }
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
  const context = await newContext()
  context.on('console', (m) => m.type() === 'warning' && warnings.push(m.text()))
  await open(t, site, { context })
  // A development server's module runs later, and its options have to come before it.
  const early = '<script type=module>window.module = fetch</script><script type=importmap>{}</script><script>window.pollbridgeShim = { exclude: [] }</script>'
  await open(t, site, { context, path: '/early', before: early, after: shim() })
  assert.deepEqual(warnings, [])
  await open(t, site, { context, path: '/late', before: '<script>window.kept = fetch</script>', after: shim() })
  await until(() => warnings.length)
  assert.equal(warnings.length, 1)
  assert.match(warnings[0], /shim\.js is not the first script/)
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

test('two who poll the same at their own times are one poll', options, async (t) => {
  const site = await startSite(t)
  site.backend.set('/api/orders', { orders: 1 })
  const tab = await open(t, site)
  await tab.evaluate(() => {
    const ask = () => fetch('/api/orders').then((r) => r.text())
    setInterval(ask, 600)
    setTimeout(() => setInterval(ask, 600), 150)
  })
  await tab.waitForFunction(() => pollbridgeShim.notes.filter((n) => n.from === 'memory').length > 2)
})

test('an API on another origin is answered for where the page says so', options, async (t) => {
  const pages = await startBackend()
  t.after(() => pages.close())
  const site = await startSite(t, { yaml: `origins: ["${pages.origin}"]\n` + rules('/api/orders') })
  site.backend.set('/api/orders', (req, res) => void res.writeHead(200, { 'content-type': 'application/json', 'access-control-allow-origin': pages.origin, 'access-control-allow-credentials': 'true', 'x-hidden': '1' }).end('{"orders":1}'))
  pages.set('/page', icon + `<script src="${site.origin}/.pollbridge/shim.js" data-origins="${site.origin}" data-debug></script>`)
  const context = await newContext()
  t.after(() => context.close())
  const tab = await context.newPage()
  await tab.goto(pages.origin + '/page')
  const found = await tab.evaluate(async (url) => {
    const look = async (init) => {
      const r = await fetch(url, init)
      return [r.type, r.url, [...r.headers.keys()], await r.text()]
    }
    const init = { credentials: 'include' }, first = await look(init)
    for (let i = 0; pollbridgeShim.notes.at(-1)?.from !== 'memory' && i < 200; i++) {
      await new Promise((resolve) => setTimeout(resolve, 110))
      await look(init)
    }
    const n = pollbridgeShim.notes.length, last = await look(init), from = pollbridgeShim.notes.slice(n)
    await look({}) // nobody's
    return { same: JSON.stringify(first) === JSON.stringify(last), first, last, from, after: pollbridgeShim.notes.length - n, corner: document.querySelector('pre').textContent }
  }, site.origin + '/api/orders')
  assert.ok(found.same, JSON.stringify(found))
  assert.equal(found.from[0].from, 'memory')
  assert.equal(found.after, 1)
  assert.match(found.corner, /^\d+ network http:.*\n(.*\n)*\d+ memory http:/)
})

// What docs/shim.md says.

const document = readFileSync(new URL('../../../../docs/shim.md', import.meta.url), 'utf8')
const blocks = (language) => [...document.matchAll(new RegExp('```' + language + '\\n(.*?)```', 'gs'))].map((m) => m[1])

test('the document has every reason and every setting', () => {
  const source = (name) => readFileSync(new URL(`../../src/shim/${name}.ts`, import.meta.url), 'utf8')
  const reasons = [...source('polls').matchAll(/(?:return |leave\(|why : )'([a-z ]+)'/g)].map((m) => m[1])
  const explained = [...document.matchAll(/^\| `([a-z ]+)` \| /gm)].map((m) => m[1])
  assert.deepEqual(explained.sort(), [...new Set(reasons)].sort())
  const attributes = ['debug', ...new Set([...source('options').matchAll(/data\.(\w+)|list\('(\w+)'\)/g)].map((m) => m[1] ?? m[2]))]
  assert.deepEqual([...document.matchAll(/^\| `data-(\w+)`/gm)].map((m) => m[1]).sort(), [...new Set(attributes)].sort())
})

test('what the document shows works', options, async (t) => {
  const site = await startSite(t, { yaml: rules('/api/orders', '/api/export') })
  site.backend.set('/api/orders', { n: 1 })
  site.backend.set('/api/export', { n: 1 })
  const [plain, debug, settings] = blocks('html'), [table, update, restore] = blocks('js')
  for (const tag of [plain, debug, settings]) {
    site.backend.set('/page', icon.replace('<title>', tag + '<title>'))
    const tab = await site.open('/page')
    const lines = []
    tab.on('console', (m) => lines.push(m.text()))
    await tab.evaluate((update) => {
      window.loadOrders = async () => { window.shown = (await (await fetch('/api/orders')).json()).n }
      ;(0, eval)(update)
      setInterval(loadOrders, 150)
      setInterval(() => fetch('/api/export'), 150)
    }, update)
    const memory = (url) => tab.waitForFunction((url) => pollbridgeShim.notes.some((n) => n.from === 'memory' && n.url.endsWith(url)), url)
    await memory('/api/orders')
    if (tag === settings) assert.deepEqual(await tab.evaluate(() => pollbridgeShim.notes.filter((n) => n.url.endsWith('/api/export'))), [])
    else await memory('/api/export')
    assert.equal(lines.some((line) => line.startsWith('pollbridge: memory ')), tag !== plain)
    assert.equal(await tab.evaluate(() => document.querySelectorAll('pre').length), tag === plain ? 0 : 1)
    await tab.evaluate(table)
    await tab.evaluate(restore)
    let asked = false
    tab.on('request', () => { asked = true })
    await until(() => asked)
    await tab.context().close()
  }
})
