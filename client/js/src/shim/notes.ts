import { debug } from './options.js'

/** What became of one request that is a poll. */
export interface Note {
  url: string
  from: 'memory' | 'network'
  why?: string // the network was asked
}

/** The last 200, the newest last. */
export const notes: Note[] = []

const tally: Record<string, number> = {}
let corner: HTMLElement | undefined

export function note(url: string, why?: string) {
  const from = why ? 'network' : 'memory'
  if (notes.push({ url, from, why }) > 200) notes.shift()
  if (!debug) return
  const what = `${from} ${url} ${why || ''}`
  console.log('pollbridge:', what)
  tally[what] = (tally[what] || 0) + 1
  corner ||= document.body?.appendChild(document.createElement('pre'))
  if (!corner) return
  corner.style.cssText = 'position:fixed;right:0;bottom:0;margin:0;background:#ffc;pointer-events:none'
  corner.textContent = Object.keys(tally).map((what) => tally[what] + ' ' + what).join('\n')
}
