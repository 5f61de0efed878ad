/** Does what a function did, or something in its place. `native` is the function as it was. */
type Instead = (native: () => any, self: any, args: any[]) => any

let active = true
const undo: (() => void)[] = []

/**
 * Puts something in the place of a method, or of what reads or sets an
 * attribute, that looks like it: the same name, length and text.
 */
export function wrap(owner: any, name: string, instead: Instead, part: 'value' | 'get' | 'set' = 'value') {
  const find = () => Object.getOwnPropertyDescriptor(owner, name)!
  const before = find(), native = before[part]
  const mine = new Proxy(native, {
    apply: (_, self, args) => {
      const call = () => Reflect.apply(native, self, args)
      return active ? instead(call, self, args) : call()
    },
    get: (_, key) => (key === 'toString' ? () => '' + native : native[key]),
  })
  Object.defineProperty(owner, name, { ...before, [part]: mine })
  undo.unshift(() => {
    // What others have put on top of it stays, and comes to the native one through it.
    if (find()[part] === mine) Object.defineProperty(owner, name, before)
  })
}

/** Makes everything as it was. */
export function unwrap() {
  active = false
  for (const f of undo) f()
}

let channel: MessageChannel | undefined
const due: (() => void)[] = []

/** Calls back in a task of its own, as the network does. (Timers are late in pages that are not seen.) */
export function later(f: () => void) {
  if (!channel) {
    channel = new MessageChannel()
    channel.port1.onmessage = () => due.shift()!()
  }
  due.push(f)
  channel.port2.postMessage(0)
}
