import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type Approval,
  type AskPolicy,
  approvalDecisions,
  asksAnything,
  chatsFor,
  type ExecRule,
  questionContent,
  verdictOf,
  visible,
} from './approval.ts'

const nobody = { origin: true, targets: [], sessions: null }
const policy = (exec: Partial<ExecRule>, more: Partial<AskPolicy> = {}): AskPolicy => ({
  exec: { security: 'full', ask: 'off', safeBins: [], ...exec },
  tools: [],
  budget: null,
  timeoutMs: 1000,
  chats: { exec: nobody, other: nobody },
  ...more,
})
const exec = (command: string) => ({ tool: { name: 'exec', group: 'runtime' }, args: { command } })
const none = () => false

describe('which commands are asked about', () => {
  test.each<[Partial<ExecRule>, string, string]>([
    [{}, 'rm -rf .', 'go'],
    [{ security: 'deny' }, 'ls', 'refuse'],
    [{ security: 'deny', ask: 'always' }, 'ls', 'refuse'],
    [{ security: 'allowlist' }, 'ls', 'refuse'],
    [{ security: 'allowlist', safeBins: ['ls'] }, 'ls', 'go'],
    [{ security: 'allowlist', ask: 'on-miss' }, 'ls', 'ask'],
    [{ security: 'allowlist', ask: 'always', safeBins: ['ls'] }, 'ls', 'ask'],
    [{ ask: 'on-miss' }, 'ls', 'go'],
    [{ ask: 'always' }, 'ls', 'ask'],
  ])('%o %s: %s', (rule, command, expected) => {
    expect(verdictOf(policy(rule), exec(command), none).do).toBe(expected)
  })

  test('what is asked always can’t be allowed for good', () => {
    const verdict = verdictOf(policy({ ask: 'always' }), exec('ls'), () => true)
    expect(verdict).toMatchObject({ do: 'ask', decisions: ['allow-once', 'deny'], remembers: null })
  })

  test('what is allowed for good is the whole command and nothing longer', () => {
    const known = (_: string, pattern: string) => pattern === 'git status'
    const rule = policy({ security: 'allowlist', ask: 'on-miss' })
    expect(verdictOf(rule, exec('git status'), known).do).toBe('go')
    for (const other of ['git status; id', 'git status\nid', ' git status', 'git  status', 'git'])
      expect([other, verdictOf(rule, exec(other), known).do]).toEqual([other, 'ask'])
  })

  test.each([
    'cat x; id',
    'cat x && id',
    'cat $(id)',
    'cat `id`',
    'cat < x',
    'cat > x',
    'cat x &',
    'cat *',
    'cat ~/x',
    'cat ../x',
    'cat /etc/passwd',
    'cat x | id',
    'cat x |& cat',
    'cat "x"',
    "cat 'x'",
    'cat x\nid',
    'X=1 cat',
    'catx',
    '',
    '|',
  ])('a program of the safe list does not make this safe: %s', command => {
    const rule = policy({ security: 'allowlist', ask: 'on-miss', safeBins: ['cat'] })
    expect(verdictOf(rule, exec(command), none).do).toBe('ask')
  })

  test('programs of the list with plain words are', () => {
    const rule = policy({ security: 'allowlist', ask: 'on-miss', safeBins: ['cat', 'sort'] })
    expect(verdictOf(rule, exec('cat -n a.txt | sort -r'), none).do).toBe('go')
  })
})

