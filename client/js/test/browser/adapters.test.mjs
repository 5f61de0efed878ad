import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { build } from '../../examples/build.mjs'
import { options, rules, startSite, until } from './harness.mjs'

/** A page with the components of pages/adapters.tsx, and what it says over its sockets. */
async function openComponents(t) {
  const site = await startSite(t, { yaml: rules('/api/a', '/api/b', '/graphql') })
  const program = (await build(['test/browser/pages/adapters.tsx']))['adapters.js']
  site.backend.set('/components', `<!doctype html><meta charset=utf-8><link rel=icon href=data:,><body><script type=module>${program.replaceAll('</script', '<\\/script')}</script>`)
  site.backend.set('/api/a', { n: 1 })
  site.backend.set('/api/b', { n: 2 })
  const tab = await site.open('/empty')
  const sent = []
  tab.on('websocket', (socket) => socket.on('framesent', ({ payload }) => sent.push(JSON.parse(payload))))
  await tab.goto(site.origin + '/components')
  const mount = (variable, ...args) => tab.evaluate(([variable, ...args]) => void (window[variable] = mount(...args)), [variable, ...args])
  const notes = (variable) => tab.evaluate((variable) => window[variable].notes, variable)
  const shows = (variable, n, code) =>
    until(async () => {
      const last = (await notes(variable)).at(-1)
      return last?.[0] === n && (last[1] ?? undefined) === code
    }, `${variable} to show ${n} ${code ?? ''}`)
  return { ...site, site, tab, sent, mount, notes, shows }
}

test('useWatch follows its URL, and has what is known in the first render', options, async (t) => {
  const { tab, sent, mount, notes, shows } = await openComponents(t)
  await mount('first', 'React', '/api/a')
  await shows('first', 1)
  await mount('second', 'React', '/api/a')
  await shows('second', 1)
  assert.deepEqual((await notes('second'))[0][0], 1)

  await tab.evaluate(() => first.show('/api/b'))
  await shows('first', 2)
  assert.ok((await notes('first')).every(([n]) => n !== null || n === undefined))
  await tab.evaluate(() => second.unmount())
  await until(() => sent.some(({ type, url }) => type === 'unsubscribe' && url === '/api/a'))
  assert.equal(sent.filter(({ type }) => type === 'subscribe').length, 2)

  await tab.evaluate(() => first.show(null))
  await shows('first', undefined)
})

for (const [name, why] of [['SWR', 'in error'], ['React', 'in error'], ['TanStack', '']]) {
  test(`${name} keeps the last good document while the API fails`, options, async (t) => {
    const { backend, mount, notes, shows } = await openComponents(t)
    await mount('it', name, '/api/a')
    await shows('it', 1)
    backend.set('/api/a', (_, response) => void response.writeHead(500).end())
    if (why) await until(async () => (await notes('it')).at(-1)[1], `${name} to say why`)
    assert.equal((await notes('it')).at(-1)[0], 1)
    backend.set('/api/a', { n: 3 })
    await shows('it', 3)
  })
}

test('TanStack Query is told why a subscription has ended', options, async (t) => {
  const { backend, mount, shows } = await openComponents(t)
  await mount('it', 'TanStack', '/api/a')
  await shows('it', 1)
  backend.set('/api/a', (_, response) => void response.writeHead(410).end())
  await shows('it', 1, 'gone')
})

test('TanStack Query watches again when a component is back', options, async (t) => {
  const { backend, tab, sent, mount, notes, shows } = await openComponents(t)
  await mount('it', 'TanStack', '/api/a')
  await shows('it', 1)
  await mount('other', 'TanStack', '/api/b') // keeps the socket open
  await tab.evaluate(() => it.unmount())
  await until(() => sent.some(({ type }) => type === 'unsubscribe'))
  backend.set('/api/a', { n: 3 })
  await mount('again', 'TanStack', '/api/a')
  await shows('again', 3)
  assert.equal((await notes('again'))[0][0], 1, 'until then it shows what is in the cache')
})

