/** bin/deputy finds a Node that fits and becomes it: same process, same signals, same exit code. */
import { spawn } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

const root = resolve(import.meta.dirname, '../..')
const bundled = join(root, 'node_modules', `node-linux-${process.arch}`)

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'deputy-launcher-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

/** A package with the real launcher and a program that says who runs it. */
function install(at: string): string {
  const home = join(dir, at)
  mkdirSync(join(home, 'bin'), { recursive: true })
  mkdirSync(join(home, 'dist'))
  copyFileSync(join(root, 'bin/deputy'), join(home, 'bin/deputy'))
  chmodSync(join(home, 'bin/deputy'), 0o755)
  writeFileSync(
    join(home, 'dist/deputy.js'),
    `const { execPath, pid, argv, version } = process
     if (argv[2] === 'stay') { process.on('SIGTERM', () => process.exit(7)); setInterval(() => {}, 1000) }
     process.stdout.write(JSON.stringify({ execPath, pid, version, args: argv.slice(2) }) + '\\n')
     if (argv[2] === 'fail') process.exit(3)`,
  )
  return join(home, 'bin/deputy')
}

function bundle(at: string): void {
  mkdirSync(join(dir, at), { recursive: true })
  symlinkSync(bundled, join(dir, at, `node-linux-${process.arch}`))
}

/** A `node` on the PATH that claims a version and, when it is run, says so. */
function systemNode(version: string): string {
  const folder = join(dir, 'system')
  mkdirSync(folder, { recursive: true })
  writeFileSync(
    join(folder, 'node'),
    `#!/bin/sh\nif [ "$1" = --version ]; then echo v${version}; else echo '{"execPath":"system"}'; fi\n`,
  )
  chmodSync(join(folder, 'node'), 0o755)
  return `${folder}:/usr/bin:/bin`
}

interface Ran {
  pid: number
  code: number | null
  signal: string | null
  out: string
  err: string
}

function run(
  command: string,
  args: string[],
  options: { cwd?: string; path?: string; kill?: boolean } = {},
): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: options.cwd ?? dir, env: { PATH: options.path ?? '/usr/bin:/bin' } })
    let out = ''
    let err = ''
    child.stdout.on('data', chunk => {
      out += chunk
      if (options.kill) child.kill('SIGTERM')
    })
    child.stderr.on('data', chunk => {
      err += chunk
    })
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ pid: child.pid!, code, signal, out, err }))
  })
}

/** The bundled Node exists for Linux and Windows only. */
const onLinux = test.skipIf(process.platform !== 'linux')

onLinux(
  'the bundled Node takes the place of the shell: pid, arguments and exit code are the program’s own',
  async () => {
    const deputy = install('pkg')
    bundle('pkg/node_modules')
    const ran = await run(deputy, ['fail', 'two words', '--x=*'])
    const said = JSON.parse(ran.out)
    expect(said.pid).toBe(ran.pid)
    expect(said.args).toEqual(['fail', 'two words', '--x=*'])
    expect(Number(said.version.slice(1).split('.')[0])).toBeGreaterThanOrEqual(24)
    expect(ran.code).toBe(3)
  },
)

onLinux('a signal reaches the program itself', async () => {
  const deputy = install('pkg')
  bundle('pkg/node_modules')
  const { code, signal } = await run(deputy, ['stay'], { kill: true })
  expect({ code, signal }).toEqual({ code: 7, signal: null })
})

onLinux('npm may have put Node into the modules of a folder above', async () => {
  const deputy = install('project/node_modules/deputy')
  bundle('project/node_modules')
  expect(JSON.parse((await run(deputy, [])).out).args).toEqual([])
})

onLinux.each([
  ['through a link, as npm makes them', () => ['project/node_modules/.bin/deputy', '/']],
  ['by a relative path', () => ['../node_modules/deputy/bin/deputy', 'project/src']],
  ['by a path with dots in it', () => ['./../node_modules/../node_modules/deputy/bin/deputy', 'project/src']],
])('it finds its package when it is called %s', async (_, how) => {
  install('project/node_modules/deputy')
  bundle('project/node_modules')
  mkdirSync(join(dir, 'project/node_modules/.bin'))
  mkdirSync(join(dir, 'project/src'))
  symlinkSync('../deputy/bin/deputy', join(dir, 'project/node_modules/.bin/deputy'))
  const [command, cwd] = how() as [string, string]
  const ran = await run(command.startsWith('.') ? command : join(dir, command), ['x'], { cwd: join(dir, cwd) })
  expect(JSON.parse(ran.out).args).toEqual(['x'])
})

onLinux('it finds its package when PATH leads to it', async () => {
  const deputy = install('pkg')
  bundle('pkg/node_modules')
  const ran = await run('deputy', [], { path: `${dirname(deputy)}:/usr/bin:/bin` })
  expect(JSON.parse(ran.out).args).toEqual([])
})

test.each(['24.15.0', '24.21.0', '26.0.1'])('without a bundled Node the system’s %s is taken', async version => {
  const ran = await run(install('pkg'), [], { path: systemNode(version) })
  expect(JSON.parse(ran.out)).toEqual({ execPath: 'system' })
})

test.each(['20.20.2', '24.14.9', '8.0.0'])('a system Node %s is refused with what to do', async version => {
  const { code, out, err } = await run(install('pkg'), [], { path: systemNode(version) })
  expect({ code, out }).toEqual({ code: 1, out: '' })
  expect(err).toContain(version)
  expect(err).toContain('npm ci')
})

test('without the bundle it runs the sources', async () => {
  const { code, out } = await run(join(root, 'bin/deputy'), ['--version'])
  expect(code).toBe(0)
  expect(out).toMatch(/^\d+\.\d+\.\d+\n$/)
})
