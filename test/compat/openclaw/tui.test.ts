/**
 * The TUI of both generations in a terminal, against the real program (openclaw-clients.md §4): it connects, shows what was
 * said, sends, streams, stops, sets things, begins anew, and comes back after a restart. Needs tmux.
 */
import { afterAll, describe, expect, test } from 'vitest'
import { connect } from '../../../src/client/connect.ts'
import { token, until, useLab, versions } from './lab.ts'
import { openTerminal, type Terminal } from './terminal.ts'

const lab = useLab()

async function call<T>(method: string, params: Record<string, unknown>): Promise<T> {
  const client = await connect({ url: lab.url, token })
  try {
    return (await client.request(method as 'status', params as Record<string, never>)) as T
  } finally {
    client.close()
  }
}

describe.each(versions)('TUI %s', version => {
  const key = `agent:main:tui-${version.replace('.', '-')}`
  let tui: Terminal
  /**
   * An answer, and the line below it at rest. When the acceptance and the whole answer reach 4.12 in one read, as on a loaded
   * machine, it goes on saying that it waits until the next message (docs/compatibility.md); 9.6 does not.
   */
  const answered = (words: string) =>
    tui.shows(new RegExp(`You said: ${words}[\\s\\S]*${version === '9.6' ? 'connected \\| idle' : 'connected'}`))
  afterAll(() => tui?.close())

  test('connects and shows what was said before', async () => {
    await call('sessions.create', { key, message: 'from before' })
    await until(
      () => call<{ messages: unknown[] }>('chat.history', { sessionKey: key }),
      history => history.messages.length === 2,
    )
    const { argv, env, cwd } = await lab.command(version, ['tui', '--session', key])
    tui = openTerminal(argv, env, cwd)
    const screen = await tui.shows(/connected \| idle/)
    expect(screen).toMatch(/You said: from before/)
    expect(screen).toMatch(/(stub\/)?m /)
  })

  test('sends, and shows the answer once', async () => {
    await tui.say('hello from the terminal')
    await answered('hello from the terminal')
    expect(tui.screen().match(/You said: hello from the terminal/g)).toHaveLength(1)
  })

  test('streams, and Esc stops', async () => {
    await tui.say('please hang')
    await tui.shows(/one two three[\s\S]*streaming/)
    tui.key('Escape')
    await tui.shows(/aborted/)
    const { session } = await call<{ session: { status: string; hasActiveRun: boolean } }>('sessions.describe', { key })
    expect(session).toMatchObject({ status: 'killed', hasActiveRun: false })
    // And it goes on after it.
    await tui.say('after the stop')
    await answered('after the stop')
  })

  test('a tool call comes back as an answer', async () => {
    await tui.say('use tool')
    await tui.shows(/You said: use tool and /)
  })

  test('/think and /model change the conversation', async () => {
    await tui.say('/think high')
    await until(
      () => call<{ session: { thinkingLevel?: string } }>('sessions.describe', { key }),
      ({ session }) => session.thinkingLevel === 'high',
    )
    await tui.say('/model stub/m')
    await until(
      () => call<{ session: { modelOverrideSource?: string } }>('sessions.describe', { key }),
      ({ session }) => session.modelOverrideSource === 'user',
    )
  })

  test('/verbose is kept; what has no effect here is refused by its name', async () => {
    await tui.say('/verbose on')
    await until(
      () => call<{ session: { verboseLevel?: string } }>('sessions.describe', { key }),
      ({ session }) => session.verboseLevel === 'on',
    )
    await tui.say('/fast on')
    await tui.shows(/unexpected property 'fastMode'/)
  })

  test('/status is answered by the gateway', async () => {
    await tui.say('/status')
    await tui.shows(/Model: stub\/m[\s\S]*Conversation: agent:main:tui-/)
  })

  test('the gateway restarts: it says so, comes back, and goes on', async () => {
    await lab.restart()
    await tui.shows(/reconnected|connected/, 40_000)
    await until(
      () => call<unknown[]>('system-presence', {}),
      present => JSON.stringify(present).includes('openclaw-tui'),
      40_000,
    )
    await tui.say('after the restart')
    await answered('after the restart')
  })

  test('/new begins a conversation of its own', async () => {
    await tui.say('/new')
    const before = await call<{ sessions: { key: string }[] }>('sessions.list', {})
    await tui.say('in the new one')
    await tui.shows(/You said: in the new one/)
    const after = await call<{ sessions: { key: string; lastMessagePreview?: string }[] }>('sessions.list', {
      includeLastMessage: true,
    })
    const row = after.sessions.find(session => session.lastMessagePreview === 'You said: in the new one')
    expect(row?.key, JSON.stringify([before, after])).not.toBe(key)
  })
})
