// The code of README.md, as it stands there.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { options, startSite, until } from './harness.mjs'

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
const blocks = [...readme.matchAll(/^```js( node)?\n(.*?)^```$/gms)].map(([, node, code]) => ({ node, code }))
const orders = (n) => Array.from({ length: n }, (_, id) => ({ id, note: 'leave it with the neighbours if nobody answers the door' }))

for (const [i, { code }] of blocks.filter((b) => !b.node).entries()) {
  test(`README.md, ${i + 1}: ${code.split('\n')[2]}`, options, async (t) => {
    const site = await startSite(t, { yaml: 'endpoints:\n  - {path: /api/, interval: 50ms, vary: [Authorization]}\n' })
    site.backend.set('/api/orders', orders(2))
    const module = code.replace("from 'pollbridge'", "from '/.pollbridge/pollbridge.js'")
    assert.notEqual(module, code)
    site.backend.set('/code.js', (_, res) => { res.setHeader('content-type', 'text/javascript'); res.end(module + '\nwindow.done = true') })
    site.backend.set('/page', `<!doctype html><link rel=icon href=data:,><script>
      const shown = [], patches = [], token = async () => 'x'
      const render = (data, status) => shown.push([data?.length, status]), log = (patch) => patches.push(patch)
      </script><script type=module src=/code.js></script>`)
    const tab = await site.open('/page')
    await tab.waitForFunction(() => shown.length)
    site.backend.set('/api/orders', orders(3))
    await tab.waitForFunction(() => window.done)
    const shown = await tab.evaluate(() => shown)
    assert.deepEqual(shown[0][0], 2)
    if (/fetch\('/.test(code)) return
    await tab.waitForFunction(() => shown.at(-1)[0] === 3)
    if (/onPatch/.test(code)) assert.equal(await tab.evaluate(() => patches.at(-1)[0].op), 'add')
  })
}

test('README.md, in Node', options, async (t) => {
  const [{ code }] = blocks.filter((b) => b.node)
  const site = await startSite(t)
  site.backend.set('/api/orders', orders(2))
  const file = new URL('../../dist/readme.mjs', import.meta.url) // from where packages are found
  writeFileSync(file, code.replace("'pollbridge'", "'./index.js'").replace('http://localhost:8080', site.origin))
  const child = spawn(process.execPath, [file.pathname], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => { child.kill(); rmSync(file) })
  let out = ''
  child.stdout.on('data', (text) => { out += text })
  await until(() => /^live \[/m.test(out), 'Node to show the document')
})

test('README.md has the options, states and sizes that there are', () => {
  const types = readFileSync(new URL('../../src/types.ts', import.meta.url), 'utf8')
  const options = /interface Options \{(.*?)^\}/ms.exec(types)[1]
  for (const [, name] of options.matchAll(/^ {2}(\w+)\?:/gm)) assert.ok(readme.includes('`' + name + '`'), name)
  for (const [, name] of /type Status = (.*)/.exec(types)[1].matchAll(/'(\w+)'/g)) assert.ok(readme.includes('| `' + name + '`'), name)
})
