/**
 * A socket that is a port to the worker in which all tabs of a browser share
 * one, as far as the core uses a WebSocket. The worker's name tells by whose
 * credentials the socket was opened, so users never meet in one. Where there
 * are no workers or locks, as on plain HTTP, it is a WebSocket of the tab's own.
 */
export class SharedSocket {
  onopen: (() => void) | null = null
  onmessage: ((event: { data: string }) => void) | null = null
  onclose: ((event: { code: number }) => void) | null = null
  onerror: ((event: any) => void) | null = null
  private port: MessagePort | undefined
  private closed = false
  private release = () => {} // the lock that says that this tab lives

  constructor(url: string, protocol?: string) {
    if (broken || !globalThis.SharedWorker || !navigator.locks) return new WebSocket(url, protocol) as any
    this.start(new URL('/.pollbridge/', url.replace(/^ws/, 'http')).href).catch(() => this.end(1006))
  }

  private async start(own: string) {
    const response = await fetch(own + 'identity', { cache: 'no-store' })
    if (!response.ok) throw new Error('no identity: ' + response.status)
    const identity = await response.text()
    if (this.closed) return
    const worker = new SharedWorker(own + 'worker.js', { name: identity })
    worker.onerror = () => {
      broken = true // it cannot be loaded, or may not
      this.end(1006)
    }
    const { port } = worker, lock = 'pollbridge ' + Math.random()
    this.port = port
    navigator.locks.request(lock, () => new Promise<void>((resolve) => {
      this.release = resolve
      this.closed ? resolve() : port.postMessage(lock)
    }))
    port.onmessage = ({ data }) => {
      if (this.closed) return
      if (typeof data === 'string') this.onmessage?.({ data })
      else if (data) this.end(data)
      else this.onopen?.()
    }
  }

  send(text: string) {
    this.port!.postMessage(JSON.parse(text))
  }

  close() {
    this.closed = true
    this.release() // the worker sees it
    this.port?.close()
  }

  private end(code: number) {
    if (this.closed) return
    this.close()
    this.onclose?.({ code })
  }
}

let broken = false
