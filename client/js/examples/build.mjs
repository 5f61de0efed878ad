// Builds browser programs with esbuild, as an application would: `pollbridge`
// is the package as npm gets it, so `npm run build` comes first.
import { build as esbuild } from 'esbuild'
import { readFile } from 'node:fs/promises'
import { compile } from 'svelte/compiler'
import { compileScript, parse } from 'vue/compiler-sfc'

/** How a component file becomes a module, by extension: source => {contents, loader}. */
export const compilers = {
  svelte: (source) => ({ contents: compile(source, {}).js.code, loader: 'js' }),
  vue: (source) => ({ contents: compileScript(parse(source).descriptor, { id: 'component', inlineTemplate: true }).content, loader: 'ts' }),
}

const components = {
  name: 'components',
  setup({ onLoad }) {
    onLoad({ filter: /\.(svelte|vue)$/ }, async ({ path }) => compilers[path.split('.').pop()](await readFile(path, 'utf8')))
  },
}

/** Builds entry points, and returns the programs by name: {'react/main.js': '…'}. */
export async function build(entryPoints, { plugins = [], ...options } = {}) {
  const { outputFiles } = await esbuild({
    absWorkingDir: new URL('..', import.meta.url).pathname,
    entryPoints,
    bundle: true,
    write: false,
    outdir: '/',
    format: 'esm',
    target: 'es2022',
    logLevel: 'warning',
    define: { 'process.env.NODE_ENV': '"production"' },
    tsconfigRaw: { compilerOptions: { experimentalDecorators: true, jsx: 'react-jsx' } },
    plugins: [components, ...plugins],
    ...options,
  })
  return Object.fromEntries(outputFiles.map(({ path, text }) => [path.slice(1), text]))
}
