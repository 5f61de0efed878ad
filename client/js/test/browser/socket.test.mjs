import assert from 'node:assert/strict'
import { test } from 'node:test'
import { options, startSite, until } from './harness.mjs'

test('one line shows each document, and no poll of the page is left', options, async (t) => {
  const site = await startSite(t)
  site.backend.set('/api/orders', [{ id: 1, state: 'open', note: 'leave it with the neighbours' }, { id: 2, state: 'open' }])
  const tab = await site.open()
  await tab.evaluate(() => {
    window.shown = []
    window.handle = pb.watch('/api/orders', (data) => shown.push(data))
  })
  await tab.waitForFunction(() => shown.length === 1)
  site.backend.set('/api/orders', [{ id: 1, state: 'sent', note: 'leave it with the neighbours' }, { id: 2, state: 'open' }])
  await tab.waitForFunction(() => shown.length === 2)
  assert.deepEqual(await tab.evaluate(() => [shown[1][0].state, shown[0][0].state, shown[1][1] === shown[0][1], handle.status]), ['sent', 'open', true, 'live'])

  // Another pollbridge in its place: it remembers nothing, and the document is still the same.
  await site.proxy.stop()
  await tab.waitForFunction(() => handle.status !== 'live')
  await site.serve()
  await tab.waitForFunction(() => handle.status === 'live')
  assert.equal(await tab.evaluate(() => shown.length), 2)
  await tab.evaluate(() => handle.close())
  await until(() => site.relay.connections() <= 1)
})
