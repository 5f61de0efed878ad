// Builds browser programs with esbuild, as an application would: `pollbridge`
// is the package as npm gets it, so `npm run build` comes first.
import { build as esbuild } from 'esbuild'
import { readFile } from 'node:fs/promises'
import { compile } from 'svelte/compiler'

const svelte = {
  name: 'svelte',
  setup({ onLoad }) {
    onLoad({ filter: /\.svelte$/ }, async ({ path }) => ({ contents: compile(await readFile(path, 'utf8'), { filename: path }).js.code }))
  },
}

/** Builds entry points, and returns the programs by name: {'react/main.js': '…'}. */
export async function build(entryPoints, options = {}) {
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
    plugins: [svelte],
    ...options,
  })
  return Object.fromEntries(outputFiles.map(({ path, text }) => [path.slice(1), text]))
}