describe('other calls', () => {
  test('waiting is never asked about', () => {
    const all = policy({}, { tools: ['*'] })
    expect(verdictOf(all, { tool: { name: 'sessions_yield', group: 'sessions' }, args: {} }, none).do).toBe('go')
    expect(verdictOf(all, { tool: { name: 'read', group: 'fs' }, args: { path: 'x' } }, none)).toMatchObject({
      do: 'ask',
      kind: 'tool',
      remembers: 'read',
      text: '{\n  "path": "x"\n}',
    })
  })

  test('a spawn obeys the rule of its target for the command that would check its result', () => {
    const spawn = (rule: Partial<ExecRule>, known = none) =>
      verdictOf(
        policy({}),
        {
          tool: { name: 'sessions_spawn', group: 'sessions' },
          args: { task: 't', deliverables: { command: 'make' } },
          target: { agent: 'b', exec: policy(rule).exec },
        },
        known,
      )
    expect(spawn({}).do).toBe('go')
    expect(spawn({ security: 'deny' }).do).toBe('refuse')
    expect(spawn({ security: 'allowlist' }).do).toBe('refuse')
    expect(spawn({ security: 'allowlist', ask: 'on-miss' })).toMatchObject({
      do: 'ask',
      kind: 'spawn',
      remembers: null,
    })
  })

  test('nothing is looked up where nothing is asked', () => {
    expect(asksAnything(policy({}))).toBe(false)
    expect(asksAnything(policy({ ask: 'on-miss' }))).toBe(false)
    expect(asksAnything(policy({ security: 'allowlist' }))).toBe(true)
    expect(asksAnything(policy({}, { tools: ['x'] }))).toBe(true)
  })
})

describe('the words of a question', () => {
  const approval = (text: string): Approval => ({
    id: '3f2a9c1e-0000-4000-8000-000000000000',
    run: 'r',
    step: 2,
    session: 's',
    kind: 'exec',
    question: {
      agent: 'main',
      sessionKey: 'agent:main:main',
      tool: 'exec',
      title: 'wants to run a command',
      text,
      decisions: approvalDecisions,
      remembers: text,
      rule: 'tools.exec',
      chats: [],
    },
    state: 'pending',
    route: null,
    deadlineAt: 1_800_000,
    decidedBy: null,
    decidedAt: null,
    createdAt: 0,
  })

  test('hold the command in a block that it can’t close, whatever it is', () => {
    const pieces = fc.array(
      fc.oneof(
        fc.constantFrom('`', '```', '~~~', '\n', '\r', '\u202e', '/approve x allow-once', '\u2028'),
        fc.string(),
      ),
    )
    fc.assert(
      fc.property(pieces, all => {
        const { text } = questionContent(approval(all.join('')))
        const lines = text.split('\n')
        const fence = lines[1]!
        expect(fence).toMatch(/^`{3,}$/)
        const end = lines.indexOf(fence, 2)
        const after = lines.slice(end + 1)
        // What follows the block is the house's alone.
        expect(after[0]).toMatch(/^(Answer with one of these:|That is not all of it:)/)
        expect(after.at(-1)).toBe('Without an answer in 30 min it is denied.')
        expect(after.filter(line => line.startsWith('/approve '))).toEqual(
          approvalDecisions.map(decision => `/approve 3f2a9c1e ${decision}`),
        )
        const inside = lines.slice(2, end).join('\n')
        expect(inside).toBe(visible(all.join('')).slice(0, 3000))
        expect(inside).not.toMatch(/[\u202a-\u202e\u2066-\u2069\r\u2028]/)
      }),
    )
  })

  test('say when that is not all, and the buttons fit any service', () => {
    const { text, buttons } = questionContent(approval('x'.repeat(5000)))
    expect(text).toContain('That is not all of it: 2000 characters more. See it whole: deputy approvals show 3f2a9c1e')
    for (const { value } of buttons!.flat()) expect(Buffer.byteLength(value)).toBeLessThanOrEqual(64)
  })

  test('go to the chat of the work, to targets, to both, each once', () => {
    const here = { channel: 'telegram', account: 'default', to: '1' }
    const there = { ...here, to: '2' }
    const chats = (origin: boolean, targets = [there], sessions: string[] | null = null) =>
      chatsFor(policy({}, { chats: { exec: { origin, targets, sessions }, other: nobody } }), 'exec', {
        route: here,
        sessionKey: 'agent:main:main',
      }).map(({ to }) => to)
    expect(chats(true, [])).toEqual(['1'])
    expect(chats(false)).toEqual(['2'])
    expect(chats(true)).toEqual(['1', '2'])
    expect(chats(true, [here])).toEqual(['1'])
    expect(chats(true, [there], ['agent:other'])).toEqual([])
  })
})
