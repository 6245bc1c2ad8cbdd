import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type BindAsk,
  type BoundWork,
  farewell,
  lasting,
  mayBind,
  overdue,
  parseLimit,
  released,
  speakAt,
} from './binding.ts'

const hour = 3_600_000
const place = { channel: 'telegram', account: 'default', to: '-100', thread: '7' }

const time = fc.integer({ min: 0, max: 100 })
const facts = fc.record({
  createdAt: time,
  spoken: fc.array(time, { maxLength: 4 }),
  own: fc.record({ idleMs: fc.option(fc.nat(20)), maxAgeMs: fc.option(fc.nat(60)) }),
  rules: fc.record({ idleMs: fc.nat(20), maxAgeMs: fc.nat(60) }),
  open: fc.boolean(),
  /** Stretches of work, the last of which may go on still. */
  work: fc.array(fc.tuple(time, time), { maxLength: 3 }),
  working: fc.boolean(),
})
type Facts = typeof facts extends fc.Arbitrary<infer T> ? T : never

/** The time at which it was over by the words of the rule, asked of every moment in turn. */
function byHand(all: Facts, now: number): ReturnType<typeof overdue> {
  if (!all.open) return 'gone'
  const age = all.own.maxAgeMs ?? all.rules.maxAgeMs
  const idle = all.own.idleMs ?? all.rules.idleMs
  if (age !== 0 && now >= all.createdAt + age) return 'max-age'
  if (idle === 0 || all.working) return null
  for (let ago = 0; ago < idle; ago += 1) {
    const then = now - ago
    if (then === all.createdAt || all.spoken.includes(then) || all.work.some(([, end]) => end === then)) return null
  }
  return 'idle'
}

function asked(all: Facts, now: number, rule: typeof overdue) {
  const binding = { createdAt: all.createdAt, activeAt: Math.max(all.createdAt, ...all.spoken), ...all.own }
  const lastEnd = all.working || all.work.length === 0 ? null : Math.max(...all.work.map(([, end]) => end))
  const work: BoundWork = { open: all.open, live: all.working, lastEnd }
  return rule(binding, all.rules, work, now)
}

function agrees(rule: typeof overdue, numRuns = 2000): boolean {
  const property = fc.property(facts, fc.nat(40), (drawn, later) => {
    const last = Math.max(drawn.createdAt, ...drawn.spoken, ...drawn.work.flat())
    const now = last + later
    return asked(drawn, now, rule) === byHand(drawn, now)
  })
  return !fc.check(property, { numRuns, seed: 7 }).failed
}

describe('when a binding is over', () => {
  test('as the words of the rule have it, at every moment', () => {
    expect(agrees(overdue)).toBe(true)
  })

  const planted: Record<string, typeof overdue> = {
    'work counts for nothing': (binding, rules, work, now) =>
      overdue(binding, rules, { ...work, live: false, lastEnd: null }, now),
    'a limit of 0 is over at once': (binding, rules, work, now) =>
      binding.idleMs === 0 && work.open ? 'idle' : overdue(binding, rules, work, now),
    'what a person set is forgotten': (binding, rules, work, now) =>
      overdue({ ...binding, idleMs: null, maxAgeMs: null }, rules, work, now),
    'age counts from the last message': (binding, rules, work, now) =>
      overdue({ ...binding, createdAt: binding.activeAt }, rules, work, now),
    'a moment late': (binding, rules, work, now) => overdue(binding, rules, work, now - 1),
    'a deleted conversation stays bound': (binding, rules, work, now) =>
      overdue(binding, rules, { ...work, open: true }, now),
  }
  for (const [what, rule] of Object.entries(planted))
    test(`the comparison finds: ${what}`, () => expect(agrees(rule)).toBe(false))
})

