// The recipes of docs/migrating.md: what stands in its blocks of code, under
// the names that comments before them give.
import { readFileSync } from 'node:fs'
import { build, compilers } from '../../examples/build.mjs'

const root = new URL('../..', import.meta.url).pathname

export const document = readFileSync(new URL('../../../../docs/migrating.md', import.meta.url), 'utf8')

/** The rows of a table that a test holds to what it measures, without its head. */
export const readTable = (name) => document.split(`<!-- table: ${name} -->\n`)[1].split('\n<!-- end of table -->')[0].split('\n').slice(2)

const fence = /(?:<!-- ([\w-]+): (before|after) -->\n)?```(\w+)\n(.*?)\n```/gs

/** One block: {name, phase, language, code}. */
export const recipes = [...document.matchAll(fence)].map(([, name, phase, language, code]) => ({ name, phase, language, code }))

// A minute of the document is six seconds here.
const hurry = (code) => code.replaceAll('2000', '200').replaceAll('every 2s', 'every 200ms')

const frames = ['tanstack', 'rtk', 'apollo', 'vue', 'svelte', 'angular'] // what a component is shown in; else React

/** The page that a recipe makes, with what it takes for granted. */
export async function makePage({ name, language, code }) {
  const head = `<!doctype html><meta charset=utf-8><link rel=icon href=data:,><title>${name}</title><script>
function render(data) {
  const rows = typeof data === 'string' ? data.split('\\n') : data.map(({ id, state }) => id + ': ' + state)
  document.body.innerHTML = rows.map((row) => '<li>' + row + '</li>').join('')
}
async function getToken() { return 'secret' }
</script>`
  if (language === 'html') return head + hurry(code)

  const recipe = { contents: hurry(code), loader: language, resolveDir: root }
  if (compilers[language]) Object.assign(recipe, compilers[language](recipe.contents))
  const frame = language === 'js' ? 'recipe' : `./test/browser/pages/recipes/${frames.find((frame) => name.startsWith(frame)) ?? 'react'}`
  const [program] = Object.values(
    await build([{ in: frame, out: 'page' }], {
      external: ['/.pollbridge/*'],
      logOverride: { 'import-is-undefined': 'silent' }, // no recipe has all that a frame looks for
      plugins: [
        {
          name: 'recipe',
          setup({ onResolve, onLoad }) {
            onResolve({ filter: /^recipe$/ }, () => ({ path: name, namespace: 'recipe' }))
            onLoad({ filter: /./, namespace: 'recipe' }, () => recipe)
          },
        },
      ],
    }),
  )
  return `${head}<body><script type=module>${program.replaceAll('</script', '<\\/script')}</script>`
}
