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

/** How long to wait for what has to happen: longer than the product itself ever waits, which is a minute between two tries of an API that fails. */
export const patience = 100_000

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

const children = new Set()
process.on('exit', () => { for (const child of children) child.kill('SIGKILL') })

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
  children.add(child)
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
      children.delete(child)
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
const ADDRESS = /serving\b.*?(127\.0\.0\.1:\d+)\b.*\n/

/**
 * An address that stays while what is behind it comes and goes, and whose
 * connections can be cut, or go silent without being closed.
 */
export async function startRelay() {
  let target
  const pairs = new Set()
  const server = net.createServer((front) => {
    if (!target) return front.destroy()
    const { hostname, port } = new URL(target)
    const back = net.connect({ host: hostname, port: +port })
    const pair = { front, back, silent: false }
    pairs.add(pair)
    const end = () => { pairs.delete(pair); front.destroy(); back.destroy() }
    front.once('data', (b) => {
      pair.socket = /^upgrade: websocket/im.test(b)
      pair.silent = pair.socket && relay.swallow
    })
    front.on('data', (b) => pair.silent || back.write(b)).on('error', end).on('close', end)
    back.on('data', (b) => pair.silent || front.write(b)).on('error', end).on('close', end)
  })
  const port = await listen(server)
  const relay = {
    origin: `http://127.0.0.1:${port}`,
    to(origin) { target = origin },
    swallow: false, // what opens a WebSocket is never answered
    connections: () => pairs.size,
    /** How many WebSockets are open. */
    sockets: () => [...pairs].filter((pair) => pair.socket).length,
    cut() { for (const { front, back } of pairs) { front.destroy(); back.destroy() } pairs.clear() },
    /** What is connected now, or only what is a WebSocket, hears nothing any more, and is not told. */
    mute(socketsOnly) { for (const pair of pairs) pair.silent ||= !socketsOnly || pair.socket },
    close() { this.cut(); server.close() },
  }
  return relay
}

/**
 * A middlebox as companies have them. `blocks.upgrade`: WebSockets are
 * refused; `blocks.events`: event streams are collected until they end, so
 * that nothing comes through; `blocks.waits`: what is not answered within 0.2 s
 * is answered by 504. `seen` has the kinds of requests that came.
 */
export async function startMiddlebox(target, blocks) {
  const seen = []
  const server = http.createServer((req, res) => {
    const kind = req.headers.accept === 'text/event-stream' ? 'events' : req.headers.prefer ? 'waits' : 'plain'
    seen.push(kind)
    const { hostname, port } = new URL(target)
    const out = http.request({ hostname, port, path: req.url, method: req.method, headers: req.headers }, (answer) => {
      clearTimeout(late)
      if (kind === 'events' && blocks.events) return answer.resume() // collected, and never sent
      res.writeHead(answer.statusCode, answer.headers)
      answer.pipe(res)
    })
    const late = kind === 'waits' && blocks.waits && setTimeout(() => { out.destroy(); res.writeHead(504).end() }, 200)
    out.on('error', () => res.destroy())
    res.on('close', () => { clearTimeout(late); out.destroy() })
    req.pipe(out)
  })
  server.on('upgrade', (req, socket) => {
    seen.push('upgrade')
    if (blocks.upgrade) return socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n')
    const { hostname, port } = new URL(target)
    const back = net.connect({ host: hostname, port: +port }, () => {
      back.write(`GET ${req.url} HTTP/1.1\r\n` + req.rawHeaders.reduce((text, v, i) => text + v + (i % 2 ? '\r\n' : ': '), '') + '\r\n')
      back.pipe(socket).pipe(back)
    })
    for (const s of [back, socket]) s.on('error', () => { back.destroy(); socket.destroy() }).on('close', () => { back.destroy(); socket.destroy() })
  })
  const port = await listen(server)
  return { origin: `http://127.0.0.1:${port}`, seen, close: () => { server.closeAllConnections(); server.close() } }
}

/** A server that says over each socket what a test has it say. `connections` has the sockets, newest last, with what each was told. */
export async function startPeer(t, answer) {
  const { WebSocketServer } = await import('ws')
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  const connections = []
  server.on('connection', (socket) => {
    const connection = {
      socket, told: [], at: Date.now(),
      say: (m) => socket.send(JSON.stringify(m)),
      /** Waits for the n-th message of a type. */
      wait: (type, n = 1) => until(() => connection.told.filter((m) => m.type === type)[n - 1], `${type} ${n}`),
    }
    connections.push(connection)
    socket.on('message', (text) => {
      const m = JSON.parse(text)
      connection.told.push(m)
      answer?.(m, connection, connections.length)
    })
    socket.on('error', () => {})
  })
  t.after(() => { for (const c of server.clients) c.terminate(); server.close() })
  return { url: `ws://127.0.0.1:${server.address().port}/.pollbridge/socket`, connections }
}
