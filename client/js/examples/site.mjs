// The examples' legacy API: bikes at some stations, as JSON, as HTML and as
// GraphQL, and the examples' own pages.
import { readFileSync, readdirSync } from 'node:fs'
import { build } from './build.mjs'

const here = new URL('.', import.meta.url)

/** The folders that hold an example. */
export const examples = readdirSync(here, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => name)

/** What pollbridge is told about this API. */
export const endpoints = `endpoints:
  - {path: /api/stations, interval: 200ms, vary: []}
  - {path: /fragments/stations, interval: 200ms, vary: []}
  - {path: /graphql, interval: 200ms, vary: []}
`

/** Has a backend (of test/server.mjs) answer as the API; `stations` may be changed at any time. */
export async function serveExamples(backend, names = examples) {
  const stations = ['Alder Street', 'Harbour', 'Old Town', 'Station Square', 'University'].map((name, i) => ({ id: String(i), name, bikes: 5 * i }))
  backend.set('/api/stations', () => stations)
  backend.set('/fragments/stations', () => '<ul>\n' + stations.map(({ name, bikes }) => `<li>${name}: ${bikes}</li>\n`).join('') + '</ul>\n')
  backend.set('/graphql', () => ({ data: { stations: stations.map((station) => ({ __typename: 'Station', ...station })) } }))

  const programs = await build(names.map((name) => 'examples/' + name + '/main.*'), {
    outbase: 'examples',
    define: { 'process.env.NODE_ENV': '"development"' }, // so that the libraries complain of what is done wrong
  })
  for (const name of names) {
    backend.set(`/${name}/`, readFileSync(new URL(`${name}/index.html`, here), 'utf8'))
    backend.set(`/${name}/main.js`, (_, response) => void response.setHeader('Content-Type', 'text/javascript').end(programs[`${name}/main.js`]))
  }
  return stations
}
