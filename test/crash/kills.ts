/**
 * Which deaths to die: every named point that a delegation passes, and random moments. Seeded: a seed is the whole list.
 */
import type { Kill, Tale } from './drive.ts'

/** Writes that a delegation without channels, approvals and schedules passes; the others belong to their own tests. */
const writes = ['accept', 'claim', 'intent', 'reply', 'result', 'wait', 'finish'] as const
const points = ['before', 'after', 'resolve'] as const

/** How often each is passed in one life: a higher count would not be reached. */
const passes: Record<string, number> = {
  accept: 1,
  claim: 4,
  intent: 6,
  reply: 8,
  result: 8,
  wait: 1,
  finish: 3,
  model: 12,
  tool: 10,
}

/** mulberry32: the same numbers for the same seed, everywhere. */
export function random(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

function shuffled<T>(items: readonly T[], next: () => number): T[] {
  const rest = [...items]
  return Array.from({ length: items.length }, () => rest.splice(Math.floor(next() * rest.length), 1)[0]!)
}

/** Every named point, as `name:point`. */
const named: readonly string[] = [
  ...writes.flatMap(name => points.map(point => `${name}:${point}`)),
  ...['model', 'tool'].flatMap(name => ['before', 'after'].map(point => `${name}:${point}`)),
]

/** A random count for a point; the later the life, the less of the story is left to pass it in. */
function counted(point: string, life: number, next: () => number): Kill {
  const most = Math.max(1, Math.floor(passes[point.split(':')[0]!]! / (life + 1)))
  return { point: `${point}:${1 + Math.floor(next() * most)}` }
}

const late = (kill: string | Kill) => typeof kill !== 'string' || !/^(accept|wait):/.test(kill)

/**
 * Stories of three deaths each: `rounds` times every named point, `moments` random ones, and a cancelled story for each
 * point of `cancel`. A death in recovery follows one at work, since otherwise there is nothing to recover.
 */
export function tales(seed: number, rounds: number, moments: number): Tale[] {
  const next = random(seed)
  const deaths = shuffled(
    [
      ...Array.from({ length: rounds }, () => named).flat(),
      ...Array.from(
        { length: moments },
        (_, i): Kill =>
          i % 4 === 0
            ? { afterMs: Math.floor(next() * 400), from: 'start' }
            : { afterMs: Math.floor(next() * 300), from: 'ready' },
      ),
    ],
    next,
  )
  const work: Tale[] = []
  while (deaths.length > 0) {
    // What comes early in a story goes first, or it would be over already.
    const three = deaths.splice(0, 3).sort((a, b) => Number(late(a)) - Number(late(b)))
    work.push({
      kind: 'work',
      busy: work.length % 2 === 1,
      kills: three.map((kill, i) => (typeof kill === 'string' ? counted(kill, i, next) : kill)),
    })
  }
  const recoveries = points.map(
    (point): Tale => ({
      kind: 'work',
      busy: false,
      kills: [{ point: 'tool:after:2' }, { point: `recover:${point}:1` }],
    }),
  )
  const cancels = points.map(
    (point): Tale => ({ kind: 'cancel', busy: false, kills: [{ point: `cancel:${point}:1` }] }),
  )
  return [...work, ...Array.from({ length: rounds }, () => [...recoveries, ...cancels]).flat()]
}
