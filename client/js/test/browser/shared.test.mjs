// One socket for all tabs of a browser, through a SharedWorker.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newContext, options, page, startSite, told, until } from './harness.mjs'

const yaml = 'endpoints:\n' + ['orders', 'other'].map((name) => `  - {path: /api/${name}, interval: 50ms, linger: 100ms, vary: []}\n`).join('') +
  '  - {path: /api/me, interval: 50ms, vary: ["Cookie:sid"]}\n  - {path: /api/token, interval: 50ms, vary: [Authorization]}\n'

const pad = 'x'.repeat(300) // so that a patch is smaller than the document

async function start(t) {
  const site = await startSite(t, { yaml })
  for (const name of ['orders', 'other']) site.backend.set('/api/' + name, { n: 1, same: { pad } })
  const context = await newContext()
  return { site, context }
}

async function open(site, context, url = '/api/orders', path = '/') {
  const tab = await site.open(path, context)
  await tab.waitForFunction(() => window.pb)
  await tab.evaluate((url) => {
    window.client = pb.createClient({ shared: true, interval: 200, headers: window.token && (() => ({ Authorization: token })) })
    window.shown = []
    window.patches = []
    window.handle = client.watch(url, (data) => shown.push(data))
    handle.onPatch((patch) => patches.push(patch))
  }, url)
  return tab
}

/** Waits for so many sockets to be open, and not one more. */
const sockets = (site, n) => until(() => {
  assert.ok(site.relay.sockets() <= n, `${site.relay.sockets()} sockets`)
  return site.relay.sockets() === n
}, `${n} sockets`)

const shows = (tab, n) => tab.waitForFunction((n) => handle.status === 'live' && handle.getSnapshot().data?.n === n, n)

test('two tabs have one socket, and each sees every change as a patch', options, async (t) => {
  const { site, context } = await start(t)
  const first = await open(site, context), second = await open(site, context)
  for (const tab of [first, second]) {
    await shows(tab, 1)
    await told(tab)
  }
  await sockets(site, 1)
  site.backend.set('/api/orders', { n: 2, same: { pad } })
  for (const tab of [first, second]) {
    await shows(tab, 2)
    assert.deepEqual(await tab.evaluate(() => [patches.at(-1), shown[0].same === shown[1].same]), [[{ op: 'replace', path: '/n', value: 2 }], true])
  }
  await first.evaluate(() => client.close())
  site.backend.set('/api/orders', { n: 3, same: { pad } })
  await shows(second, 3)
  assert.equal(await first.evaluate(() => shown.length), 2)

  // Whoever comes late, or again, has it from the worker.
  const third = await open(site, context)
  await shows(third, 3)
  await sockets(site, 1)

  // pollbridge goes, and another comes: all are back, on one socket.
  await site.serve()
  site.backend.set('/api/orders', { n: 4, same: { pad } })
  await shows(second, 4)
  await shows(third, 4)
  await told(second)
  await told(third)
  await sockets(site, 1)

  await second.evaluate(() => handle.close())
  await third.close()
  await until(() => site.relay.sockets() === 0, 'the socket to be closed after the last handle')
})

test('a tab that dies leaves nothing behind', options, async (t) => {
  const { site, context } = await start(t)
  const stays = await open(site, context), dies = await open(site, context, '/api/other')
  await shows(stays, 1)
  await shows(dies, 1)
  const cdp = await context.newCDPSession(dies)
  cdp.send('Page.crash').catch(() => {}) // no event tells the page
  await until(async () => {
    const before = site.backend.count('/api/other')
    await new Promise((resolve) => setTimeout(resolve, 500))
    return site.backend.count('/api/other') === before
  }, 'the polls of what only the dead tab watched to end')
  site.backend.set('/api/orders', { n: 2 })
  await shows(stays, 2)
})

test('a tab comes back from the cache', options, async (t) => {
  const { site, context } = await start(t)
  const tab = await open(site, context)
  await shows(tab, 1)
  const cdp = await context.newCDPSession(tab)
  const run = async (expression) => (await cdp.send('Runtime.evaluate', { expression, returnByValue: true })).result.value
  await run('addEventListener("pageshow", (event) => { window.persisted = event.persisted })')
  await tab.goto(site.origin + '/empty')
  await until(() => site.relay.sockets() === 0)
  site.backend.set('/api/orders', { n: 2 })
  await cdp.send('Runtime.evaluate', { expression: 'history.back()' })
  await until(() => run('window.persisted === true && handle.status === "live" && handle.getSnapshot().data.n === 2').catch(() => false), 'the page from the cache')
})

test('users never share a socket, also when one follows the other', options, async (t) => {
  const { site, context } = await start(t)
  site.backend.set('/api/me', (req) => ({ n: /sid=(\w+)/.exec(req.headers.cookie ?? '')?.[1] ?? 'nobody' }))
  const login = (user) => context.addCookies([{ name: 'sid', value: user, url: site.origin }])
  await login('alice')
  const alice = await open(site, context, '/api/me')
  await shows(alice, 'alice')
  await login('bob') // in another tab, while alice's worker and its socket live
  const bob = await open(site, context, '/api/me')
  await shows(bob, 'bob')
  assert.deepEqual(await bob.evaluate(() => shown.map((d) => d.n)), ['bob'])
  await sockets(site, 2)

  // The browser has bob's cookie: when alice's tab connects anew, that is whom it shows, as its polls would.
  site.relay.cut()
  await shows(alice, 'bob')
  assert.deepEqual(await bob.evaluate(() => shown.map((d) => d.n)), ['bob'])
  await until(() => site.relay.sockets() === 1)

  await login('alice') // and back, while a worker that was made for her may still be there
  const again = await open(site, context, '/api/me')
  await shows(again, 'alice')
  assert.deepEqual(await again.evaluate(() => shown.map((d) => d.n)), ['alice'])
})

test('tabs with other tokens are shown their own', options, async (t) => {
  const { site, context } = await start(t)
  site.backend.set('/api/token', (req) => ({ n: req.headers.authorization }))
  const tabs = []
  for (const token of ['a', 'b', 'a']) {
    const tab = await site.open('/', context)
    await tab.evaluate((token) => { window.token = token }, token)
    await tab.evaluate(() => {
      window.client = pb.createClient({ shared: true, headers: () => ({ Authorization: token }) })
      window.handle = client.watch('/api/token')
    })
    tabs.push([tab, token])
  }
  for (const [tab, token] of tabs) await shows(tab, token)
  await sockets(site, 2)
  await tabs[0][0].evaluate(() => { token = 'c'; client.close(); client = pb.createClient({ shared: true, headers: () => ({ Authorization: token }) }); handle = client.watch('/api/token') })
  await shows(tabs[0][0], 'c')
  await shows(tabs[2][0], 'a')
})

test('what no rule matches is polled by the tab, and where workers are forbidden it has a socket of its own', options, async (t) => {
  const { site, context } = await start(t)
  site.backend.set('/else', { n: 7 })
  await shows(await open(site, context, '/else'), 7)
  await context.addInitScript(() => { window.token = 'x' }) // which the rule's vary does not list
  await shows(await open(site, context), 1)
  site.backend.set('/strict', (_, res) => { res.setHeader('content-security-policy', "worker-src 'none'"); return page() })
  const tab = await open(site, await newContext(), '/api/orders', '/strict')
  await shows(tab, 1)
  await tab.waitForFunction(() => handle.getSnapshot().version)
})
