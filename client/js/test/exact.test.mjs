import assert from 'node:assert/strict'
import { test } from 'node:test'
import { build } from 'esbuild'

const { outputFiles } = await build({ entryPoints: [new URL('../src/shim/exact.ts', import.meta.url).pathname], format: 'esm', write: false })
const { protect, spell } = await import('data:text/javascript,' + encodeURIComponent(outputFiles[0].text))

const through = (json) => spell(JSON.parse(protect(json)))

test('numbers keep their spelling, and strings what looks like one', () => {
  const random = ((seed) => () => (seed = Math.imul(seed ^ (seed >>> 15), 0x2c1b3c6d) + 0x9e3779b9 | 0, (seed >>> 0) / 2 ** 32))(7)
  const pick = (list) => list[Math.floor(random() * list.length)]
  const many = (f, n = 4) => Array.from({ length: Math.floor(random() * n) }, (_, i) => f(i))
  const numbers = ['0', '-0', '-0.0', '1', '1.0', '-1', '1e5', '1E+5', '1e-7', '0.10', '0.0000001', '0.000001', '9007199254740993', '123456789012345678901234567890', '1e400', '5e-324', '0.30000000000000004', '0.1000000000000000055', '12.50', '1e21']
  const string = () => JSON.stringify(many(() => pick(['a', '1.0', '"', '\\', '\n', ',', ':1.0,', '[-0', 'é', '\0', '{', '}']), 6).join(''))
  const value = (depth) => {
    const kind = depth > 3 ? 0 : random()
    if (kind < 0.45) return pick(numbers)
    if (kind < 0.65) return pick([string(), 'true', 'null'])
    return kind < 0.85 ? `[${many(() => value(depth + 1)).join()}]` : `{${many((i) => `"k${i}\\"":${value(depth + 1)}`).join()}}`
  }
  for (let i = 0; i < 20_000; i++) {
    const json = value(0)
    assert.equal(through(json), json)
  }
})

test('strings of any length, and what is no JSON', () => {
  const long = `{"a":"${'x\\n'.repeat(3e6)}","b":1.0}`
  assert.equal(through(long), long)
  for (const text of ['[1.0,"', '[1.0,"\\"', '[1.0', '1.0"']) assert.throws(() => through(text), SyntaxError)
  assert.equal(through(' [ 1.0 , "\\u00e9" ] '), '[1.0,"é"]')
})
