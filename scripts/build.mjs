/**
 * Bundles src/ into dist/: deputy.js (the program), protocol.js and client.js (what the package exports).
 *
 * Every `await import()` in the sources becomes a chunk of its own, so that a command reads from disk only what it runs
 * and the gateway starts without a provider or the SQL of the CLI. `--if-changed` does nothing when dist/ was made from
 * these very sources: the stamp holds the path, size and time of each file, which costs a stat and no reading. `--out dir`
 * writes there instead of dist/.
 */
import { createHash } from 'node:crypto'
import { copyFileSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')
const out = process.argv.indexOf('--out')
const dist = out < 0 ? join(root, 'dist') : resolve(process.argv[out + 1])
const stamp = join(dist, '.stamp')

function* files(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) yield* files(path)
    else if (!entry.name.endsWith('.test.ts')) yield path
  }
}

function fingerprint() {
  const hash = createHash('sha256')
  const sources = [...files(join(root, 'src')), join(root, 'package-lock.json'), import.meta.filename].sort()
  for (const path of sources) {
    const { size, mtimeMs } = statSync(path)
    hash.update(`${relative(root, path)} ${size} ${mtimeMs}\n`)
  }
  return hash.digest('hex')
}

function built() {
  try {
    return readFileSync(stamp, 'utf8')
  } catch (error) {
    if (error.code === 'ENOENT') return null
    throw error
  }
}

const now = fingerprint()
if (!process.argv.includes('--if-changed') || built() !== now) {
  const started = performance.now()
  const { rolldown } = await import('rolldown')
  const bundle = await rolldown({
    input: {
      deputy: join(root, 'src/main.ts'),
      protocol: join(root, 'src/protocol/index.ts'),
      client: join(root, 'src/client/index.ts'),
    },
    platform: 'node',
    resolve: { alias: { 'node-fetch': join(root, 'scripts/no-node-fetch.cjs') } },
    // Native speed-ups of ws, which it does without when they are not there; baileys stays a package of its own: it brings
    // WebAssembly along, and may be left out of an installation.
    external: ['bufferutil', 'utf-8-validate', 'zlib-sync', 'baileys'],
    logLevel: 'warn',
    // Libraries look for what they do without by eval, so that bundlers leave it out.
    checks: { eval: false },
  })
  // Written beside and swapped in: a build that fails leaves the last good one, a start never sees half of one.
  const fresh = `${dist}.${process.pid}`
  const { output } = await bundle.write({
    dir: fresh,
    format: 'esm',
    entryFileNames: '[name].js',
    chunkFileNames: 'chunks/[name]-[hash].js',
    minify: { compress: false, mangle: false, codegen: true },
  })
  await bundle.close()
  // Parts of the page, which its chunk reads from beside itself.
  const page = join(root, 'src/gateway/page')
  for (const name of readdirSync(page).filter(name => name.startsWith('page.') && !name.endsWith('.ts')))
    copyFileSync(join(page, name), join(fresh, 'chunks', name))
  writeFileSync(join(fresh, '.stamp'), now)
  rmSync(dist, { recursive: true, force: true })
  renameSync(fresh, dist)
  const bytes = output.reduce((sum, chunk) => sum + (chunk.code ?? chunk.source).length, 0)
  console.log(
    `dist: ${output.length} files, ${Math.round(bytes / 1024)} kB, ${Math.round(performance.now() - started)} ms`,
  )
}
