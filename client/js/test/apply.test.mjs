import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { apply } from '../dist/index.js'

const freeze = (value) => {
  if (typeof value === 'object' && value !== null) Object.values(Object.freeze(value)).forEach(freeze)
  return value
}

for (const file of ['tests.json', 'spec_tests.json']) {
  const url = new URL('../../../../shared/suites/json-patch-tests/' + file, import.meta.url)
  test('json-patch-tests, ' + file, { skip: !existsSync(url) && 'the suite is not here' }, (t) => {
    let run = 0
    for (const { doc, patch, expected, error, comment, disabled } of JSON.parse(readFileSync(url, 'utf8'))) {
      if (disabled || !patch) continue
      run++
      freeze(doc)
      if (error) assert.throws(() => apply(doc, patch), comment ?? error)
      else if (expected !== undefined) assert.deepEqual(apply(doc, patch), expected, comment)
      else apply(doc, patch)
    }
    t.diagnostic(`${run} cases`)
  })
}
