// Writes dist/: what npm gets, and the bundles that the Go binary embeds.
// With --fast: without the types.
import { build } from 'esbuild'
import { existsSync, readdirSync } from 'node:fs'
import { execFileSync } from 'node:child_process'

process.chdir(import.meta.dirname)

// What is a module of its own wherever it is loaded: the core, what it loads when it needs it, and what adapters share.
const modules = /^\.\/(index|fallback|shared|fetch|rxjs)\.js$/
const separate = { name: 'separate', setup: (b) => b.onResolve({ filter: modules }, (args) => (args.kind === 'entry-point' ? null : { path: args.path, external: true })) }
const common = { bundle: true, target: 'es2020', logLevel: 'warning', legalComments: 'none', plugins: [separate] }

// For npm: one module for each entry point. What they import of each other and of other packages stays an import.
const parts = ['apply', 'client', 'fallback', 'handle', 'hold', 'htmx.iife', 'share', 'shared', 'subscription', 'types', 'worker']
const entries = readdirSync('src').filter((name) => /\.tsx?$/.test(name) && !parts.includes(name.replace(/\.tsx?$/, '')))
await build({ ...common, entryPoints: entries.map((name) => 'src/' + name), outdir: 'dist', format: 'esm', packages: 'external' })

// For browsers, as they are.
const bundle = (entry, outfile, format, more) => existsSync(entry) && build({ ...common, entryPoints: [entry], outfile, format, minify: true, ...more })
await bundle('src/index.ts', 'dist/pollbridge.js', 'esm')
await bundle('src/index.ts', 'dist/pollbridge.iife.js', 'iife', { globalName: 'pollbridge', plugins: [] }) // all in one
await bundle('src/htmx.iife.ts', 'dist/htmx.iife.js', 'iife', { plugins: [] })
await bundle('src/fallback.ts', 'dist/fallback.js', 'esm')
await bundle('src/shared.ts', 'dist/shared.js', 'esm')
await bundle('src/worker.ts', 'dist/worker.js', 'iife', { plugins: [] })
await bundle('src/shim/index.ts', 'dist/shim.js', 'iife', { plugins: [] })

if (!process.argv.includes('--fast')) execFileSync('node_modules/.bin/tsc', ['--emitDeclarationOnly'], { stdio: 'inherit' })