test('Apollo watches again when a component is back, though its answer is in the cache', options, async (t) => {
  const { backend, tab, sent, mount, notes, shows } = await openComponents(t)
  const set = (n) => backend.set('/graphql', { data: { document: { __typename: 'Document', n } } })
  set(1)
  await mount('it', 'Apollo', '')
  await shows('it', 1)
  set(2)
  await shows('it', 2)
  await mount('other', 'React', '/api/b') // keeps the socket open
  await tab.evaluate(() => it.unmount())
  await until(() => sent.some(({ type }) => type === 'unsubscribe'))
  set(3)
  await mount('again', 'Apollo', '')
  await shows('again', 3)
  assert.equal((await notes('again'))[0][0], 2, 'until then it shows what is in the cache')
  set(4)
  await shows('again', 4)
})

test('Apollo is answered what no component shows, however long that takes', options, async (t) => {
  const { backend, relay, tab } = await openComponents(t)
  let answer
  backend.set('/graphql', () => new Promise((resolve) => { answer = () => resolve({ data: { document: { __typename: 'Document', n: 1 } } }) }))
  const asked = tab.evaluate(() => ask())
  await until(() => answer)
  await tab.waitForTimeout(2500) // longer than what nobody waits for is kept
  answer()
  assert.equal(await asked, 1)
  await until(() => relay.sockets() === 0, 'the socket to be closed')
})

for (const bridge of [true, false]) {
  test(`pollbridge/fetch asks for nothing that the page does not, ${bridge ? 'where no rule matches' : 'without pollbridge'}`, options, async (t) => {
    const site = await startSite(t, { bridge })
    const program = (await build(['test/browser/pages/fetcher.ts']))['fetcher.js']
    let jobs = 0
    site.backend.set('/api/next-job', () => ({ job: ++jobs }))
    site.backend.set('/page', `<!doctype html><meta charset=utf-8><link rel=icon href=data:,><script type=module>${program}</script>`)
    const tab = await site.open('/empty')
    let tried = 0, told = false
    tab.on('websocket', (socket) => {
      tried++
      socket.on('framereceived', ({ payload }) => (told ||= payload.includes('not_found')))
    })
    await tab.goto(site.origin + '/page')
    const asked = tab.evaluate(async (polls) => {
      const got = []
      while (got.length < polls || !window.enough) {
        got.push((await polled('/api/next-job').then((response) => response.json())).job)
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
      return got
    }, bridge ? 20 : 50)
    await until(() => (bridge ? told : tried > 1), 'it to learn that the URL cannot be watched')
    await tab.evaluate(() => { window.enough = true })
    const got = await asked
    assert.deepEqual(got, got.map((_, i) => i + 1))
    assert.equal(jobs, got.length)
  })
}

for (const version of [2, 4]) {
  test(`htmx ${version} swaps what replaces itself once for each change`, options, async (t) => {
    const site = await startSite(t, { yaml: rules('/parts/self') })
    const { backend } = site
    const part = (n) => `<ul ${version === 2 ? 'hx-ext="pollbridge"' : ''} hx-watch="/parts/self" hx-swap="outerHTML"><li>${n}</li></ul>`
    const htmx = readFileSync(new URL(`../../node_modules/${version === 2 ? 'htmx.org' : 'htmx4'}/dist/htmx.min.js`, import.meta.url), 'utf8')
    backend.set('/htmx.js', (_, response) => void response.setHeader('Content-Type', 'text/javascript').end(htmx))
    backend.set('/parts/self', part('one'))
    backend.set('/htmx', `<!doctype html><meta charset=utf-8><link rel=icon href=data:,><script src=/htmx.js></script><script src=/.pollbridge/htmx.iife.js></script><body>${part('none')}`)
    const tab = await site.open('/htmx')
    await tab.evaluate(() => {
      window.swaps = 0
      new MutationObserver((changes) => (swaps += changes.filter(({ addedNodes }) => [...addedNodes].some(({ tagName }) => tagName === 'UL')).length)).observe(document.body, { childList: true })
    })
    const shows = (text) => until(async () => (await tab.locator('li').allInnerTexts()).join() === text, `to show ${text}`)
    await shows('one')
    await tab.evaluate(() => void (swaps = 0))
    for (const text of ['two', 'three']) {
      backend.set('/parts/self', part(text))
      await shows(text)
    }
    await tab.waitForTimeout(300) // for swaps that should not be
    assert.equal(await tab.evaluate(() => swaps), 2)
  })
}
