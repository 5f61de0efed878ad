// A browser, and a site to open in it: a legacy API behind pollbridge, at an
// address that stays while pollbridge comes and goes.
import assert from 'node:assert/strict'
import { chromium } from 'playwright-core'
import { existsSync } from 'node:fs'
import { after } from 'node:test'
import { patience, startBackend, startPollbridge, startRelay, until } from '../server.mjs'

export { until }

const executablePath = process.env.CHROMIUM ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync)

/** To skip where there is no browser, unless the environment says POLLBRIDGE_BROWSER=required. */
export const options = { skip: !executablePath && process.env.POLLBRIDGE_BROWSER !== 'required' ? 'there is no Chromium on this machine' : false, timeout: 500_000 }

let browser

/** A window with cookies and storage of its own, of the one browser for all tests of a file. */
export async function newContext() {
  browser ??= chromium.launch({
    executablePath,
    timeout: patience,
    args: ['--no-sandbox', '--disable-gpu'], // the tests' containers run as root; the pages are our own
    ignoreDefaultArgs: ['--disable-back-forward-cache'],
  })
  const context = await (await browser).newContext()
  context.setDefaultTimeout(patience)
  return context
}
after(async () => (await browser)?.close())

/** Waits until a tab's window.client has what a socket has told of a URL: from then on it asks for nothing. */
export const told = (tab, url = '/api/orders') => tab.waitForFunction((url) => client.fetch(url).then((r) => !r.headers.get('date'), () => false), url, { polling: 100 })

/** Waits until a page has sent what it had decided to ask for: axios looks for a cookie in between, which takes its time. */
export const settled = (page) => page.evaluate(async () => { await window.cookieStore?.get('none') })

/** A page that has the client as window.pb, as soon as it has loaded. */
export const page = (head = '') => `<!doctype html><meta charset=utf-8><title>page</title><link rel=icon href=data:,>${head}
<script type=module>window.pb = await import('/.pollbridge/pollbridge.js')</script>`

/** Rules of the configuration, one for each path: polled often, the same for everybody. */
export const rules = (...paths) => 'endpoints:\n' + paths.map((path) => (typeof path === 'string' ? `  - {path: ${path}, interval: 50ms, vary: []}\n` : `  - ${JSON.stringify(path)}\n`)).join('')

/**
 * Starts a site for one test, and stops it after. Its pages are / and /empty.
 * With `bridge: false` there is no pollbridge until `serve()` is called.
 */
export async function startSite(t, { yaml = rules('/api/orders'), bridge = true } = {}) {
  const backend = await startBackend(), relay = await startRelay()
  backend.set('/', page())
  backend.set('/empty', '<!doctype html><title>empty</title><link rel=icon href=data:,>')
  const site = {
    backend, relay, origin: relay.origin, proxy: undefined,
    /** Starts pollbridge, or another in its place. */
    async serve() {
      await site.proxy?.stop()
      site.proxy = await startPollbridge(`upstream: "${backend.origin}"\n` + yaml)
      relay.to(site.proxy.origin)
    },
    /** Changes a document that is JSON, and has pollbridge see it: until then a GET may be answered by the one before. */
    async change(path, document) {
      backend.set(path, document)
      const response = await fetch(site.origin + path, { headers: { 'cache-control': 'no-cache' } })
      assert.equal(await response.text(), JSON.stringify(document))
    },
    /** A tab with cookies and storage of its own, on a page of the site; `context` is another's. */
    async open(path = '/', context) {
      context ??= await newContext()
      t.after(() => context.close().catch(() => {}))
      const tab = await context.newPage()
      tab.on('pageerror', (error) => console.error('on the page:', error))
      await tab.goto(site.origin + path)
      if (path === '/') await tab.waitForFunction(() => window.pb)
      return tab
    },
  }
  t.after(async () => { await site.proxy?.stop(); relay.close(); backend.close() })
  if (bridge) await site.serve()
  else relay.to(backend.origin)
  return site
}
