import fc from 'fast-check'
import { expect, onTestFinished, test, vi } from 'vitest'
import { makePlaces, type Wanted } from './places.ts'

const one: Wanted[] = [{ id: 'k m', limit: 1 }]
const still = () => new AbortController().signal

function bench() {
  const places = makePlaces()
  const called: unknown[] = []
  places.onCall(who => called.push(who))
  return { places, called }
}

test('a place is for one at a time, and the next in line has it when it is free', async () => {
  const { places } = bench()
  expect(await places.take('a', one, 50, still())).toBe('k m')
  expect(await places.take('a', one, 50, still())).toBe('k m')
  const order: string[] = []
  const waits = ['b', 'c', 'd'].map(who =>
    places.take(who, one, 5000, still()).then(() => {
      order.push(who)
      places.leave(who)
    }),
  )
  places.leave('a')
  await Promise.all(waits)
  expect(order).toEqual(['b', 'c', 'd'])
  expect(places.at('a')).toBeNull()
})

test('who waits in vain keeps its turn, is called when it is parked, and nobody overtakes it meanwhile', async () => {
  const { places, called } = bench()
  await places.take('a', one, 0, still())
  expect(await places.take('b', one, 5, still())).toBeNull()
  const late = places.take('c', one, 60_000, still())
  places.park('b')
  places.rest('b')
  places.leave('a')
  expect(called).toEqual(['b'])
  expect(places.at('b')).toBe('k m')
  places.arrive('b')
  expect(await places.take('b', one, 0, still())).toBe('k m')
  places.rest('b')
  expect(await late).toBe('k m')
})

test('behind those who are parked nobody waits at the door', async () => {
  const { places } = bench()
  await places.take('a', one, 0, still())
  await places.take('b', one, 0, still())
  places.park('b')
  expect(await places.take('c', one, 600_000, still())).toBeNull()
  // Another key of the same model has nothing to do with it.
  expect(await places.take('d', [{ id: 'other m', limit: 1 }], 0, still())).toBe('other m')
})

test('an abort ends the wait, and what ended wants nothing any more', async () => {
  const { places, called } = bench()
  await places.take('a', one, 0, still())
  const stop = new AbortController()
  const wait = places.take('b', one, 600_000, stop.signal)
  stop.abort()
  expect(await wait).toBeNull()
  places.leave('b')
  await places.take('c', one, 0, still())
  places.park('c')
  places.leave('c')
  places.leave('a')
  expect(called).toEqual([])
  expect(await places.take('e', one, 0, still())).toBe('k m')
})

test('any of several keys will do, and moving to another gives up the first', async () => {
  const { places } = bench()
  const both = [...one, { id: 'k2 m', limit: 1 }]
  expect(await places.take('a', both, 0, still())).toBe('k m')
  expect(await places.take('b', both, 0, still())).toBe('k2 m')
  expect(await places.take('c', both, 0, still())).toBeNull()
  places.park('c')
  expect(await places.take('a', [{ id: 'elsewhere', limit: 3 }], 0, still())).toBe('elsewhere')
  expect(await places.take('d', both, 0, still())).toBeNull()
  places.arrive('c')
  expect(await places.take('c', both, 0, still())).toBe('k m')
})

test('who is called and does not come loses the place and not its turn', async () => {
  vi.useFakeTimers()
  onTestFinished(() => void vi.useRealTimers())
  const { places, called } = bench()
  await places.take('a', one, 0, still())
  for (const who of ['b', 'c']) {
    const wait = places.take(who, one, 0, still())
    vi.advanceTimersByTime(1)
    expect(await wait).toBeNull()
    places.park(who)
  }
  places.leave('a')
  expect(called).toEqual(['b'])
  vi.advanceTimersByTime(60_000)
  expect(called).toEqual(['b', 'c'])
  // Both come late: whose turn it is goes first.
  expect(places.at('c')).toBeNull()
  places.arrive('c')
  const second = places.take('c', one, 9_000_000, still())
  expect(await second).toBe('k m')
  const third = places.take('d', one, 9_000_000, still())
  places.arrive('b')
  const first = places.take('b', one, 9_000_000, still())
  places.leave('c')
  expect(await first).toBe('k m')
  places.leave('b')
  expect(await third).toBe('k m')
})

const moves = fc.array(fc.tuple(fc.nat(6), fc.nat(7), fc.nat(3)), { maxLength: 120, size: 'max' })

test('whatever happens: no place is given twice, nobody is passed over, and in the end everybody has had one', async () => {
  await fc.assert(
    fc.asyncProperty(moves, async list => {
      const { places, called } = bench()
      const limit = 2
      const keys: Wanted[][] = [
        [{ id: 'x', limit }],
        [{ id: 'y', limit }],
        [
          { id: 'x', limit },
          { id: 'y', limit },
        ],
      ]
      const whos = Array.from({ length: 8 }, (_, n) => `r${n}`)
      const wants = new Map<string, Wanted[]>()
      const parked = new Set<string>()
      const got = new Set<string>()
      const stops = new Map<string, AbortController>()
      const check = () => {
        const at = whos.map(who => places.at(who))
        for (const id of ['x', 'y']) expect(at.filter(each => each === id).length).toBeLessThanOrEqual(limit)
      }
      const ask = async (who: string) => {
        const stop = new AbortController()
        stops.set(who, stop)
        const wanted = wants.get(who)!
        const id = await places.take(who, wanted, 600_000, stop.signal)
        stops.delete(who)
        if (id !== null && wants.has(who)) got.add(who)
        else if (wants.has(who)) {
          parked.add(who)
          places.park(who)
        }
      }
      const work: Promise<void>[] = []
      const back = (who: string) => {
        if (!parked.delete(who)) return
        places.arrive(who)
        work.push(ask(who))
      }
      for (const [what, at, key] of list) {
        const who = whos[at]!
        if (what < 3 && !wants.has(who)) {
          wants.set(who, keys[key % 3]!)
          work.push(ask(who))
        } else if (what === 3) stops.get(who)?.abort()
        else if (what === 4 && got.delete(who)) {
          wants.delete(who)
          places.rest(who)
        } else if (what === 5 && wants.has(who)) {
          wants.delete(who)
          stops.get(who)?.abort()
          parked.delete(who)
          got.delete(who)
          places.leave(who)
        } else if (what === 6) back(who)
        await null
        check()
      }
      // A fair end: who has a place gives it up; who is called comes.
      for (let round = 0; wants.size > 0; round++) {
        if (round > 200) throw new Error(`never served: ${[...wants.keys()]}`)
        for (const who of [...got]) {
          got.delete(who)
          wants.delete(who)
          places.leave(who)
        }
        for (const who of called.splice(0) as string[]) back(who)
        await new Promise(resolve => setImmediate(resolve))
        check()
      }
      await Promise.all(work)
      for (const who of whos) expect(places.at(who)).toBeNull()
    }),
    { numRuns: process.env['DEPUTY_LONG'] ? 3000 : 150 },
  )
}, 120_000)
