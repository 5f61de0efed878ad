import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { newContext, options, settled, startSite, until } from './harness.mjs'
import { makePage, recipes } from './recipes.mjs'

const paths = ['/api/orders', '/api/mine', '/graphql', '/parts/orders', '/reports/today.csv']
const yaml = `endpoints:\n${paths.map((path) => `  - {path: ${path}, interval: 50ms${path === '/api/mine' ? '' : ', vary: []'}}\n`).join('')}`

const runnable = recipes.filter(({ name, language }) => name && name !== 'node' && language !== 'sh')

test('every block of code is a recipe, with what it takes the place of', () => {
  const unnamed = recipes.filter(({ name, code }) => !name && !code.includes('shim.js'))
  assert.deepEqual(unnamed, [])
  for (const { name, phase } of recipes) {
    const library = name?.split('-')[0]
    if (phase === 'before') assert.ok(recipes.some((r) => r.name === name && r.phase === 'after'), `${name} has no after`)
    else if (name?.includes('-')) assert.ok(recipes.some((r) => r.name === library && r.phase === 'before'), `${name} has no before`)
  }
  assert.ok(runnable.length > 30)
})

test('recipes have the types that they say', () => {
  const dir = new URL('../../node_modules/.recipes/', import.meta.url)
  rmSync(dir, { recursive: true, force: true })
  mkdirSync(dir)
  const files = ['../../test/browser/pages/recipes/recipe.d.ts']
  for (const { name, phase, language, code } of runnable) {
    if (!/^tsx?$/.test(language)) continue
    files.push(`${name}-${phase}.${language}`)
    writeFileSync(new URL(files.at(-1), dir), code)
  }
  const config = { extends: '../../tsconfig.test.json', files, include: [] }
  writeFileSync(new URL('tsconfig.json', dir), JSON.stringify(config))
  const { stdout, status } = spawnSync('node_modules/.bin/tsc', ['-p', dir.pathname], { cwd: new URL('../..', import.meta.url), encoding: 'utf8' })
  assert.equal(status, 0, stdout)
  rmSync(dir, { recursive: true })
})

test('recipes show what the API says: before by asking, after by being told', options, async (t) => {
  const site = await startSite(t, { yaml })
  const { backend } = site
  const orders = [{ id: 1, state: 'open' }, { id: 2, state: 'open' }]
  backend.set('/api/orders', () => orders)
  backend.set('/api/mine', (request, response) => {
    if (request.headers.authorization === 'Bearer secret') return orders
    response.writeHead(401).end()
  })
  backend.set('/graphql', () => ({ data: { orders: orders.map((order) => ({ __typename: 'Order', ...order })) } }))
  backend.set('/parts/orders', () => orders.map(({ id, state }) => `<li>${id}: ${state}</li>\n`).join(''))
  backend.set('/reports/today.csv', (_, response) => void response.setHeader('Content-Type', 'text/csv').end(orders.map(({ id, state }) => `${id}: ${state}\n`).join('')))
  for (const [file, source] of [['/htmx2.js', 'htmx.org'], ['/htmx4.js', 'htmx4']]) {
    const text = readFileSync(new URL(`../../node_modules/${source}/dist/htmx.min.js`, import.meta.url), 'utf8')
    backend.set(file, (_, response) => void response.setHeader('Content-Type', 'text/javascript').end(text))
  }

  const context = await newContext()
  t.after(() => context.close())

  const open = async (recipe) => {
    const { name, phase } = recipe
    const path = `/${name}/${phase}`
    backend.set(path, await makePage(recipe))
    const page = await context.newPage()
    const asked = []
    page.on('request', (request) => paths.includes(new URL(request.url()).pathname) && asked.push(request.url()))
    let told = false // over a socket
    page.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => (told ||= /"type":"(snapshot|current)"/.test(payload))))
    page.on('pageerror', (error) => console.error(path, error))
    await page.goto((name === 'alone' ? backend.origin : site.origin) + path)
    const shows = (text) => until(async () => (await page.locator('body').innerText()).includes(text), `${path} to show ${text}`)
    return { name, phase, page, asked, told: () => told, shows, polls: phase === 'before' || name === 'alone' }
  }

  const atOnce = 8 // what a slow machine gets from more pages that poll would come later and later
  for (let i = 0; i < runnable.length; i += atOnce) {
    orders[0].state = 'open'
    const pages = await Promise.all(runnable.slice(i, i + atOnce).map(open))
    await Promise.all(
      pages.map(async ({ name, page, asked, told, shows, polls }) => {
        await shows('1: open')
        await until(() => (polls ? asked.length > 4 : told()), `${name} to ${polls ? 'poll' : 'be told'}`)
        await settled(page)
      }),
    )
    const before = pages.map(({ asked }) => asked.length)
    orders[0].state = 'sent'
    await Promise.all(pages.map(({ shows }) => shows('1: sent')))
    for (const [i, { name, phase, asked, polls }] of pages.entries()) {
      if (polls) await until(() => asked.length > before[i], `${name} to go on polling`)
      else assert.equal(asked.length, before[i], `${name}, ${phase}: asked again after it had been told`)
    }
    await Promise.all(pages.map(({ page }) => page.close()))
  }
})

test('the recipe for Node runs there', async (t) => {
  const site = await startSite(t, { yaml })
  site.backend.set('/api/orders', ['first'])
  const file = new URL('../../dist/recipe.test.mjs', import.meta.url)
  writeFileSync(file, recipes.find(({ name }) => name === 'node').code.replace('wss://app.example.com', site.origin.replace('http', 'ws')))
  const child = spawn(process.execPath, [file.pathname], { stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    let output = ''
    child.stdout.on('data', (text) => (output += text))
    await until(() => output.includes('first'))
    site.backend.set('/api/orders', ['second'])
    await until(() => output.includes('second'))
  } finally {
    child.kill()
    await once(child, 'exit')
    rmSync(file)
  }
})
