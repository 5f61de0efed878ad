import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { test } from 'node:test'
import { build } from '../../examples/build.mjs'
import { newContext, options, rules, startSite, until } from './harness.mjs'
import { standStill } from './pages/clock.mjs'
import { readTable } from './recipes.mjs'

// Each program polls every 200 ms, for four seconds on a clock that stands still
// while what a poll has asked for is under way. So what is counted, the requests
// for its document that leave the page, depends on no machine's pace.
const interval = 200
const polls = 20

// By program: what it is, what it sends, and whether the shim can help it.
const pollers = {
  fetch: ['setInterval + fetch', 'fetch', true],
  request: ['fetch(new Request(url))', 'fetch', true],
  xhr: ['XMLHttpRequest', 'XHR', true],
  axios: ['axios', 'XHR', true],
  'axios-fetch': ["axios, adapter: 'fetch'", 'fetch', true],
  jquery: ['jQuery $.getJSON', 'XHR', true],
  ky: ['ky', 'fetch', true],
  superagent: ['superagent', 'XHR', true],
  swr: ['SWR refreshInterval', 'fetch', true],
  tanstack: ['TanStack Query refetchInterval', 'fetch', true],
  rtk: ['RTK Query pollingInterval', 'fetch', true],
  'apollo-post': ['Apollo pollInterval', 'POST', false],
  'apollo-get': ['Apollo, useGETForQueries', 'fetch', true],
  vueuse: ['VueUse useFetch', 'fetch', true],
  'angular-fetch': ['Angular HttpClient', 'fetch', true],
  'angular-xhr': ['Angular, withXhr()', 'XHR', true],
  htmx2: ['htmx 2, every 200ms', 'XHR', true],
  htmx4: ['htmx 4, every 200ms', 'fetch', true],
  'saved-fetch': ['fetch saved before the shim', 'fetch', false],
}

// Files of pages/pollers that others import.
const shared = ['angular', 'apollo', 'poller']

test('the table has every poller', () => {
  const files = readdirSync(new URL('pages/pollers', import.meta.url)).map((name) => name.replace(/\.tsx?$/, ''))
  assert.deepEqual(files.filter((name) => !shared.includes(name)).sort(), Object.keys(pollers).sort())

  const rows = readTable('libraries').map((row) => row.slice(2, -2).split(' | '))
  assert.deepEqual(rows.map(([what, sends, without, withShim]) => [what, sends, +withShim < +without / 2]), Object.values(pollers))
})

/** Has something poll 20 times in a page with a head. Returns how many requests left the page. */
async function measure(site, page, name, head) {
  let n = 1
  site.backend.set(`/api/${name}`, () => (name.startsWith('htmx') ? `<b>${n}</b>` : name.startsWith('apollo') ? { data: { document: { __typename: 'Document', n } } } : { n }))
  site.backend.set(`/${name}`, `<!doctype html><html lang=en data-url=/api/${name}><meta charset=utf-8><link rel=icon href=data:,><script>savedFetch = fetch</script>${head}<title>${name}</title><script type=module src=/${name}.js></script>`)
  let asked = 0
  const count = (request) => new URL(request.url()).pathname === `/api/${name}` && asked++
  page.on('request', count)
  const poll = (times) => page.evaluate(async ([times, interval]) => {
    while (times--) await pass(interval)
    return document.querySelector('output').textContent
  }, [times, interval])

  await page.goto(`${site.origin}/${name}`)
  assert.equal(await poll(polls), '1', name)
  const result = asked

  const helped = head && pollers[name][2]
  if (helped) await page.evaluate(() => document.addEventListener('pollbridge:update', () => { window.updated = true }))
  n = 2 // what it shows is live, wherever it comes from
  if (helped) await until(() => page.evaluate(() => window.updated), `${name} to be told`)
  await until(async () => (await poll(2)) === '2', `${name} to show what has changed`)
  if (helped) assert.equal(asked, result, `${name} asked again: ${await page.evaluate(() => pollbridgeShim.notes.map(({ why }) => why))}`)
  page.off('request', count)
  return result
}

test('requests that leave the page, without the shim and with it', options, async (t) => {
  const programs = await build(Object.keys(pollers).map((name) => `test/browser/pages/pollers/${name}.*`), { splitting: true, minify: true })
  const site = await startSite(t, { yaml: rules(...Object.keys(pollers).map((name) => `/api/${name}`)) })
  for (const [file, text] of Object.entries(programs)) {
    site.backend.set('/' + file, (_, response) => void response.setHeader('Content-Type', 'text/javascript').end(text))
  }
  const context = await newContext(), left = Object.keys(pollers), counts = {}
  await context.addInitScript(standStill)
  const work = async () => {
    const page = await context.newPage()
    page.on('pageerror', (error) => console.error(page.url(), error))
    for (let name; (name = left.shift()); ) counts[name] = [await measure(site, page, name, ''), await measure(site, page, name, '<script src="/.pollbridge/shim.js"></script>')]
  }
  await Promise.all(Array.from({ length: 6 }, work))
  await context.close()

  // Those of docs/migrating.md. Some libraries set the timer for the next poll by another, which may come one poll sooner or later.
  const table = readTable('libraries')
  for (const [i, name] of Object.keys(pollers).entries()) {
    const wanted = table[i].slice(2, -2).split(' | ').slice(2)
    t.diagnostic(`${pollers[name][0].padEnd(34)}${counts[name]}`)
    assert.ok(counts[name].every((count, j) => Math.abs(count - wanted[j]) <= 1), `${name}: ${counts[name]}, not ${wanted}`)
  }
})
