/**
 * Random scenarios, each a number: some conversations, in each a tree of delegated work at random, and a plan of deaths.
 * Pure; the same seed is the same scenario for ever.
 */
import type { ChildPlan, Plan, Step } from '../../bench/plan.ts'
import type { Kill } from './drive.ts'
import { random } from './kills.ts'

export interface Scenario {
  seed: number
  plans: Plan[]
  kills: Kill[]
  /** What the people do: the same numbers for the same seed. */
  next: () => number
}

const note = { name: 'exec', args: { command: 'echo {id} >> effects.log' } }
const read = { name: 'read', args: { path: 'note.txt' } }
const write = { name: 'write', args: { path: 'out/{id}.txt', content: 'line of {id}' } }
const missing = { name: 'read', args: { path: 'nothing.txt' } }

/** Writes that delegation, approvals and cancelling pass; a count that is not reached is a life that ends by the clock. */
const points = [
  'accept',
  'claim',
  'intent',
  'reply',
  'result',
  'wait',
  'finish',
  'cancel',
  'answer',
  'approve',
  'recover',
]
const moments = ['before', 'after', 'resolve']

function between(next: () => number, least: number, most: number): number {
  return least + Math.floor(next() * (most - least + 1))
}

function pick<T>(next: () => number, items: readonly T[]): T {
  return items[Math.floor(next() * items.length)]!
}

function work(next: () => number, depth: number): ChildPlan & { children: number } {
  const steps: Step[] = Array.from({ length: between(next, 0, 2) }, () => ({
    calls: Array.from({ length: between(next, 1, 2) }, () => pick(next, [read, write, missing])),
  }))
  // One side effect at most, so that it can be counted.
  if (next() < 0.5) steps.push({ calls: [note, read] })
  let children = 0
  if (depth > 0 && next() < (depth === 2 ? 0.95 : 0.5)) {
    children = between(next, 1, 3)
    const { children: _none, ...child } = work(next, depth - 1)
    const asker = next() < 0.3
    const args: Record<string, unknown> = {
      ...(next() < 0.15 ? { budget: { calls: between(next, 1, 4) } } : {}),
      ...(next() < 0.1 ? { runTimeoutSeconds: 1 } : {}),
      ...(next() < 0.1 ? { expectsCompletionMessage: false } : {}),
      ...(next() < 0.1 ? { cleanup: 'delete' } : {}),
    }
    const step = { spawn: { from: 0, count: children, child, args, ...(asker ? { agent: 'asker' } : {}) } }
    steps.splice(between(next, 0, steps.length), 0, step)
  }
  return { steps, children, ...(next() < 0.5 ? { delayMs: between(next, 5, 60) } : {}) }
}

function kill(next: () => number): Kill {
  if (next() < 0.6) return { afterMs: between(next, 0, 500), from: next() < 0.15 ? 'start' : 'ready' }
  return { point: `${pick(next, points)}:${pick(next, moments)}:${between(next, 1, 8)}` }
}

export function scenario(seed: number): Scenario {
  const next = random(seed)
  const plans = Array.from({ length: between(next, 2, 5) }, (_, i): Plan => ({ id: `s${seed}-${i}`, ...work(next, 2) }))
  const kills = Array.from({ length: between(next, 2, 6) }, () => kill(next))
  return { seed, plans, kills, next: random(seed + 1_000_003) }
}
