// Runs one example, or all: `npm run example react`. Needs Go, for pollbridge.
import { startBackend, startPollbridge } from '../test/server.mjs'
import { endpoints, examples, serveExamples } from './site.mjs'

const names = process.argv.slice(2)
const unknown = names.find((name) => !examples.includes(name))
if (unknown !== undefined) {
  console.error(`no example ${unknown}: there are ${examples.join(', ')}`)
  process.exit(1)
}

const backend = await startBackend()
const stations = await serveExamples(backend, names.length ? names : examples)
const { origin } = await startPollbridge(`upstream: ${backend.origin}\n${endpoints}`)
setInterval(() => {
  const station = stations[Math.floor(Math.random() * stations.length)]
  station.bikes = Math.max(0, station.bikes + (Math.random() < 0.5 ? -1 : 1))
}, 1000)
for (const name of names.length ? names : examples) console.log(`${origin}/${name}/`)
