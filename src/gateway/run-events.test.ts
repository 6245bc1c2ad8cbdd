import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { HouseEvent } from '../core/ports.ts'
import type { Protocol } from '../protocol/dialect.ts'
import type { Scope } from '../protocol/scopes.ts'
import { makeConnection } from './connection.ts'
import { type Fanout, makeFanout } from './fanout.ts'
import { localPeer } from './peer.ts'
import { makeRunEvents, type RunEvents } from './run-events.ts'
import { limits } from '../protocol/limits.ts'

let fanout: Fanout
let events: RunEvents
beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 })
  fanout = makeFanout()
  events = makeRunEvents({ fanout, clock: { now: () => Date.now() }, deltaMs: 150 })
})
afterEach(() => {
  events.close()
  expect(vi.getTimerCount()).toBe(0)
  vi.useRealTimers()
})

interface Seen {
  event: string
  seq: number
  payload: Record<string, unknown> & { data: Record<string, unknown> }
}

function isBeginning({ state, message: said }: Record<string, unknown>): boolean {
  return state === 'delta' && JSON.stringify(said).includes('"text":""')
}

/** A connection that was let in, and what it is sent. */
function listener(options: { protocol?: Protocol; caps?: string[]; scopes?: Scope[] } = {}) {
  const seen: Seen[] = []
  const nothing = () => undefined
  const send = (text: string) => void seen.push(JSON.parse(text))
  const line = { send, close: nothing, buffered: () => 0, opened: nothing }
  const handlers = { connect: nothing, request: nothing, closed: nothing }
  const connection = makeConnection({ id: 'c', nonce: 'n', now: 0, peer: localPeer, line, limits, handlers })
  connection.receive('{"type":"req","id":"1","method":"connect"}')
  const client = { id: 'x', version: '1', platform: 'p', mode: 'cli' }
  const scopes = options.scopes ?? (['operator.read'] as const)
  connection.open(
    {
      principal: { kind: 'operator', via: 'socket', user: null, scopes },
      cell: null,
      holds: () => true,
      protocol: options.protocol ?? 4,
      client,
      caps: new Set(options.caps ?? []),
      connectedAt: 0,
    },
    '1',
    {},
  )
  fanout.add(connection)
  seen.length = 0
  /** Without the chat event that a run begins with, which has a test of its own. */
  const of = (event: string) =>
    seen.filter(frame => frame.event === event && !isBeginning(frame.payload)).map(frame => frame.payload)
  return { connection, seen, of }
}

const base = { run: 'r', session: 's', sessionKey: 'agent:main:main', agent: 'main', wireId: 'w' }

function delta(text: string, more: Partial<HouseEvent> = {}): void {
  events.tell({ on: 'run.delta', ...base, text, delta: '', replace: false, ...more } as HouseEvent)
}

function state(change: 'queued' | 'started' | 'waiting' | 'woken' | 'done', more: Record<string, unknown> = {}): void {
  events.tell({ on: 'run.state', ...base, change, parent: null, at: 5, ...more } as HouseEvent)
}

function turn(more: Record<string, unknown> = {}): void {
  const words = { aliases: ['w'], text: 'Hello', yielded: false, stop: 'stop', outcome: 'succeeded', at: 9 }
  events.tell({ on: 'run.turn', ...base, ...words, ...more } as HouseEvent)
}

