import { cpSync, existsSync, readFileSync, statSync, symlinkSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { type Desk, openDesk } from '../../../test/support/cli.ts'
import { put, tempDir } from '../../../test/support/temp.ts'

/**
 * systemctl and loginctl at the edge of the machine: they keep their state in files, and `restart` really starts what the
 * unit says, the way systemd would read it.
 */
const systemctl = (node: string) => `#!${node}
const { spawn } = require('node:child_process')
const fs = require('node:fs')
const fake = process.env.FAKE
const at = name => fake + '/' + name
const [verb, ...rest] = process.argv.slice(2).filter(each => !/^--(user|no-pager|no-ask-password)$/.test(each))
fs.appendFileSync(at('calls'), [verb, ...rest].join(' ') + '\\n')
const fail = words => { console.error(words); process.exit(1) }
const pid = () => fs.existsSync(at('pid')) ? Number(fs.readFileSync(at('pid'))) : 0
const alive = () => { try { process.kill(pid(), 0); return pid() > 0 } catch { return false } }
const end = () => { if (alive()) process.kill(pid(), 'SIGTERM'); fs.rmSync(at('pid'), { force: true }) }
if (fs.existsSync(at('no-bus'))) fail('Failed to connect to bus: No medium found')
if (verb === 'enable') fs.writeFileSync(at('enabled'), '')
if (verb === 'disable') { fs.rmSync(at('enabled'), { force: true }); end() }
if (verb === 'restart') {
  end()
  if (!fs.existsSync(at('broken'))) {
    const text = fs.readFileSync(process.env.XDG_CONFIG_HOME + '/systemd/user/' + rest[0], 'utf8')
    const line = /^ExecStart=:(.*)$/m.exec(text)[1]
    const [program, ...args] = [...line.matchAll(/"(?:[^"\\\\]|\\\\.)*"/g)].map(([word]) => JSON.parse(word).replaceAll('%%', '%'))
    const env = { PATH: /^Environment="PATH=(.*)"$/m.exec(text)[1], HOME: process.env.HOME, OLLAMA_HOST: process.env.OLLAMA_HOST }
    const child = spawn(program, args, { env, detached: true, stdio: 'ignore', cwd: /^WorkingDirectory=(.*)$/m.exec(text)[1] })
    child.unref()
    fs.writeFileSync(at('pid'), String(child.pid))
  }
}
if (verb === 'show') {
  const broken = fs.existsSync(at('broken'))
  console.log([
    'LoadState=loaded',
    'UnitFileState=' + (fs.existsSync(at('enabled')) ? 'enabled' : 'disabled'),
    'ActiveState=' + (broken ? 'failed' : alive() ? 'active' : 'inactive'),
    'SubState=' + (broken ? 'failed' : alive() ? 'running' : 'dead'),
    'MainPID=' + (alive() ? pid() : 0),
    'NRestarts=' + (broken ? 5 : 0),
    'Result=' + (broken ? 'exit-code' : 'success'),
    'ExecMainStatus=' + (broken ? 1 : 0),
  ].join('\\n'))
}
`

/** A package without a bundle, so that what the unit starts is what is there now. */
function fromSources(): string {
  const parcel = tempDir()
  const here = resolve(import.meta.dirname, '../../..')
  cpSync(join(here, 'bin'), join(parcel, 'bin'), { recursive: true })
  for (const name of ['src', 'node_modules', 'package.json']) symlinkSync(join(here, name), join(parcel, name))
  return parcel
}

let desk: Desk
let fake: string
let folder: string
beforeEach(() => {
  desk = openDesk(fromSources())
  fake = join(desk.user, 'fake')
  folder = join(desk.user, 'config', 'systemd', 'user')
  put(join(fake, 'calls'), '')
  Object.assign(desk.env, { FAKE: fake, XDG_CONFIG_HOME: join(desk.user, 'config'), USER: 'ada' })
})

function withSystemd(linger = 'yes'): void {
  put(join(fake, 'bin/systemctl'), systemctl(process.execPath), 0o755)
  put(join(fake, 'bin/loginctl'), `#!/bin/sh\necho Linger=${linger}\n`, 0o755)
  desk.env['PATH'] = `${join(fake, 'bin')}:${desk.env['PATH']}`
  onTestFinished(async () => void (await desk.deputy('service', 'uninstall')))
}

const settings = { agents: { defaults: { model: 'rehearsal/rehearsal' } } }
const calls = () => readFileSync(join(fake, 'calls'), 'utf8')
const name = 'deputy.service'

test('print: the unit for this machine, and nothing is written or asked', async () => {
  withSystemd()
  const { code, out } = await desk.deputy('service', 'install', '--print')
  expect(code).toBe(0)
  expect(out).toContain(`"--home" "${desk.home}"`)
  expect(out).toMatch(/^ExecStart=:"\/.*\/bin\/deputy" "gateway" "run"/m)
  expect(out).toContain(`PATH=${desk.env['PATH']!.split(':')[0]}`)
  expect(calls()).toBe('')
  expect(existsSync(folder)).toBe(false)
  expect(existsSync(desk.home)).toBe(false)
  const { document } = await desk.json<{ unit: string; path: string; text: string }>('service', 'install', '--print')
  expect(document).toEqual({ unit: name, path: join(folder, name), text: out })
})

describe('with systemd', () => {
  test('install, status, doctor, install again, uninstall', async () => {
    withSystemd()
    desk.configure(settings)
    const { code, document } = await desk.json<{ pid: number; path: string; lingers: boolean; keysFile: string }>(
      'service',
      'install',
    )
    expect(code).toBe(0)
    expect(document).toMatchObject({ unit: name, path: join(folder, name), lingers: true })
    expect(calls()).toMatch(/daemon-reload\nenable deputy\.service\nrestart deputy\.service\n/)
    expect(statSync(document.keysFile).mode & 0o777).toBe(0o600)
    // It answers: what install says is what is.
    expect((await desk.json<{ pid: number }>('status')).document.pid).toBe(document.pid)

    const status = await desk.json('service', 'status')
    expect(status).toMatchObject({
      code: 0,
      document: { installed: true, current: true, enabled: true, active: 'active', answers: true, lingers: true },
    })
    const { document: examined } = await desk.json<{ ok: boolean; gateway: string }>('doctor')
    expect(examined).toMatchObject({ ok: true, gateway: 'running' })

    const again = await desk.json<{ pid: number }>('service', 'install')
    expect(again.code).toBe(0)
    expect(again.document.pid).not.toBe(document.pid)

    const gone = await desk.json('service', 'uninstall')
    expect(gone).toMatchObject({ code: 0, document: { removed: true } })
    expect(existsSync(join(folder, name))).toBe(false)
    expect(existsSync(join(desk.home, 'deputy.sqlite'))).toBe(true)
    expect((await desk.deputy('service', 'status')).code).toBe(1)
    expect(await desk.json('service', 'uninstall')).toMatchObject({ code: 0, document: { removed: false } })
  })

  test('keys of this shell are named, and never copied; lingering gets its command', async () => {
    withSystemd('no')
    desk.configure(settings)
    desk.env['MY_PROVIDER_API_KEY'] = 'sk-secret-123456'
    put(join(desk.home, '.env'), 'OTHER_API_KEY=x\n')
    desk.env['OTHER_API_KEY'] = 'x'
    const { code, err } = await desk.deputy('service', 'install')
    expect(code).toBe(0)
    expect(err).toContain('MY_PROVIDER_API_KEY is set in this shell only')
    expect(err).not.toContain('OTHER_API_KEY')
    expect(err).toContain('sudo loginctl enable-linger ada')
    expect(readFileSync(join(folder, name), 'utf8') + readFileSync(join(desk.home, '.env'), 'utf8')).not.toContain(
      'sk-',
    )
    const { document } = await desk.json<{ checks: { id: string; findings: { id: string }[] }[] }>('doctor')
    const found = document.checks.find(({ id }) => id === 'service')!.findings.map(({ id }) => id)
    expect(found).toEqual(['service.linger'])
  })

  test('a service that does not come up: what systemd knows, where the reason stands, how to take it away', async () => {
    withSystemd()
    put(join(fake, 'broken'), '')
    const { code, err } = await desk.deputy('service', 'install')
    expect(code).toBe(1)
    expect(err).toContain('[SERVICE_FAILED]')
    expect(err).toContain('failed (exit-code, exit status 1, 5 restarts)')
    expect(err).toContain('journalctl --user -u deputy.service')
    expect(await desk.json('service', 'status')).toMatchObject({
      code: 1,
      document: { active: 'failed', answers: false },
    })
  })

  test('a gateway that was started by hand is not fought with', async () => {
    withSystemd()
    desk.configure(settings)
    await desk.start()
    const { code, err } = await desk.deputy('service', 'install')
    expect(code).toBe(1)
    expect(err).toContain('[HOME_LOCKED]')
    expect(err).toContain(`kill ${process.pid}`)
    expect(existsSync(folder)).toBe(false)
  })

  test('a configuration that would be refused is refused before anything is written', async () => {
    withSystemd()
    put(join(desk.home, 'deputy.json'), '{ gateway: { port: "x" } }')
    const { code, err } = await desk.deputy('service', 'install')
    expect(code).toBe(1)
    expect(err).toContain('[CONFIG_INVALID]')
    expect(existsSync(folder)).toBe(false)
  })
})

describe('without systemd', () => {
  test.each([['install'], ['uninstall'], ['status']])('%s says what there is instead', async verb => {
    desk.env['PATH'] = desk.user
    const { code, err } = await desk.deputy('service', verb)
    expect(code).toBe(1)
    expect(err).toContain('[SERVICE_UNAVAILABLE]')
    expect(err).toContain('deputy gateway run')
    expect(existsSync(folder)).toBe(false)
  })

  test('a user without a session: how to get one', async () => {
    withSystemd()
    put(join(fake, 'no-bus'), '')
    const { code, document } = await desk.json<{ error: { code: string; message: string; fix: string } }>(
      'service',
      'install',
    )
    expect(code).toBe(1)
    expect(document.error).toMatchObject({
      code: 'SERVICE_UNAVAILABLE',
      message: expect.stringContaining('No medium found'),
      fix: expect.stringContaining('sudo loginctl enable-linger ada'),
    })
  })
})
