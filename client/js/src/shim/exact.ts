// A page that reads a body as text must read the numbers as the API wrote them: 1.0 is not 1 to every parser, and
// 9007199254740993 is another number once JavaScript has read it. So numbers that JSON.stringify would spell in
// another way are held as strings behind a mark, which nothing that the API says can have, and are put back in writing.

const mark = Math.random().toString(36).slice(2) + '#'
const token = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*/g
const marked = new RegExp(`"${mark}([^"]*)"`, 'g')

/** Returns JSON in which every number survives JSON.parse. */
export const protect = (json: string) => json.replace(token, (t) => (t[0] === '"' || '' + +t === t ? t : `"${mark}${t}"`))

/** JSON.stringify of what was parsed so: without white space, every number spelled as it came. */
export const spell = (value: unknown) => JSON.stringify(value).replace(marked, '$1')
