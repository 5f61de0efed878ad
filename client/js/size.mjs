// Holds the bundles to their budgets: bytes after gzip -9.
import { existsSync, readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'

const budgets = { 'dist/pollbridge.js': 4096, 'dist/shim.js': 7168 }
for (const [file, budget] of Object.entries(budgets)) {
  const path = new URL(file, import.meta.url)
  if (!existsSync(path)) continue
  const size = gzipSync(readFileSync(path), { level: 9 }).length
  console.log(`${file}: ${size} of ${budget} bytes`)
  if (size > budget) process.exitCode = 1
}
