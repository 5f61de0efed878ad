// Where there is no page: what React Native, Deno and Bun have, and no more.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import vm from 'node:vm'
import WebSocket from 'ws'
import { startBackend, startPollbridge, until } from './server.mjs'

async function start(t) {
  const backend = await startBackend()
  const proxy = await startPollbridge(`upstream: "${backend.origin}"\nendpoints:\n  - {path: /api/, interval: 50ms, vary: []}\n`)
  t.after(async () => { await proxy.stop(); backend.close() })
  backend.set('/api/a', { n: 1 })
  return { backend, proxy }
}

test('it needs nothing of a browser but WebSocket, fetch, URL and timers', async (t) => {
  const { backend, proxy } = await start(t)
  const given = { WebSocket, fetch, URL, AbortController, setTimeout, clearTimeout, setInterval, clearInterval, queueMicrotask, Headers, Request, Response, TextDecoder }
  const context = vm.createContext({ ...given })
  vm.runInContext(readFileSync(new URL('../dist/pollbridge.iife.js', import.meta.url), 'utf8') + ';globalThis.pollbridge = pollbridge', context)
  const { createClient, watch } = context.pollbridge
  assert.throws(() => watch('/api/a'), /url or origin/)
  const client = createClient({ url: proxy.origin.replace('http', 'ws') + '/.pollbridge/socket' })
  t.after(() => client.close())
  const handle = client.watch('/api/a')
  await until(() => handle.status === 'live')
  backend.set('/api/a', { n: 2 })
  await until(() => handle.getSnapshot().data.n === 2)
  assert.equal((await (await client.fetch('/api/a')).json()).n, 2)
})

test('loading it does nothing', () => {
  const context = vm.createContext({}) // of which nothing could be used
  vm.runInContext(readFileSync(new URL('../dist/pollbridge.iife.js', import.meta.url), 'utf8'), context)
  assert.deepEqual(Object.keys(context), ['pollbridge'])
})

const program = (url) => `
const { createClient } = await import(${JSON.stringify(new URL('../dist/index.js', import.meta.url).pathname)})
const client = createClient({ url: ${JSON.stringify(url)} })
const seen = []
for await (const { data, status } of client.watch('/api/a')) {
  console.log(status, JSON.stringify(data))
  if (data.n === 2) break
}
client.close()
`

for (const [name, ...command] of [['node', process.execPath, '--input-type=module', '-e'], ['deno', 'deno', 'eval'], ['bun', 'bun', '-e']]) {
  const works = name === 'node' ? !!globalThis.WebSocket : spawnSync(command[0], ['--version']).status === 0
  test(`${name} has a WebSocket of its own`, { skip: !works && `no ${name} with one on this machine` }, async (t) => {
    const { backend, proxy } = await start(t)
    const child = spawn(command[0], [...command.slice(1), program(proxy.origin + '/.pollbridge/socket')], { stdio: ['ignore', 'pipe', 'inherit'] })
    let out = '', ended = false
    child.stdout.on('data', (text) => { out += text })
    child.on('close', () => { ended = true })
    t.after(() => child.kill())
    await until(() => out.includes('\n') || ended, `${name} to show the first document`)
    backend.set('/api/a', { n: 2 })
    await until(() => ended, `${name} to end`)
    assert.equal(out, 'live {"n":1}\nlive {"n":2}\n')
  })
}
