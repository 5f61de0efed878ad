import { debug } from './options.js'

/** What became of one request that is a poll. */
export interface Note {
  url: string
  from: 'memory' | 'network'
  why?: string // the network was asked
}

/** The last 200, the newest last. */
export const notes: Note[] = []

export function note(url: string, why?: string) {
  const from = why ? 'network' : 'memory'
  if (notes.push({ url, from, why }) > 200) notes.shift()
  if (debug) console.log('pollbridge:', url, from, why || '')
}