describe('a turn on the wire', () => {
  test('lifecycle, deltas at most every 150 ms, nothing lost at the end, one final; seq grows in both counters', () => {
    const { seen, of } = listener()
    state('queued')
    state('started')
    for (const text of ['H', 'He', 'Hel']) delta(text)
    vi.advanceTimersByTime(150)
    delta('Hell')
    turn()
    expect(of('chat')).toEqual([
      expect.objectContaining({ runId: 'w', state: 'delta', deltaText: 'H', agentId: 'main' }),
      expect.objectContaining({ state: 'delta', deltaText: 'el' }),
      expect.objectContaining({ state: 'delta', deltaText: 'lo' }),
      expect.objectContaining({
        state: 'final',
        stopReason: 'stop',
        message: { role: 'assistant', content: [{ type: 'text', text: 'Hello' }], timestamp: 9 },
      }),
    ])
    expect(of('agent').map(({ stream, data }) => [stream, data['phase'] ?? data['delta']])).toEqual([
      ['lifecycle', 'start'],
      ['assistant', 'H'],
      ['assistant', 'el'],
      ['assistant', 'lo'],
      ['lifecycle', 'end'],
    ])
    expect(of('agent').map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5])
    expect(seen.map(({ seq }) => seq)).toEqual(seen.map((_, n) => n + 1))
    expect(events.wireIds('r')).toEqual([])
  })

  test.each(['NO_REPLY', ' ANNOUNCE_SKIP\n'])('a silent reply shows no words, neither growing nor final: %j', text => {
    const { of } = listener()
    state('started')
    delta(text.slice(0, 5))
    vi.advanceTimersByTime(150)
    delta(text)
    turn({ text })
    expect(of('chat')).toEqual([expect.objectContaining({ state: 'final', stopReason: 'stop' })])
    expect(of('chat')[0]).not.toHaveProperty('message')
    expect(of('agent').map(({ stream }) => stream)).toEqual(['lifecycle', 'lifecycle'])
  })

  test('words that only begin like a silent reply are all shown', () => {
    const { of } = listener()
    delta('NO')
    vi.advanceTimersByTime(150)
    delta('NO_REPLY is a word')
    vi.advanceTimersByTime(150)
    turn({ text: 'NO_REPLY is a word' })
    turn({ wireId: 'v', aliases: [], text: 'NO' })
    expect(of('chat').map(({ state, deltaText }) => [state, deltaText])).toEqual([
      ['delta', 'NO_REPLY is a word'],
      ['final', undefined],
      ['delta', 'NO'],
      ['final', undefined],
    ])
  })

  test('the first thing about a run is a chat event without words, once', () => {
    const [old, young] = [listener({ protocol: 3 }), listener({ protocol: 4 })]
    state('queued')
    state('started')
    state('started')
    turn()
    for (const { seen } of [old, young]) {
      expect(seen[0]).toMatchObject({
        event: 'chat',
        payload: { runId: 'w', state: 'delta', message: { content: [{ text: '' }] } },
      })
      expect(seen[1]).toMatchObject({ event: 'agent', payload: { stream: 'lifecycle', data: { phase: 'start' } } })
      expect(seen.filter(({ payload }) => isBeginning(payload))).toHaveLength(1)
    }
    expect(young.seen[0]!.payload['deltaText']).toBe('')
  })

  test('v3 has the cumulative message alone, v4 the increment too; text that starts over is a replacement', () => {
    const old = listener({ protocol: 3 })
    const young = listener({ protocol: 4 })
    delta('One')
    vi.advanceTimersByTime(200)
    delta('Two')
    const message = (text: string) => expect.objectContaining({ content: [{ type: 'text', text }] })
    expect(old.of('chat')[1]).toEqual({
      runId: 'w',
      sessionKey: 'agent:main:main',
      agentId: 'main',
      seq: 2,
      state: 'delta',
      message: message('Two'),
    })
    expect(young.of('chat')[1]).toMatchObject({ deltaText: 'Two', replace: true, message: message('Two') })
    turn()
  })

  test('everyone who waits on the turn gets a final under the id that they know', () => {
    const { of } = listener()
    state('started')
    turn({ aliases: ['w', 'other'], yielded: true })
    expect(of('chat').slice(1)).toEqual([
      expect.objectContaining({ runId: 'w', state: 'final', yielded: true }),
      expect.objectContaining({ runId: 'other', state: 'final', yielded: true }),
    ])
    // The end of the run itself, told after its turn, adds nothing.
    state('done', { outcome: 'succeeded' })
    expect(of('chat')).toHaveLength(3)
  })

  test.each([
    ['cancelled', { state: 'aborted', stopReason: 'rpc' }],
    ['timed_out', { state: 'aborted', stopReason: 'timeout' }],
    ['failed', { state: 'error', errorMessage: 'broke', errorKind: 'context_length', errorCode: 'MODEL_CONTEXT' }],
    ['interrupted', { state: 'error' }],
  ])('an end as %s', (outcome, expected) => {
    const { of } = listener()
    state('started')
    delta('Par')
    turn({ outcome, text: '', error: 'broke', errorCode: 'MODEL_CONTEXT' })
    const last = of('chat').at(-1)!
    expect(last).toMatchObject(expected)
    if (last['state'] === 'aborted') expect(last['message']).toMatchObject({ content: [{ text: 'Par' }] })
    expect(of('agent').at(-1)!.data['phase']).toBe(outcome === 'failed' || outcome === 'interrupted' ? 'error' : 'end')
  })

  test('the end of the run may be told before its turn; the next stretch has an id of its own', () => {
    const { of } = listener()
    state('started')
    turn({ yielded: true })
    state('waiting')
    expect(events.wireIds('r')).toEqual([])
    state('woken', { wireId: 'r:1' })
    state('started', { wireId: 'r:1' })
    state('done', { wireId: 'r:1', outcome: 'succeeded' })
    turn({ wireId: 'r:1', aliases: [] })
    expect(of('chat').map(({ runId, state }) => `${runId} ${state}`)).toEqual([
      'w delta',
      'w final',
      'r:1 delta',
      'r:1 final',
    ])
  })

  test('a run that is cancelled before it began is ended by its state', async () => {
    const { of } = listener()
    state('queued')
    expect(events.wireIds('r')).toEqual(['w'])
    state('done', { outcome: 'cancelled' })
    await Promise.resolve()
    expect(of('chat')).toEqual([expect.objectContaining({ runId: 'w', state: 'aborted' })])
    expect(events.wireIds('r')).toEqual([])
  })

  test('what a worker still says after the end is not told, and keeps nothing alive', async () => {
    const { seen } = listener({ caps: ['run-events'] })
    state('started')
    turn({ outcome: 'cancelled' })
    const told = seen.length
    delta('late')
    events.tell({ on: 'run.thinking', ...base, text: 'late', delta: 'late' })
    events.tell({ on: 'run.tool', ...base, phase: 'result', callId: 't', name: 'read' })
    expect(seen).toHaveLength(told)
    // Ended below a parent: the house knows the run, not the stretch.
    state('started', { run: 'c', wireId: 'c:0' })
    state('done', { run: 'c', wireId: 'c', outcome: 'cancelled' })
    await Promise.resolve()
    expect(events.wireIds('c')).toEqual([])
  })

  test('thoughts are paced like words and come before them', () => {
    const { of } = listener()
    for (const text of ['a', 'ab', 'abc']) events.tell({ on: 'run.thinking', ...base, text, delta: '' })
    delta('Hi')
    turn({ text: 'Hi' })
    const spoken = of('agent').map(({ stream, data }) => `${stream} ${data['delta'] ?? data['phase']}`)
    expect(spoken).toEqual(['thinking a', 'thinking bc', 'assistant Hi', 'lifecycle end'])
  })

  test('a child says who spawned it', () => {
    const { of } = listener()
    state('started')
    const child = { run: 'c1', wireId: 'c1:0', sessionKey: 'agent:x:subagent:1', parent: 'r' }
    state('started', child)
    expect(of('agent').map(payload => payload['spawnedBy'])).toEqual([undefined, 'agent:main:main'])
    turn({ ...child, aliases: [] })
    turn()
  })
})

