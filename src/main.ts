/**
 * The program: arguments in, exit code out. The only place that ends the process.
 *
 * `--version` answers before anything else is read. Compiled code is kept beside the bundle, where that is writable, so
 * that the next start does not compile it again.
 */
import { readFileSync } from 'node:fs'
import { enableCompileCache } from 'node:module'
import { join, resolve } from 'node:path'
import type { StartOptions } from './cli/host.ts'

const root = resolve(import.meta.dirname, '..')
const argv = process.argv.slice(2)

function version(): string {
  return (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version
}

async function main(): Promise<number> {
  if (argv.length === 1 && (argv[0] === '--version' || argv[0] === '-V')) {
    process.stdout.write(`${version()}\n`)
    return 0
  }
  if (import.meta.dirname.endsWith('dist')) enableCompileCache(join(import.meta.dirname, '.cache'))
  const { run } = await import('./cli/program.ts')
  return await run({
    argv,
    env: process.env,
    version: version(),
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    root,
    startGateway: async (options: StartOptions) =>
      (await import('./app.ts')).openApp({ ...options, version: version() }),
  })
}

// A reader that goes away early (`deputy runs list | head`) is no failure of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(0)
})

/** A pipe takes what its reader has room for; the rest waits in this process, and would be lost with it. */
function written(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise(resolve => stream.write('', () => resolve()))
}

const code = await main()
await Promise.all([written(process.stdout), written(process.stderr)])
process.exit(code)
