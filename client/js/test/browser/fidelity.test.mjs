// The same scripts run on a page without the shim and on one where it answers
// from memory; whatever a script can see has to be the same.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { options, startSite } from './harness.mjs'

const document = { list: [{ id: 1, name: 'Blåbær', price: 1.5 }], total: 12, empty: '', nothing: null }

// Everything that a script can see of a fetch.
const fetches = {
  async response() {
    const r = await fetch('/api/orders#part')
    const { status, ok, statusText, url, type, redirected, bodyUsed } = r
    return { status, ok, statusText, url, type, redirected, bodyUsed, headers: [...r.headers], string: '' + r, is: r instanceof Response, body: '' + r.body, keys: Object.keys(r), has: r.headers.has('Content-Type') }
  },
  text: async () => (await fetch('/api/orders')).text(),
  json: async () => (await fetch(new URL('/api/orders', location))).json(),
  bytes: async () => [...new Uint8Array(await (await fetch('/api/orders')).arrayBuffer())],
  async blob() {
    const blob = await (await fetch(new Request('/api/orders'))).blob()
    return [blob.type, blob.size, await blob.text()]
  },
  form: async () => (await fetch('/api/orders')).formData(),
  async clones() {
    const r = await fetch('/api/orders'), c = r.clone(), d = c.clone()
    return [c.url, c.type, d.url, d.status, [...d.headers], await r.text(), await c.json(), await d.text(), r.bodyUsed, c.bodyUsed]
  },
  async readTwice() {
    const r = await fetch('/api/orders')
    await r.json()
    return [r.bodyUsed, await r.text()]
  },
  async cloneOfRead() {
    const r = await fetch('/api/orders')
    await r.json()
    return r.clone()
  },
  async reader() {
    const reader = (await fetch('/api/orders')).body.getReader()
    const { value, done } = await reader.read()
    return [value.constructor.name, new TextDecoder().decode(value), done, await reader.read()]
  },
  async byob() {
    const reader = (await fetch('/api/orders')).body.getReader({ mode: 'byob' })
    const { value, done } = await reader.read(new Uint8Array(4096))
    const next = await reader.read(new Uint8Array(8))
    return [new TextDecoder().decode(value), done, next.done, next.value?.length]
  },
  async cancelled() {
    const r = await fetch('/api/orders')
    await r.body.cancel('enough')
    return [r.bodyUsed, await r.text()]
  },
  async headersAreImmutable() {
    const r = await fetch('/api/orders')
    const errors = []
    for (const f of [() => r.headers.set('a', 'b'), () => r.headers.append('a', 'b'), () => r.headers.delete('content-type')]) {
      try { f() } catch (e) { errors.push(e.name) }
    }
    return [errors, r.headers.get('a'), r.headers.get('content-type')]
  },
  abortedBefore: () => fetch('/api/orders', { signal: AbortSignal.abort() }),
  abortedBeforeFor: () => fetch('/api/orders', { signal: AbortSignal.abort(new Error('my reason')) }),
  async abortedAtOnce() {
    const c = new AbortController(), p = fetch('/api/orders', { signal: c.signal })
    c.abort()
    return p
  },
  async abortedBeforeRead() {
    const c = new AbortController(), r = await fetch('/api/orders', { signal: c.signal })
    c.abort(new TypeError('left'))
    return r.text()
  },
  async abortedAfterRead() {
    const c = new AbortController(), r = await fetch('/api/orders', { signal: c.signal })
    const text = await r.text()
    c.abort()
    return [text, r.bodyUsed]
  },
  async signalOfRequest() {
    const c = new AbortController(), p = fetch(new Request('/api/orders', { signal: c.signal }))
    c.abort()
    return p
  },
  async order() {
    const log = []
    const p = fetch('/api/orders').then(() => log.push('answer'))
    queueMicrotask(() => log.push('microtask'))
    for (let i = 0; i < 20; i++) await null
    log.push('later')
    await p
    return log
  },
  async abortedClone() {
    const c = new AbortController(), r = await fetch('/api/orders', { signal: c.signal }), d = r.clone()
    c.abort()
    return [await r.text().catch((e) => e.name), await d.text().catch((e) => e.name)]
  },
  async pipes() {
    const r = await fetch('/api/orders')
    let text = ''
    for await (const chunk of r.body.pipeThrough(new TextDecoderStream())) text += chunk
    return [text, r.bodyUsed]
  },
  async rewrapped() {
    const r = await fetch('/api/orders'), n = new Response(r.body, r)
    return [n.status, n.headers.get('content-type'), await n.text(), r.bodyUsed]
  },
  async cached() {
    const cache = await caches.open('x'), r = await fetch('/api/orders')
    await cache.put('/kept', r)
    const m = await cache.match('/kept')
    await caches.delete('x')
    return [r.bodyUsed, m.status, await m.text()]
  },
  async oneShotHeaders() {
    const r = await fetch('/api/echo', { headers: new Map([['x-one', '1']]).entries() })
    return r.text()
  },
  async base() {
    const base = document.createElement('base')
    base.href = '/api/deeper/'
    document.head.append(base)
    try {
      const r = await fetch('../orders'), x = new XMLHttpRequest()
      x.open('GET', '../orders')
      x.send()
      await new Promise((resolve) => { x.onload = resolve })
      return [r.url, await r.text(), x.responseURL, x.responseText]
    } finally { base.remove() }
  },
  function: () => [fetch.name, fetch.length, '' + fetch, typeof fetch, Object.keys(fetch), Object.entries(Object.getOwnPropertyDescriptor(window, 'fetch')).map(([k, v]) => k + typeof v)],
  noArguments: () => fetch(),
  badURL: () => fetch('http://['),
  noMethod: () => fetch('/api/orders', { method: null }),
  bodyOfGet: () => fetch('/api/orders', { body: 'x' }),
  badHeader: () => fetch('/api/orders', { headers: { 'a b': 'c' } }),
  other: () => fetch.call({}, '/api/orders'),
}