describe('what may be bound', () => {
  const ask: BindAsk = {
    place,
    enabled: true,
    target: { key: 'agent:main:subagent:1', open: true },
    now: 'agent:main:telegram:group:-100:topic:7',
    home: 'agent:main:telegram:group:-100:topic:7',
    related: true,
    letsIn: false,
  }
  test.each<[string, Partial<BindAsk>, boolean]>([
    ['a sub-agent of this conversation, by anybody who may command', {}, true],
    ['where there is no chat', { place: null }, false],
    ['where it is switched off', { enabled: false }, false],
    ["somebody else's conversation", { related: false }, false],
    ["somebody else's conversation, by an owner", { related: false, letsIn: true }, true],
    ['one that was deleted', { target: { key: 'k', open: false } }, false],
    ['the one that is there', { now: 'agent:main:subagent:1' }, false],
    ['the one that the place has by itself', { home: 'agent:main:subagent:1' }, false],
  ])('%s', (_what, change, ok) => {
    const answer = mayBind({ ...ask, ...change })
    expect(answer.ok).toBe(ok)
    if (!answer.ok) expect(answer.problem).toMatch(/^[A-Z].*(\.|\/unfocus)$/)
  })

  test('of a conversation that is not theirs nobody learns whether it is there', () => {
    const gone = mayBind({ ...ask, related: false, target: { key: 'k', open: false } })
    expect(gone).toEqual(mayBind({ ...ask, related: false }))
  })
})

describe('what is said at work', () => {
  const home = { channel: 'telegram', account: 'default', to: '-100' }
  const run = { id: 'r1', route: null, returnTo: 's0', terms: { cwd: 'pit' } }
  const session = { id: 's1', route: place, updatedAt: 4 }

  test('is told where it is bound; said beside what is told of its result only where that is another place', () => {
    const to = { route: place, terms: { cwd: 'pit', thread: 'thread' } }
    expect(speakAt(run, place, home)).toEqual({ do: 'run.set', run: 'r1', to })
    expect(speakAt(run, place, null)).toEqual({ do: 'run.set', run: 'r1', to })
    expect(speakAt(run, home, home)).toMatchObject({ to: { route: home, terms: { thread: 'here' } } })
  })

  test('goes on where it was for somebody who is answered there', () => {
    const answering = { ...run, route: home, returnTo: null }
    expect(speakAt(answering, place, home)).toBeNull()
    expect(released({ ...session, route: home }, answering, place)).toEqual([])
  })

  test('is for who asked alone, once it is bound no more', () => {
    const speaking = { ...run, route: place, terms: { cwd: 'pit', thread: 'thread' as const } }
    expect(released(session, speaking, place)).toEqual([
      { do: 'session.set', session: 's1', to: { route: null }, at: 4 },
      { do: 'run.set', run: 'r1', to: { route: null, terms: { cwd: 'pit' } } },
    ])
    // Bound elsewhere meanwhile, it speaks there.
    expect(released({ ...session, route: home }, { ...speaking, route: home }, place)).toEqual([])
    expect(released(session, null, place)).toHaveLength(1)
  })
})

describe('words', () => {
  test('an end says why, and of what', () => {
    const limits = { idleMs: 24 * hour, maxAgeMs: 7 * 24 * hour }
    expect(farewell('idle', place, '“tests”', limits)).toBe(
      'This thread is no longer bound to “tests”: nothing was written for 24 hours.',
    )
    const chat = { channel: 'telegram', account: 'default', to: '5' }
    expect(farewell('max-age', chat, 'main', limits)).toBe(
      'This chat is no longer bound to main: its time there, 7 days, is over.',
    )
    expect(farewell('stopped', chat, 'main', limits)).toContain('it was stopped')
    expect(farewell('gone', chat, 'main', limits)).toContain('deleted')
  })

  test.each<[string, number | null]>([
    ['off', 0],
    ['0', 0],
    ['90m', 1.5 * hour],
    [' 24H ', 24 * hour],
    ['2w', 14 * 24 * hour],
    ['', null],
    ['-1h', null],
    ['1', null],
    ['1.5h', null],
    ['9999w', null],
    ['24hours', null],
  ])('a limit: %j', (text, ms) => expect(parseLimit(text)).toBe(ms))

  test('a limit reads as it was written', () => {
    expect(['90m', '1h', '24h', '7d', '2w'].map(text => lasting(parseLimit(text)!))).toEqual([
      '90 minutes',
      '1 hour',
      '24 hours',
      '7 days',
      '14 days',
    ])
  })
})
