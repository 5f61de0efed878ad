// Writes dist/: what npm gets, and the bundles that the Go binary embeds.
import { build } from 'esbuild'
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { execFileSync } from 'node:child_process'

process.chdir(import.meta.dirname)
const common = { bundle: true, target: 'es2020', logLevel: 'warning', legalComments: 'none' }

// For npm: one module for each entry point. What they import of each other and of other packages stays an import.
const entries = readdirSync('src').filter((name) => name.endsWith('.ts') || name.endsWith('.tsx'))
  .filter((name) => !['types.ts', 'client.ts', 'handle.ts', 'subscription.ts', 'apply.ts', 'share.ts', 'worker.ts'].includes(name))
await build({
  ...common, entryPoints: entries.map((name) => 'src/' + name), outdir: 'dist', format: 'esm', packages: 'external',
  plugins: [{ name: 'siblings', setup: (b) => b.onResolve({ filter: /^\.\/index\.js$/ }, (args) => (args.kind === 'entry-point' ? null : { path: args.path, external: true })) }],
})

// For browsers, as they are.
const bundle = (entry, outfile, more) => existsSync(entry) && build({ ...common, entryPoints: [entry], outfile, minify: true, ...more })
await bundle('src/index.ts', 'dist/pollbridge.js', { format: 'esm' })
await bundle('src/index.ts', 'dist/pollbridge.iife.js', { format: 'iife', globalName: 'pollbridge' })
await bundle('src/shim/index.ts', 'dist/shim.js', { format: 'iife' })
await bundle('src/worker.ts', 'dist/worker.js', { format: 'iife' })

if (!process.argv.includes('--fast')) execFileSync('node_modules/.bin/tsc', ['--emitDeclarationOnly'], { stdio: 'inherit' })