describe('who hears it', () => {
  const tool = (phase: string, more = {}) =>
    events.tell({ on: 'run.tool', ...base, phase, callId: 't', name: 'read', ...more } as HouseEvent)

  test('tool calls go to those who started the run and asked for them; items to every reader', () => {
    const starter = listener({ caps: ['tool-events'] })
    const plain = listener()
    const watcher = listener({ caps: ['tool-events'] })
    starter.connection.runs.add('r')
    tool('start', { args: { path: 'a' } })
    tool('update', { partial: 'x' })
    tool('result', { parts: [{ type: 'text', text: 'y' }] })
    const streams = (who: typeof plain) => who.of('agent').map(({ stream, data }) => `${stream} ${data['phase']}`)
    expect(streams(plain)).toEqual(['item start', 'item end'])
    expect(streams(watcher)).toEqual(['item start', 'item end'])
    expect(streams(starter)).toEqual(['item start', 'tool start', 'tool update', 'tool result', 'item end'])
    expect(starter.of('agent')[1]!.data).toMatchObject({ name: 'read', toolCallId: 't', args: { path: 'a' } })
    state('done', { outcome: 'succeeded' })
    expect(starter.connection.runs.size).toBe(0)
  })

  test('run events go to those who asked for them', () => {
    const drawer = listener({ caps: ['run-events'] })
    const plain = listener()
    state('queued', { parent: 'p' })
    tool('start')
    tool('update')
    turn()
    expect(drawer.of('run')).toEqual([
      expect.objectContaining({ run: 'r', parent: 'p', change: 'queued', runId: 'w' }),
      expect.objectContaining({ run: 'r', change: 'tool.start', name: 'read' }),
    ])
    expect(plain.of('run')).toEqual([])
  })

  test('without the read scope nothing is heard; a scope that is taken away counts at once', () => {
    const held: Scope[] = ['operator.read']
    const fading = listener({ scopes: held })
    const without = listener({ scopes: ['operator.pairing'] })
    state('started')
    held.length = 0
    turn()
    expect(fading.of('agent')).toHaveLength(1)
    expect(fading.of('chat')).toHaveLength(0)
    expect(without.seen).toEqual([])
  })

  test('a payload is written once however many listen, and not at all for nobody', () => {
    let made = 0
    const payload = () => {
      made += 1
      return {}
    }
    fanout.send('agent', payload)
    expect(made).toBe(0)
    for (let n = 0; n < 5; n++) listener()
    listener({ protocol: 3 })
    fanout.send('agent', payload)
    expect(made).toBe(2)
  })
})
