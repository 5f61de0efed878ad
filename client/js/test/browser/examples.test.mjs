import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { endpoints, examples, serveExamples } from '../../examples/site.mjs'
import { startBackend, startPollbridge } from '../server.mjs'
import { newContext, options, settled, until } from './harness.mjs'

describe('examples', { ...options, concurrency: 7 }, () => {
  let backend, proxy, stations
  before(async () => {
    backend = await startBackend()
    stations = await serveExamples(backend)
    proxy = await startPollbridge(`upstream: "${backend.origin}"\n${endpoints}`)
  })
  after(async () => {
    await proxy?.stop()
    backend?.close()
  })

  for (const name of examples) {
    test(name, async () => {
      // The tests change one API at the same time, so each has a station of its own.
      const station = { id: name, name: `In front of ${name}`, bikes: 0 }
      stations.push(station)
      const page = await (await newContext()).newPage()
      const requests = [], errors = []
      let open = 0, told = false // over a socket
      page.on('request', (request) => /^\/(api|fragments|graphql)\b/.test(new URL(request.url()).pathname) && requests.push(request.url()))
      page.on('pageerror', (error) => errors.push(error))
      page.on('console', (message) => message.type() === 'error' && errors.push(message.text()))
      page.on('websocket', (socket) => {
        open++
        socket.on('close', () => open--)
        socket.on('framereceived', ({ payload }) => (told ||= /"type":"(snapshot|current)"/.test(payload)))
      })
      try {
        await page.goto(`${proxy.origin}/${name}/`)
        const row = page.locator('li', { hasText: station.name })
        const shown = async () => (await row.count()) && (await row.textContent())
        await until(shown, `${name} to show the stations`)
        await until(() => told, `${name} to be told`)
        await settled(page)
        const asked = requests.length
        for (const bikes of [1, 2]) {
          station.bikes = bikes
          await until(async () => (await shown()) === `${station.name}: ${bikes}`, `${name} to show the change`)
        }
        assert.equal(requests.length, asked, 'what changes is pushed, not asked for')
        assert.equal(open, 1, 'all goes over one socket')

        await page.locator('#stop').click()
        await until(() => open === 0, `${name} to leave, once nothing is watched any more`)
        assert.deepEqual(errors, [])
      } catch (error) {
        throw new Error(`${name}: ${error.message}\non the page: ${await page.locator("body").innerText()}`)
      } finally {
        await page.context().close()
      }
    })
  }
})
