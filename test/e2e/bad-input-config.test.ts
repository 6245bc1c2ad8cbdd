/**
 * A broken or hostile configuration on the real program: at the start it is refused with a code, the place and what to do,
 * and the mended file starts; while the gateway runs, the last good one goes on and the problem is told.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openGateways } from '../support/gateway.ts'

const gateways = openGateways()
const file = (home: string) => join(home, 'deputy.json')
const good = '{ gateway: { port: 0 } }'

test.each<[string, string, string, RegExp, RegExp]>([
  ['half a file', '{ gateway: { port: 0 },\n  agents: {', 'CONFIG_SYNTAX', /line 2, column 12/, /config restore/],
  ['no object', '[1, 2]', 'CONFIG_INVALID', /must hold an object/, /\w/],
  ['a NUL', `${good}\0`, 'CONFIG_SYNTAX', /invalid character '\\0'/, /\w/],
  [
    'a wrong value',
    '{ gateway: { port: "many" } }',
    'CONFIG_INVALID',
    /gateway\.port: found "many"/,
    /Mend gateway\.port/,
  ],
  ['__proto__', '{ agents: { "__proto__": { polluted: true } } }', 'CONFIG_INVALID', /"__proto__"/, /Take it out/],
  ['a path as a name', '{ agents: { entries: { "../../x": {} } } }', 'CONFIG_INVALID', /letters, digits/, /Mend/],
  ['a bracket pit', `{ a: ${'['.repeat(5000)}${']'.repeat(5000)} }`, 'CONFIG_INVALID', /deeper than 64/, /bracket/],
  ['20 MB', `{ /* ${'x'.repeat(20_000_000)} */ }`, 'CONFIG_INVALID', /20000010 bytes/, /Is it the right file/],
  ['a circle', '{ $include: "./deputy.json" }', 'CONFIG_INVALID', /include each other/, /Mend the \$include/],
  ['somebody’s file', '{ $include: "/etc/passwd" }', 'CONFIG_INVALID', /lies outside/, /DEPUTY_INCLUDE_ROOTS/],
  [
    'an open door',
    '{ gateway: { bind: "lan", auth: { mode: "none" } } }',
    'CONFIG_UNSAFE_BIND',
    /0\.0\.0\.0/,
    /loopback/,
  ],
  ['no such secret', `{ gateway: { auth: { token: "\${GONE_1}" } } }`, 'CONFIG_SECRET_UNRESOLVED', /GONE_1/, /\.env/],
])('%s is refused at the start', async (_, text, code, what, fix) => {
  const home = gateways.home(text)
  const { code: exit, out, err } = await gateways.run(home, ['gateway', 'run'])
  expect({ exit, out }).toEqual({ exit: 1, out: '' })
  const [said = '', todo = '', ...more] = err.trimEnd().split('\n')
  expect(said).toContain(`[${code}]`)
  expect(said).toMatch(what)
  expect(todo).toMatch(fix)
  expect(more).toEqual([])
  expect(readFileSync(file(home), 'utf8')).toBe(text)
})

test.each<[string, (path: string) => void]>([
  ['a directory', path => mkdirSync(path)],
  ['a pipe that nobody writes to', path => execFileSync('mkfifo', [path])],
  ['a link to nothing', path => symlinkSync('nowhere', path)],
  ['a device', path => symlinkSync('/dev/zero', path)],
])('%s in the place of the file is refused, not waited for', async (_, put) => {
  const home = gateways.home('')
  rmSync(file(home))
  put(file(home))
  const { code, err } = await gateways.run(home, ['gateway', 'run'])
  expect(code).toBe(1)
  expect(err).toMatch(/deputy\.json .*\[CONFIG_UNREADABLE\]\n {2}\w/)
  rmSync(file(home), { recursive: true })
  writeFileSync(file(home), good, { mode: 0o600 })
  const gateway = await gateways.start(home)
  expect((await gateway.stop()).code).toBe(0)
})

test('while it runs: the last good one goes on, the problem is told, the mended one is taken', async () => {
  const home = gateways.home('{ gateway: { port: 0 }, agents: { entries: { main: { default: true }, a: {} } } }')
  const gateway = await gateways.start(home)
  const client = await gateway.client()
  const problems = async () => (await client.request('status', {})).problems.map(problem => problem.message)
  const told = async (fits: (list: string[]) => boolean) => {
    while (!fits(await problems())) await new Promise(resolve => setTimeout(resolve, 30))
  }
  const agents = async () => (await client.request('agents.list', {})).agents.map(agent => agent.id)
  expect(await problems()).toEqual([])

  for (const broken of ['{ gateway: {', '{ gateway: { port: 0 }, agents: { entries: 7 } }', '']) {
    writeFileSync(file(home), broken)
    if (broken === '') continue
    await told(list => list.length === 1)
    expect((await problems())[0]).toMatch(/deputy\.json|agents\.entries/)
    expect(await agents()).toEqual(['main', 'a'])
    expect(await gateway.say('say on it goes')).toMatchObject({ status: 'ok', text: 'on it goes' })
  }

  writeFileSync(file(home), '{ gateway: { port: 0 }, agents: { entries: { main: { default: true }, b: {} } } }')
  await told(list => list.length === 0)
  while (!(await agents()).includes('b')) await new Promise(resolve => setTimeout(resolve, 30))
  expect(await gateway.say('say still here', { agentId: 'b' })).toMatchObject({ status: 'ok', text: 'still here' })
  expect(gateway.said()).not.toMatch(/INTERNAL|TypeError/)
})
