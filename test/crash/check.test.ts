/** The checker itself: a clean story has no problems, and each broken promise is found. */
import { expect, test } from 'vitest'
import { taskOf } from '../../bench/plan.ts'
import type { Seen } from '../../bench/stub.ts'
import { checkCancel, checkWork, type Story } from './check.ts'
import type { Facts, RunRow, StepRow } from './rows.ts'

function run(id: string, parent: string | null, plan: string): RunRow {
  const task = taskOf({ id: plan })
  const key = parent === null ? `agent:main:${plan}` : `agent:main:subagent:${id}`
  return {
    id,
    session: `s-${id}`,
    key,
    parent,
    state: 'done',
    outcome: 'succeeded',
    error: null,
    task,
    result: null,
    return_to: null,
  }
}

function step(of: string, n: number, kind: string, name: string): StepRow {
  return { run: of, n, kind, state: 'done', name, intent: '{}', result: '{}', started_at: 1, ended_at: 2 }
}

function message(session: string, seq: number, role: string, text: string, key?: string) {
  const meta = JSON.stringify(key ? { idempotencyKey: key } : {})
  return { session, seq, role, parts: JSON.stringify([{ type: 'text', text }]), run: null, meta }
}

function facts(): Facts {
  return {
    runs: [run('r', null, 'c1'), run('r.2', 'r', 'c1.0')],
    steps: [step('r', 1, 'model', 'm'), step('r.2', 1, 'model', 'm'), step('r.2', 2, 'tool', 'exec')],
    inbox: [{ session: 's-r', kind: 'result', state: 'read', key: 'result:r.2', from_run: 'r.2' }],
    messages: [
      message('s-r', 1, 'user', 'go', 'c1'),
      message('s-r', 2, 'user', 'RESULT(c1.0)'),
      message('s-r', 3, 'assistant', 'done c1 1/1'),
    ],
    reserved: 0,
    keys: [{ key: 'c1', answered: 1 }],
  }
}

function seen(plan: string, n: number, inAt: number): Seen {
  return { nr: 1, plan, n, seen: [], bytes: 1, messages: 1, tools: 1, inAt, sentAt: inAt, calls: 0, say: '', last: '' }
}

function story(): Story {
  return {
    id: 'c1',
    children: 1,
    deaths: [{ at: 'finish:after:1', againAt: 100, facts: facts() }],
    end: facts(),
    requests: [seen('c1', 0, 50), seen('c1.0', 0, 60)],
    effects: ['c1.0'],
  }
}

/** Every way to break a promise, and a word of what must be said about it. */
const broken: [string, string, (story: Story) => void][] = [
  ['a run that is stuck', 'is running', s => Object.assign(s.end.runs[1]!, { state: 'running' })],
  ['a child that failed', 'interrupted', s => Object.assign(s.end.runs[1]!, { outcome: 'interrupted' })],
  ['a child too many', 'children', s => s.end.runs.push(run('r.9', 'r', 'c1.1'))],
  ['a message taken in twice', 'runs of the message', s => s.end.runs.push(run('q', null, 'c1'))],
  ['a result that nobody read', 'is unread', s => Object.assign(s.end.inbox[0]!, { state: 'unread' })],
  ['a result lost', 'results of c1.0', s => s.end.inbox.splice(0)],
  ['a result twice', 'results of c1.0', s => s.end.inbox.push({ ...s.end.inbox[0]! })],
  ['a result shown twice', 'in the transcript', s => s.end.messages.push(message('s-r', 4, 'user', 'RESULT(c1.0)'))],
  ['no final answer', 'final answers', s => s.end.messages.splice(2)],
  ['two final answers', 'final answers', s => s.end.messages.push(message('s-r', 4, 'assistant', 'done c1 1/1'))],
  ['an open step', 'is open', s => Object.assign(s.end.steps[1]!, { state: 'open' })],
  ['a completed step changed', 'changed', s => Object.assign(s.end.steps[1]!, { ended_at: 9 })],
  ['a completed step gone', 'changed', s => s.end.steps.splice(1, 1)],
  ['a model call again', 'made again', s => Object.assign(s, { requests: [...s.requests, seen('c1.0', 0, 200)] })],
  ['a message lost', 'lost', s => s.end.messages.splice(0, 1)],
  ['a side effect twice', 'side effects', s => Object.assign(s, { effects: ['c1.0', 'c1.0'] })],
  ['a side effect that never was', 'side effects', s => Object.assign(s, { effects: [] })],
  ['a reservation left open', 'reservations', s => Object.assign(s.end, { reserved: 1 })],
  ['a request without an answer', 'requests answered', s => Object.assign(s.end.keys[0]!, { answered: 0 })],
]

test('a clean story has no problems', () => {
  expect(checkWork(story())).toEqual([])
})

test.each(broken)('%s is found', (_name, words, spoil) => {
  const spoiled = story()
  spoil(spoiled)
  expect(checkWork(spoiled).join('\n')).toContain(words)
})

test('a call in doubt may have left no side effect, but not two', () => {
  const doubt = story()
  for (const facts of [doubt.end, doubt.deaths[0]!.facts!]) Object.assign(facts.steps[2]!, { state: 'unknown' })
  expect(checkWork({ ...doubt, effects: [] })).toEqual([])
  expect(checkWork({ ...doubt, effects: ['c1.0', 'c1.0'] })).not.toEqual([])
})

test('a cancelled story: every run ends as cancelled', () => {
  const cancelled = story()
  for (const run of cancelled.end.runs) run.outcome = 'cancelled'
  expect(checkCancel(cancelled)).toEqual([])
  cancelled.end.runs[1]!.outcome = 'succeeded'
  expect(checkCancel(cancelled)).toEqual(['r.2 ended as succeeded'])
})
