// What the tests run against: the real pollbridge, before a legacy API whose
// documents they change and whose requests they count.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const root = new URL('../../..', import.meta.url).pathname

/** How long to wait for what has to happen: no machine is too slow. */
export const patience = 30_000

/** Waits until a condition holds, and returns what it returned. */
export async function until(condition, what = String(condition)) {
  const deadline = Date.now() + patience
  for (;;) {
    const value = await condition()
    if (value) return value
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/**
 * A legacy API. `set(path, document)` says what it answers to a path from then
 * on: a value is sent as JSON, a string as HTML, and a function (request,
 * response) => document answers for itself where it returns undefined.
 */
export async function startBackend() {
  const documents = new Map()
  const requests = [] // {method, url, path, headers}
  const server = http.createServer((req, res) => {
    const path = req.url.split('?')[0]
    requests.push({ method: req.method, url: req.url, path, headers: req.headers })
    let document = documents.get(path)
    if (document === undefined) return res.writeHead(404).end('not found')
    const answer = (value) => {
      if (value === undefined) return
      const text = typeof value === 'string'
      if (!res.hasHeader('content-type')) res.setHeader('content-type', text ? 'text/html; charset=utf-8' : 'application/json')
      res.end(text ? value : JSON.stringify(value))
    }
    if (typeof document === 'function') Promise.resolve(document(req, res)).then(answer)
    else answer(document)
  })
  server.keepAliveTimeout = 60_000
  const port = await listen(server)
  return {
    origin: `http://127.0.0.1:${port}`,
    requests,
    set: (path, document) => documents.set(path, document),
    /** How many requests there were for a path. */
    count: (path) => requests.filter((r) => r.path === path).length,
    close: () => { server.closeAllConnections(); server.close() },
  }
}

async function listen(server, port = 0) {
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return server.address().port
}

let built

/** Builds pollbridge once, and returns its file. POLLBRIDGE_BINARY names one that is there already. */
function binary() {
  if (process.env.POLLBRIDGE_BINARY) return process.env.POLLBRIDGE_BINARY
  if (!built) {
    const dir = mkdtempSync(join(tmpdir(), 'pollbridge'))
    process.on('exit', () => rmSync(dir, { recursive: true, force: true }))
    built = join(dir, 'pollbridge')
    execFileSync('go', ['build', '-buildvcs=false', '-o', built, '.'], { cwd: root, stdio: 'inherit' })
  }
  return built
}

/** Starts pollbridge with a configuration, at an address of its own. */
export async function startPollbridge(yaml) {
  const dir = mkdtempSync(join(tmpdir(), 'pollbridge'))
  writeFileSync(join(dir, 'config.yaml'), 'listen: 127.0.0.1:0\nadmin: ""\ndrain: 0s\n' + yaml)
  const child = spawn(binary(), ['serve'], { cwd: dir, stdio: ['ignore', 'pipe', 'pipe'] })
  let log = ''
  child.stdout.on('data', (text) => { log += text })
  child.stderr.on('data', (text) => { log += text })
  const exit = once(child, 'exit')
  process.on('exit', () => child.kill('SIGKILL'))
  const address = await until(() => {
    if (child.exitCode !== null) throw new Error('pollbridge ended:\n' + log)
    return log.match(ADDRESS)?.[1]
  }, 'pollbridge to listen')
  return {
    origin: 'http://' + address,
    log: () => log,
    async stop(signal = 'SIGKILL') {
      child.kill(signal)
      await exit
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
const ADDRESS = /serving\b.*?(127\.0\.0\.1:\d+)/

/**
 * An address that stays while what is behind it comes and goes, and whose
 * connections can be cut, or go silent without being closed.
 */
export async function startRelay() {
  let target, silent = false
  const pairs = new Set()
  const server = net.createServer((front) => {
    if (!target) return front.destroy()
    const { hostname, port } = new URL(target)
    const back = net.connect({ host: hostname, port: +port })
    const pair = { front, back, silent: false }
    pairs.add(pair)
    const end = () => { pairs.delete(pair); front.destroy(); back.destroy() }
    front.once('data', (b) => { pair.socket = /^upgrade: websocket/im.test(b) })
    front.on('data', (b) => silent || pair.silent || back.write(b)).on('error', end).on('close', end)
    back.on('data', (b) => silent || pair.silent || front.write(b)).on('error', end).on('close', end)
  })
  const port = await listen(server)
  return {
    origin: `http://127.0.0.1:${port}`,
    to(origin) { target = origin },
    connections: () => pairs.size,
    cut() { for (const { front, back } of pairs) { front.destroy(); back.destroy() } pairs.clear() },
    /** What is connected now, or only what is a WebSocket, hears nothing any more, and is not told. */
    mute(socketsOnly) { for (const pair of pairs) pair.silent ||= !socketsOnly || pair.socket },
    close() { this.cut(); server.close() },
  }
}
