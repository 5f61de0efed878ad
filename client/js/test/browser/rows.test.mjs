import assert from 'node:assert/strict'
import { test } from 'node:test'
import { build } from '../../examples/build.mjs'
import { options, rules, startSite, until } from './harness.mjs'
import { readTable } from './recipes.mjs'

// How many of a thousand rows React renders when one of them has changed. What
// polls with setState renders them all after every poll, changed or not.
const wanted = {
  'setState, polled': 1000,
  'SWR, polled': 1000,
  'TanStack Query, polled': 1,
  'RTK Query, polled': 1,
  'setState, watched': 1,
  'useWatch, watched': 1,
  'SWR, watched': 1,
  'TanStack Query, watched': 1,
  'RTK Query, watched': 1,
}
const watched = Object.entries(wanted).filter(([way]) => way.endsWith('watched'))

test('React renders the one row that changed, also after a whole document', options, async (t) => {
  const site = await startSite(t, { yaml: rules('/api/rows') })
  const program = (await build(['test/browser/pages/rows.tsx']))['rows.js']
  const rows = Array.from({ length: 1000 }, (_, id) => ({ id, n: 0, note: 'the quick brown fox jumps over the lazy dog' }))
  site.backend.set('/api/rows', () => rows)
  site.backend.set('/rows', `<!doctype html><meta charset=utf-8><link rel=icon href=data:,><body><script type=module>${program.replaceAll('</script', '<\\/script')}</script>`)
  const tab = await site.open('/empty')
  const told = [] // types of messages
  tab.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => told.push(JSON.parse(payload).type)))
  await tab.goto(site.origin + '/rows')

  const shown = (sum, ways = Object.keys(wanted)) =>
    until(async () => {
      const now = await tab.evaluate(() => shown)
      return ways.every((way) => now[way] === sum)
    }, `all to show ${sum}`)
  await shown(0)
  await until(() => told.length, 'the socket to tell what is shown')

  // One row changes, and comes as a patch to those who watch.
  await tab.evaluate(() => void (renders = {}))
  told.length = 0
  rows[500].n++
  await shown(1)
  const patched = await tab.evaluate(() => renders)
  assert.deepEqual(told, ['patch'])
  assert.equal(patched['setState, polled'] % 1000, 0)
  assert.deepEqual({ ...patched, 'setState, polled': 1000 * Math.sign(patched['setState, polled']) }, wanted)

  // One row changes while pollbridge is away. Another in its place knows
  // nothing of what the page has, and sends the whole document, over a socket
  // or to a poll, whichever comes first.
  await site.proxy.stop()
  rows[300].n++
  await tab.evaluate(() => void (renders = {}))
  told.length = 0
  await site.serve()
  await shown(2, watched.map(([way]) => way))
  const whole = await tab.evaluate(() => renders)
  assert.ok(!told.includes('patch'), String(told))
  for (const [way, count] of watched) assert.equal(whole[way], count, way)

  const table = [
    ['polled, a whole document', ...['setState', 'SWR', 'TanStack Query', 'RTK Query'].map((library) => wanted[`${library}, polled`])],
    ['pushed, a patch', ...['useWatch', 'SWR', 'TanStack Query', 'RTK Query'].map((library) => patched[`${library}, watched`])],
    ['pushed, a whole document after a reconnect', ...['useWatch', 'SWR', 'TanStack Query', 'RTK Query'].map((library) => whole[`${library}, watched`])],
  ].map((row) => `| ${row.join(' | ')} |`)
  for (const row of table) t.diagnostic(row)
  assert.deepEqual(readTable('rows'), table, 'the table of docs/migrating.md')
})
