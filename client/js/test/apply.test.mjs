import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { apply, merge, share } from '../dist/index.js'

const freeze = (value) => {
  if (typeof value === 'object' && value !== null) Object.values(Object.freeze(value)).forEach(freeze)
  return value
}
const parse = (text) => freeze(JSON.parse(text))

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

test('patches', () => {
  for (const [document, patch, want] of [
    ['{"a":1}', '[]', '{"a":1}'],
    ['{"a":[1,2,3]}', '[{"op":"add","path":"/a/1","value":9}]', '{"a":[1,9,2,3]}'],
    ['{"a":[]}', '[{"op":"add","path":"/a/-","value":null},{"op":"add","path":"/a/-","value":{}}]', '{"a":[null,{}]}'],
    ['{"a":{"b":1}}', '[{"op":"copy","from":"/a","path":"/c"},{"op":"replace","path":"/a/b","value":2}]', '{"a":{"b":2},"c":{"b":1}}'],
    ['{"a":{"b":{"n":1}}}', '[{"op":"replace","path":"/a/b/n","value":2},{"op":"copy","from":"/a","path":"/c"},{"op":"replace","path":"/c/b/n","value":3}]', '{"a":{"b":{"n":2}},"c":{"b":{"n":3}}}'],
    ['{"a":1,"b":{}}', '[{"op":"move","from":"/a","path":"/b/a"}]', '{"b":{"a":1}}'],
    ['[1,2,3]', '[{"op":"move","from":"/0","path":"/2"}]', '[2,3,1]'],
    ['[1,2,3]', '[{"op":"move","from":"/1","path":"/1"}]', '[1,2,3]'],
    ['{"ab":{},"a":1}', '[{"op":"move","from":"/a","path":"/ab/x"}]', '{"ab":{"x":1}}'],
    ['{"a/b":1,"m~n":2,"":3}', '[{"op":"replace","path":"/a~1b","value":4},{"op":"replace","path":"/m~0n","value":5},{"op":"replace","path":"/","value":6}]', '{"a/b":4,"m~n":5,"":6}'],
    ['{"~1":1}', '[{"op":"remove","path":"/~01"}]', '{}'],
    ['1', '[{"op":"replace","path":"","value":[2]},{"op":"add","path":"/0","value":3}]', '[3,2]'],
    ['{"a":1,"b":2,"c":3}', '[{"op":"replace","path":"/b","value":9}]', '{"a":1,"b":9,"c":3}'], // in its place
    ['{"__proto__":{"a":1}}', '[{"op":"replace","path":"/__proto__/a","value":2}]', '{"__proto__":{"a":2}}'],
    ['{}', '[{"op":"add","path":"/__proto__","value":{"a":1}},{"op":"add","path":"/__proto__/b","value":2}]', '{"__proto__":{"a":1,"b":2}}'],
    ['{"__proto__":1,"a":{}}', '[{"op":"move","from":"/__proto__","path":"/a/__proto__"}]', '{"a":{"__proto__":1}}'],
    ['{"toString":1}', '[{"op":"remove","path":"/toString"}]', '{}'],
    ['{"length":1}', '[{"op":"test","path":"/length","value":1}]', '{"length":1}'],
  ]) {
    const before = parse(document)
    assert.equal(JSON.stringify(apply(before, parse(patch))), want, patch)
  }
})

test('patches that do not fit', () => {
  for (const [document, patch] of [
    ['{}', '[{"op":"replace","path":"/a","value":1}]'],
    ['{}', '[{"op":"remove","path":"/toString"}]'], // what all objects have is not in the document
    ['{}', '[{"op":"replace","path":"/__proto__","value":1}]'],
    ['{}', '[{"op":"add","path":"/__proto__/polluted","value":1}]'],
    ['{}', '[{"op":"add","path":"/constructor/prototype/polluted","value":1}]'],
    ['{}', '[{"op":"copy","from":"/constructor","path":"/a"}]'],
    ['[1]', '[{"op":"replace","path":"/length","value":0}]'],
    ['[1]', '[{"op":"remove","path":"/1"}]'],
    ['[1]', '[{"op":"replace","path":"/-","value":0}]'],
    ['[1]', '[{"op":"add","path":"/2","value":0}]'],
    ['[1]', '[{"op":"add","path":"/01","value":0}]'],
    ['[1]', '[{"op":"add","path":"/-1","value":0}]'],
    ['[1]', '[{"op":"add","path":"/1e0","value":0}]'],
    ['[[]]', '[{"op":"add","path":"/-/0","value":0}]'],
    ['"text"', '[{"op":"add","path":"/0","value":0}]'],
    ['{"a":null}', '[{"op":"add","path":"/a/b","value":0}]'],
    ['{"a":1}', '[{"op":"add","path":"a","value":0}]'],
    ['{"a":1}', '[{"op":"add","path":"/a~2","value":0}]'],
    ['{"a":1}', '[{"op":"add","path":"/a~","value":0}]'],
    ['{"a":1}', '[{"op":"add","path":null,"value":0}]'],
    ['{"a":1}', '[{"op":"add","path":["a"],"value":0}]'],
    ['{"a":1}', '[{"op":"add","path":"/b"}]'],
    ['{"a":{}}', '[{"op":"move","from":"/a","path":"/a/b"}]'],
    ['{"a":1}', '[{"op":"move","from":"","path":"/b"}]'],
    ['{"a":1}', '[{"op":"copy","path":"/b"}]'],
    ['{"a":1}', '[{"op":"test","path":"/a","value":"1"}]'],
    ['{"a":[]}', '[{"op":"test","path":"/a","value":{}}]'],
    ['{"a":{"b":1}}', '[{"op":"test","path":"/a","value":{"b":1,"c":2}}]'],
    ['{"a":{"b":1,"c":2}}', '[{"op":"test","path":"/a","value":{"b":1}}]'],
    ['{"a":1}', '[{"op":"Add","path":"/b","value":1}]'],
    ['{"a":1}', '[{"path":"/b","value":1}]'],
    ['{"a":1}', '[null]'],
    ['{"a":1}', '{"op":"add","path":"/b","value":1}'],
    ['{"a":1}', 'null'],
  ]) {
    const before = parse(document)
    assert.throws(() => apply(before, JSON.parse(patch)), patch)
    assert.equal(JSON.stringify(before), document)
  }
  assert.deepEqual([{}.polluted, Object.prototype.a], [undefined, undefined])
})

