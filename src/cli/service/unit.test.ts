import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { put, tempDir } from '../../../test/support/temp.ts'
import { unitFolder, unitName, unitText } from './unit.ts'

const options = {
  program: '/opt/deputy/bin/deputy',
  home: '/home/ada/.deputy',
  config: null,
  path: '/usr/bin:/bin',
  noNewPrivileges: true,
}

/** The words of a line as systemd reads them (systemd.syntax(7)): quotes, backslashes, then `%%`. */
function words(line: string): string[] {
  return [...line.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, word]) =>
    word!.replace(/\\(.)/g, '$1').replaceAll('%%', '%'),
  )
}

const setting = (text: string, name: string) => new RegExp(`^${name}=(.*)$`, 'm').exec(text)![1]!

test('whatever a path holds reaches the program', () => {
  const name = fc.stringMatching(/^[ -~äß]{1,30}$/)
  fc.assert(
    fc.property(name, name, fc.boolean(), (home, config, other) => {
      const text = unitText({ ...options, home: `/h/${home}`, config: other ? `/c/${config}` : null })
      const command = setting(text, 'ExecStart')
      expect(command.startsWith(':')).toBe(true)
      expect(words(command)).toEqual([
        options.program,
        'gateway',
        'run',
        '--home',
        `/h/${home}`,
        ...(other ? ['--config', `/c/${config}`] : []),
      ])
      expect(setting(text, 'WorkingDirectory').replaceAll('%%', '%')).toBe(`/h/${home}/`)
      expect(text).not.toMatch(/\\$/m)
    }),
  )
})

test.each(['/a\nExecStartPre=/bin/evil', '/a\0b', '/a\u0085b'])('%j can be in no unit', home => {
  expect(() => unitText({ ...options, home })).toThrow(/cannot hold the path/)
  expect(() => unitText({ ...options, config: home })).toThrow(/cannot hold the path/)
})

test('a program whose name systemd refuses is refused here', () => {
  expect(() => unitText({ ...options, program: '/a "b"/deputy' })).toThrow(/cannot hold the path/)
})

test('no namespaces and mounts of systemd, which bubblewrap could not work in', () => {
  const text = unitText(options)
  expect(text).not.toMatch(/^(Protect|Private|RestrictNamespaces|SystemCallFilter|ReadOnlyPaths|Inaccessible)/m)
  expect(text).toContain('\nNoNewPrivileges=yes\n')
  expect(unitText({ ...options, noNewPrivileges: false })).not.toContain('NoNewPrivileges')
})

describe('the name', () => {
  test('is plain for the usual home and tells others apart', () => {
    expect(unitName('/home/ada/.deputy', '/home/ada')).toBe('deputy.service')
    expect(unitName('/srv/My Deputy', '/home/ada')).toMatch(/^deputy-my-deputy-[0-9a-f]{8}\.service$/)
    expect(unitName('/srv/a/x', '/h')).not.toBe(unitName('/srv/b/x', '/h'))
    expect(unitName('/srv/…', '/h')).toMatch(/^deputy-[0-9a-f]{8}\.service$/)
  })

  test('lies where systemd looks', () => {
    expect(unitFolder({}, '/home/ada')).toBe('/home/ada/.config/systemd/user')
    expect(unitFolder({ XDG_CONFIG_HOME: '/x' }, '/home/ada')).toBe('/x/systemd/user')
  })
})

const analyze = spawnSync('systemd-analyze', ['--version']).status === 0

describe.runIf(analyze)('systemd itself', () => {
  function verify(text: string): { status: number | null; said: string } {
    const dir = tempDir()
    const file = put(join(dir, 'deputy-test.service'), text, 0o644)
    const env = { PATH: process.env['PATH'], XDG_RUNTIME_DIR: dir }
    const { status, stderr } = spawnSync('systemd-analyze', ['--user', 'verify', file], { env, encoding: 'utf8' })
    return { status, said: stderr }
  }

  test('takes the unit, and finds the program whatever its path', () => {
    const dir = join(tempDir(), 'we ird %h $HOME ;ä')
    mkdirSync(dir)
    const program = put(join(dir, 'deputy'), '#!/bin/sh\n', 0o755)
    const home = '/home/ada %n $PATH "q" \\b\' ;x\\'
    expect(verify(unitText({ ...options, program, home }))).toEqual({ status: 0, said: '' })
    // And says so when it does not.
    expect(verify(unitText({ ...options, program: `${program}-gone` })).said).toContain('is not executable')
    expect(verify(unitText({ ...options, program }).replace('Restart=', 'Resart=')).said).toContain('Resart')
  })
})
