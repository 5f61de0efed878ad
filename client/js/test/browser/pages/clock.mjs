/**
 * Has a page's time stand still from before its first script on. Only
 * window.pass(ms) lets it go by, and returns once all is done that the timers
 * have begun which are due by then: requests are answered, and a new socket
 * has told what it was opened for.
 */
export function standStill() {
  let time = 0, last = 0
  let waiting = 0 // for so many requests and sockets
  const timers = new Map()
  const { fetch, setTimeout: later, WebSocket } = window, { prototype } = XMLHttpRequest, { send } = prototype
  const turn = () => new Promise((resolve) => later(resolve, 2))
  const set = (repeats) => (f, ms = 0, ...args) => {
    timers.set(++last, { f, args, ms: Math.max(ms, 1), at: time + Math.max(ms, 1), repeats })
    return last
  }
  const clear = (id) => void timers.delete(id)
  const start = Date.now()
  Date.now = () => start + time
  performance.now = () => time

  prototype.send = function (body) {
    this.addEventListener('loadend', () => waiting--, { once: true })
    waiting++
    send.call(this, body)
  }

  Object.assign(window, {
    setTimeout: set(false),
    setInterval: set(true),
    clearTimeout: clear,
    clearInterval: clear,
    requestAnimationFrame: (f) => setTimeout(() => f(time), 16),
    cancelAnimationFrame: clear,

    async fetch(...args) {
      waiting++
      try {
        const response = await fetch(...args)
        await response.clone().arrayBuffer()
        return response
      } finally {
        waiting--
      }
    },

    WebSocket: class extends WebSocket {
      constructor(...args) {
        super(...args)
        waiting++
        const told = ({ data }) => {
          if (JSON.parse(data).type !== 'snapshot') return
          this.removeEventListener('message', told)
          waiting--
        }
        this.addEventListener('message', told)
      }
    },

    async pass(ms) {
      const end = time + ms
      for (;;) {
        const [id, timer] = [...timers].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at)[0] ?? []
        if (!timer) break
        time = timer.at
        if (timer.repeats) timer.at += timer.ms
        else timers.delete(id)
        timer.f(...timer.args)
        await undefined // what it has promised goes on
      }
      time = end
      await cookieStore.get('none') // axios looks for one before it asks
      do await turn()
      while (waiting)
      await turn() // what was answered is taken in
    },
  })
}