// Everything that a script can see of an XMLHttpRequest. `use` gets the request and may act on what happens.
const xhr = (program) => `
  const all = ['readystatechange', 'loadstart', 'progress', 'load', 'abort', 'error', 'timeout', 'loadend']
  const state = (x) => {
    const get = (f) => { try { const v = f(); return v instanceof ArrayBuffer ? [...new Uint8Array(v)] : v instanceof Blob ? v.type + v.size : v } catch (e) { return e.name } }
    return [x.readyState, x.status, x.statusText, x.responseURL, get(() => x.response), get(() => x.responseText), get(() => x.responseXML), x.getAllResponseHeaders(), x.getResponseHeader('Content-TYPE'), x.getResponseHeader('x-none')]
  }
  const listen = (x, log, look) => {
    for (const type of all) {
      x.addEventListener(type, (e) => { log.push([type, e.constructor.name, e.loaded, e.total, e.lengthComputable, e.bubbles, e.cancelable, e.target === x, look ? look(x) : state(x)]) })
      x['on' + type] = () => log.push('on' + type)
    }
  }
  const end = (x) => new Promise((resolve) => x.addEventListener('loadend', resolve))
  const attempt = (f) => { try { return f() } catch (e) { return e.name } }
  return (${program})()`

const requests = {
  async events() {
    const x = new XMLHttpRequest(), log = []
    listen(x, log)
    x.open('GET', '/api/orders#part')
    x.send()
    log.push('sent')
    await end(x)
    return [log, state(x), x.response === x.response]
  },
  async types() {
    const found = []
    for (const type of ['', 'text', 'json', 'arraybuffer', 'blob', 'document']) {
      const x = new XMLHttpRequest(), log = []
      listen(x, log)
      x.open('get', '/api/orders')
      x.responseType = type
      x.send(null)
      await end(x)
      found.push([type, log, type === 'json' || x.response === x.response, state(x)])
    }
    return found
  },
  async misuse() {
    const x = new XMLHttpRequest(), errors = [attempt(() => x.send()), attempt(() => x.setRequestHeader('a', 'b')), state(x)]
    x.open('GET', '/api/orders')
    x.send()
    errors.push(attempt(() => x.send()), attempt(() => x.setRequestHeader('a', 'b')), attempt(() => { x.withCredentials = true }))
    x.onreadystatechange = () => errors.push(x.readyState, attempt(() => { x.responseType = 'json' }), attempt(() => x.overrideMimeType('text/plain')), attempt(() => x.send()))
    await end(x)
    errors.push(attempt(() => x.send()), attempt(() => { x.responseType = 'text' }), attempt(() => { x.timeout = 5 }), attempt(() => x.open('GET', 'http://[')), attempt(() => x.open('TRACE', '/')), state(x))
    return errors
  },
  async again() {
    const x = new XMLHttpRequest(), log = []
    listen(x, log)
    for (let i = 0; i < 2; i++) {
      x.open('GET', '/api/orders')
      log.push(state(x))
      x.send()
      await end(x)
    }
    return log
  },
  async abortAt() {
    const found = []
    for (let at = 0; at < 5; at++) {
      const x = new XMLHttpRequest(), log = []
      listen(x, log)
      let ended
      x.addEventListener('loadend', () => ended?.())
      const done = new Promise((resolve) => { ended = resolve })
      x.addEventListener('readystatechange', () => { if (x.readyState === at && at > 1) { x.abort(); log.push('aborted', state(x)) } })
      if (at === 0) { x.abort(); log.push(state(x)) }
      x.open('GET', '/api/orders')
      x.send()
      if (at === 1) { x.abort(); log.push(state(x)) }
      else if (at === 4) for (let i = 0; i < 3; i++) await (await fetch('/api/orders')).text() // no event comes
      else await done
      found.push([at, log, state(x)])
    }
    return found
  },
  async openAgainWhileSending() {
    const x = new XMLHttpRequest(), log = []
    listen(x, log)
    x.open('GET', '/api/orders')
    x.send()
    x.open('GET', '/api/orders')
    log.push('opened', state(x))
    x.send()
    await end(x)
    return log
  },
  async openInLoad() {
    const x = new XMLHttpRequest(), log = []
    listen(x, log)
    x.open('GET', '/api/orders')
    let n = 0
    await new Promise((resolve) => {
      x.addEventListener('loadend', () => n > 1 && resolve())
      x.addEventListener('load', () => {
        if (n++) return
        x.open('GET', '/api/orders')
        x.send()
      })
      x.send()
    })
    return log
  },
  async sendInReadyState() {
    const x = new XMLHttpRequest(), log = []
    listen(x, log)
    x.addEventListener('readystatechange', () => { if (x.readyState === 1) x.send() }, { once: true })
    x.open('GET', '/api/orders')
    await end(x)
    return log
  },
  async subclass() {
    class Mine extends XMLHttpRequest { get mine() { return this.status } }
    const x = new Mine()
    x.open('GET', '/api/orders')
    x.send()
    await end(x)
    return [x.mine, x.responseText, Object.keys(x), x instanceof XMLHttpRequest, '' + x]
  },
  async handlerThatThrows() {
    const x = new XMLHttpRequest(), log = []
    const report = (e) => { log.push(e.message); e.preventDefault() }
    addEventListener('error', report)
    x.onload = () => { throw new Error('of a handler') }
    x.onloadend = () => log.push('loadend')
    x.open('GET', '/api/orders')
    x.send()
    await end(x)
    removeEventListener('error', report)
    return log
  },
  async abortIn() {
    const found = []
    for (const type of ['loadstart', 'progress', 'load', 'loadend']) {
      const x = new XMLHttpRequest(), log = []
      listen(x, log)
      let over
      const done = new Promise((resolve) => { over = resolve })
      x.addEventListener(type, () => { x.abort(); log.push('aborted', state(x)); setTimeout(over, 150) }, { once: true })
      x.open('GET', '/api/orders')
      x.send()
      await done
      found.push([type, log, state(x)])
    }
    return found
  },
  async handlersGone() {
    const x = new XMLHttpRequest(), log = []
    const one = () => log.push('one'), object = { handleEvent(e) { log.push(e.type, this === object) } }
    x.addEventListener('load', one)
    x.addEventListener('load', object)
    x.addEventListener('load', () => log.push('once'), { once: true })
    x.onload = () => log.push('never')
    x.onreadystatechange = function () { log.push(this === x, x.readyState); if (x.readyState === 2) { x.onload = null; x.removeEventListener('load', one) } }
    x.open('GET', '/api/orders')
    x.send()
    await end(x)
    return log
  },
  async timeouts() {
    const x = new XMLHttpRequest(), log = []
    listen(x, log)
    x.open('GET', '/api/orders')
    x.timeout = 3000
    x.send()
    await end(x)
    await new Promise((resolve) => setTimeout(resolve, 30))
    return [x.timeout, log.map((e) => e[0])]
  },
  async typeInState2() {
    const x = new XMLHttpRequest()
    x.open('GET', '/api/orders')
    x.onreadystatechange = () => { if (x.readyState === 2) x.responseType = 'arraybuffer' }
    x.send()
    await end(x)
    return state(x)
  },
  async syncAfterAsync() {
    const x = new XMLHttpRequest(), log = []
    listen(x, log)
    x.open('GET', '/api/orders')
    x.send()
    await end(x)
    x.open('GET', '/api/orders', false)
    x.send()
    return [log, state(x)]
  },
  async sync() {
    const x = new XMLHttpRequest()
    x.open('GET', '/api/orders', false)
    x.send()
    return state(x)
  },
  async shape() {
    const p = XMLHttpRequest.prototype
    return Object.entries(Object.getOwnPropertyDescriptors(p)).map(([name, d]) => [name, d.enumerable, d.configurable, d.writable, (d.value || d.get)?.name, (d.value || d.get)?.length, '' + (d.value || d.get), attempt(() => p[name])])
  },
}

