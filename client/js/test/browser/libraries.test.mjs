import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { test } from 'node:test'
import { build } from '../../examples/build.mjs'
import { newContext, options, rules, startSite, until } from './harness.mjs'
import { readTable } from './recipes.mjs'

// Each program polls every 200 ms. What is counted are the requests for its
// document that leave the page. How many do until the shim answers depends on
// the machine; then none does but to check, now and then.
const seconds = 4
const many = 15
const quiet = 5 // polls in a row were answered in the page

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

/** Reports, in a page, whether its last so many polls were answered there; and begins to count anew then. */
function answeredInPage(polls) {
  const { notes } = pollbridgeShim
  const answered = notes.length >= polls && notes.slice(-polls).every(({ from }) => from === 'memory')
  if (answered) notes.length = 0
  return answered
}

// Files of pages/pollers that others import.
const shared = ['angular', 'apollo', 'poller']

test('the table has every poller', () => {
  const files = readdirSync(new URL('pages/pollers', import.meta.url)).map((name) => name.replace(/\.tsx?$/, ''))
  assert.deepEqual(files.filter((name) => !shared.includes(name)).sort(), Object.keys(pollers).sort())

  // That of docs/migrating.md has its figures from here, taken on a machine that did nothing else.
  const rows = readTable('libraries').map((row) => row.slice(2, -2).split(' | '))
  assert.deepEqual(rows.map(([what, sends, without, withShim]) => [what, sends, +withShim < +without / 2]), Object.values(pollers))
})

test('requests that leave the page, without the shim and with it', options, async (t) => {
  const programs = await build(Object.keys(pollers).map((name) => `test/browser/pages/pollers/${name}.*`), { splitting: true, minify: true })
  const names = Object.keys(pollers)
  const site = await startSite(t, { yaml: rules(...names.map((name) => `/api/${name}`)) })
  for (const [file, text] of Object.entries(programs)) {
    site.backend.set('/' + file, (_, response) => void response.setHeader('Content-Type', 'text/javascript').end(text))
  }

  const run = async (head, atOnce) => {
    const counts = {}
    const context = await newContext()
    const measure = async (name) => {
      let n = 1
      site.backend.set(`/api/${name}`, () => (name.startsWith('htmx') ? `<b>${n}</b>` : name.startsWith('apollo') ? { data: { document: { __typename: 'Document', n } } } : { n }))
      site.backend.set(`/${name}`, `<!doctype html><html lang=en data-url=/api/${name}><meta charset=utf-8><link rel=icon href=data:,><script>savedFetch = fetch</script>${head}<title>${name}</title><script type=module src=/${name}.js></script>`)
      const page = await context.newPage()
      const requests = []
      page.on('request', (request) => new URL(request.url()).pathname === `/api/${name}` && requests.push(Date.now()))
      page.on('pageerror', (error) => console.error(name, error))
      await page.goto(`${site.origin}/${name}`)
      const shows = (text) => until(async () => (await page.locator('output').textContent()) === text, `${name} to show ${text}`)
      await shows('1')

      const helped = head && pollers[name][2]
      if (helped) await until(() => page.evaluate(answeredInPage, quiet), `${name} to be answered in the page`)
      else await until(() => requests.length > many, `${name} to poll`)
      const asked = requests.length
      await until(() => Date.now() - requests[0] > seconds * 1000)
      counts[name] = requests.filter((time) => time - requests[0] < seconds * 1000).length

      n = 2 // what it shows is live, wherever it comes from
      await shows('2')
      if (helped) {
        const whys = await page.evaluate(() => pollbridgeShim.notes.flatMap(({ why }) => why ?? []))
        const checks = whys.filter((why) => why === 'check').length
        assert.ok(requests.length - asked <= checks, `${name}: ${requests.length - asked} requests more, not only to check on what is in memory: ${whys}`)
      }
      await page.close()
    }
    const left = [...names]
    const work = async () => { while (left.length) await measure(left.shift()) }
    await Promise.all(Array.from({ length: atOnce }, work))
    await context.close()
    return counts
  }
  const without = await run('', 6) // what a slow machine gets from more pages that poll would come later and later
  const withShim = await run('<script src="/.pollbridge/shim.js"></script>', 10)

  t.diagnostic(`${'requests in ' + seconds + ' s, polling every 200 ms'}${' '.repeat(13)}without  with the shim`)
  for (const name of names) {
    const [what, sends] = pollers[name]
    t.diagnostic(`${what.padEnd(34)}${sends.padEnd(8)}${String(without[name]).padStart(7)}${String(withShim[name]).padStart(15)}`)
  }
})
