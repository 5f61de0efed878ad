// A page that reads a body as text must read the numbers as the API wrote them: 1.0 is not 1 to every parser, and
// 9007199254740993 is another number once JavaScript has read it. So numbers that JSON.stringify would spell in
// another way are held as strings behind a mark, which nothing that the API says can have, and are put back in writing.

const mark = Math.random().toString(36).slice(2) + '#'
const marked = new RegExp(`"${mark}([^"]*)"`, 'g')
const number = /-?\d[\d.eE+-]*/g
const protectOne = (n: string) => ('' + +n === n ? n : `"${mark}${n}"`)

// Whatever could be a number of that kind: most documents have none.
const unusual = /(^|[:,[])\s*-?(\d+\.\d*0(?!\d)|[\d.]{16}|[\d.]+e|0\.000000)|-0(?![\d.])/i

/** Returns JSON in which every number survives JSON.parse. */
export function protect(json: string): string {
  if (!unusual.test(json)) return json
  let result = ''
  for (let i = 0; ;) {
    const from = json.indexOf('"', i)
    if (from < 0) return result + json.slice(i).replace(number, protectOne)
    result += json.slice(i, from).replace(number, protectOne)
    for (i = from; ;) {
      i = json.indexOf('"', i + 1) + 1
      if (!i) return json // it is none
      let slashes = 0
      while (json[i - 2 - slashes] === '\\') slashes++
      if (slashes % 2 === 0) break
      i--
    }
    result += json.slice(from, i)
  }
}

/** JSON.stringify of what was parsed so: without white space, every number spelled as it came. */
export const spell = (value: unknown) => JSON.stringify(value).replace(marked, '$1')