// What no two answers have in common, or says that they came from memory.
const blur = (s) => s.replace(/(date"?[:,] ?"?)[^"\\]*/g, '$1').replace(/(age"?[:,] ?"?)\d+/g, '$1').replace(/(cache-status"?[:,] ?"?pollbridge)[^"\\]*/g, '$1')

async function run(tab, source) {
  return blur(await tab.evaluate(async (source) => {
    try {
      return JSON.stringify({ result: await (0, eval)(source)() }, (k, v) => (v === undefined ? 'undefined' : v))
    } catch (e) {
      return JSON.stringify({ error: [e.name, e.constructor.name, e.message, '' + e.stack.split('\n')[0]] })
    }
  }, source))
}

const asExpression = (f) => String(f).replace(/^(async )?(?=\w+\()/, '$1function ') // a method, outside its object
const programs = {
  ...Object.fromEntries(Object.entries(fetches).map(([name, f]) => ['fetch ' + name, `(${asExpression(f)})`])),
  ...Object.fromEntries(Object.entries(requests).map(([name, f]) => ['xhr ' + name, `async () => {${xhr(asExpression(f))}}`])),
}

test('what the shim answers cannot be told from what the network answers', options, async (t) => {
  const site = await startSite(t)
  let text
  site.backend.set('/api/orders', (req, res) => {
    res.writeHead(200, { 'content-type': 'application/json; charset=utf-8', 'x-powered-by': 'legacy', 'cache-control': 'max-age=0' })
    res.end(text)
  })
  site.backend.set('/api/echo', (req) => ({ one: req.headers['x-one'] }))
  const icon = '<!doctype html><title>page</title><link rel=icon href=data:,>'
  site.backend.set('/plain', icon)
  site.backend.set('/shimmed', icon + '<script src="/.pollbridge/shim.js"></script>')
  const plain = await site.open('/plain'), shimmed = await site.open('/shimmed')

  let answered = 0 // since a pause: a burst is not answered
  const compare = async (t) => {
    await shimmed.evaluate(async (text) => { // polls until that is what is in memory
      for (;;) {
        pollbridgeShim.notes.length = 0
        if ((await (await fetch('/api/orders')).text()) === text && pollbridgeShim.notes[0]?.from === 'memory') return
        await new Promise((resolve) => setTimeout(resolve, 110))
      }
    }, text)
    for (const [name, source] of Object.entries(programs)) {
      await t.test(name, async () => {
        const wanted = await run(plain, source)
        if (answered > 50) answered = await shimmed.evaluate(() => new Promise((resolve) => setTimeout(resolve, 2100, 0)))
        await shimmed.evaluate(() => { pollbridgeShim.notes.length = 0 })
        assert.deepEqual(JSON.parse(await run(shimmed, source)), JSON.parse(wanted))
        const notes = await shimmed.evaluate(() => pollbridgeShim.notes)
        assert.deepEqual(notes.filter((note) => note.from !== 'memory' && note.why !== 'check'), [])
        answered += notes.length
      })
    }
  }
  text = JSON.stringify(document, null, 1)
  await t.test('as the network sent it', compare)
  text = JSON.stringify({ ...document, list: [{ id: 2, name: 'tyttebær', price: 0.25 }, ...document.list], note: 'short, so that it is not compressed' })
  await t.test('as it came over the socket since', compare)
  text = JSON.stringify({ ...document, note: 'long, and so compressed. '.repeat(60) })
  await t.test('compressed', compare)
})