test('what a patch does not touch is shared', () => {
  const rows = freeze(Array.from({ length: 1000 }, (_, id) => ({ id, deep: { id } })))
  const document = freeze({ rows, other: {} })
  assert.equal(apply(document, []), document)
  const next = apply(document, [{ op: 'replace', path: '/rows/500/deep/id', value: 'x' }, { op: 'add', path: '/rows/0', value: {} }])
  assert.equal(next.other, document.other)
  assert.equal(next.rows.filter((row) => rows.includes(row)).length, 999)
})

test('RFC 7396, appendix A', () => {
  for (const [document, patch, want] of [
    ['{"a":"b"}', '{"a":"c"}', '{"a":"c"}'], ['{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'], ['{"a":"b"}', '{"a":null}', '{}'],
    ['{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'], ['{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'], ['{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'],
    ['{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'], ['{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'], ['["a","b"]', '["c","d"]', '["c","d"]'],
    ['{"a":"b"}', '["c"]', '["c"]'], ['{"a":"foo"}', 'null', 'null'], ['{"a":"foo"}', '"bar"', '"bar"'], ['{"e":null}', '{"a":1}', '{"e":null,"a":1}'],
    ['[1,2]', '{"a":"b","c":null}', '{"a":"b"}'], ['{}', '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'],
    ['{"__proto__":{"a":1}}', '{"__proto__":{"b":2}}', '{"__proto__":{"a":1,"b":2}}'], ['{"__proto__":1}', '{"__proto__":null}', '{}'], ['{}', '{"toString":{"a":1}}', '{"toString":{"a":1}}'],
  ]) {
    assert.equal(JSON.stringify(merge(parse(document), parse(patch))), want, `${document} ${patch}`)
  }
  assert.equal({}.b, undefined)
})

test('sharing', () => {
  const rows = (...ids) => ids.map((id) => ({ id, name: 'row ' + id, deep: { list: [id] } }))
  for (const [what, old, next, kept] of [
    ['equal', rows(1, 2, 3), rows(1, 2, 3), 3], ['changed', rows(1, 2, 3), [...rows(1), { id: 2 }, ...rows(3)], 2],
    ['put in front', rows(1, 2, 3), rows(0, 1, 2, 3), 3], ['taken from the front', rows(1, 2, 3), rows(2, 3), 2],
    ['put in the middle', rows(1, 2, 3, 4), rows(1, 2, 9, 3, 4), 4], ['appended', rows(1, 2), rows(1, 2, 3, 4), 2], ['emptied', rows(1, 2), [], 0],
  ]) {
    const text = JSON.stringify(next)
    const shared = share(freeze(old), freeze(next))
    assert.equal(JSON.stringify(shared), text, what)
    assert.equal(shared.filter((row) => old.includes(row)).length, kept, what)
    assert.equal(shared === old, what === 'equal')
  }
  const old = parse('{"a":{"x":1},"b":[1,{"y":2}],"c":null,"__proto__":{"z":1}}')
  const next = share(old, parse('{"a":{"x":1},"b":[1,{"y":3}],"c":null,"__proto__":{"z":1}}'))
  assert.equal(next.a, old.a)
  assert.equal(Object.getOwnPropertyDescriptor(next, '__proto__').value, Object.getOwnPropertyDescriptor(old, '__proto__').value)
  for (const [a, b] of [['{"0":1}', '[1]'], ['[]', '{}'], ['null', '{}'], ['{}', 'null'], ['{"a":1}', '{"b":1}'], ['{}', '{"__proto__":{}}'], ['{}', '{"toString":1}'], ['0', 'false'], ['[[]]', '[{}]']]) {
    assert.equal(JSON.stringify(share(parse(a), parse(b))), b, `${a} ${b}`)
  }
})

test('whatever comes, sharing changes nothing but identities', () => {
  let seed = 7
  const random = (n) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n
  const value = (depth) => {
    switch (random(depth > 3 ? 4 : 7)) {
      case 0: return random(3)
      case 1: return ['', 'a', 'b'][random(3)]
      case 2: return null
      case 3: return random(2) === 1
      case 4: case 5: return Array.from({ length: random(4) }, () => value(depth + 1))
      default: return Object.fromEntries(Array.from({ length: random(4) }, () => [['a', 'b', 'c', '__proto__', '0'][random(5)], value(depth + 1)]))
    }
  }
  let kept = 0
  for (let i = 0; i < 20_000; i++) {
    const old = freeze(value(0)), next = freeze(value(0))
    const shared = share(old, next)
    assert.deepEqual(shared, next)
    const equal = JSON.stringify(old) === JSON.stringify(next) && typeof old === 'object' && old !== null
    if (equal) kept++
    if (equal) assert.equal(shared, old)
  }
  assert.ok(kept > 100)
})
