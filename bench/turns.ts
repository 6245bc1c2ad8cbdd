/**
 * Measures of the gateway at rest and at ordinary work: starting, memory, turns, handshakes, delegation.
 */
import { count, delegate, type Measure, newId, say, times, withGateway } from './measure.ts'
import { residentMb, sleep } from './processes.ts'
import { sum } from './stats.ts'
import { connect, newDevice } from './wire.ts'

const start: Measure = {
  figures: ['start', 'first-turn'],
  peers: true,
  async run(bench) {
    const samples = await times(count(bench, 15, 3), () =>
      withGateway(bench, {}, async (gateway, wire) => {
        const startedAt = performance.now()
        await say(wire, newId(), 'hello')
        return { hello: gateway.helloMs / 1000, turn: (performance.now() - startedAt) / 1000 }
      }),
    )
    return { start: sum(samples.map(one => one.hello)), 'first-turn': sum(samples.map(one => one.turn)) }
  },
}

const memory: Measure = {
  figures: ['idle-memory'],
  peers: true,
  async run(bench) {
    const samples = await times(count(bench, 5, 2), () =>
      withGateway(bench, {}, async gateway => {
        await sleep(bench.quick ? 2000 : 15_000)
        return residentMb(gateway.pid)
      }),
    )
    return { 'idle-memory': sum(samples) }
  },
}

const turn: Measure = {
  figures: ['turn', 'request-bytes'],
  peers: true,
  run: bench =>
    withGateway(bench, {}, async (_gateway, wire) => {
      let session = newId()
      const samples: number[] = []
      const warm = count(bench, 50, 2)
      let firstBytes = 0
      for (let i = 0; i < warm + count(bench, 200, 20); i++) {
        // Conversations of ten turns: neither all new nor ever longer.
        if (i % 10 === 0) session = newId()
        bench.provider.forget()
        const startedAt = performance.now()
        await say(wire, session, 'hello')
        const ms = performance.now() - startedAt
        // Answers are told over another channel than the turn's end: they may come a moment later.
        const seen = await bench.provider.until('the answer', one => one.sentAt > 0)
        if (i === 0) firstBytes = seen.bytes
        if (i >= warm) samples.push(ms - (seen.sentAt - seen.inAt) / 1000)
        await sleep(bench.target.settleMs)
      }
      return { turn: sum(samples), 'request-bytes': sum([firstBytes / 1000]) }
    }),
}

const spawn: Measure = {
  figures: ['spawn-child', 'spawn-result'],
  peers: true,
  run: bench =>
    withGateway(bench, { spawns: true }, async (_gateway, wire) => {
      await times(count(bench, 50, 2), () => delegate(bench, wire, 1))
      const samples = await times(count(bench, 200, 10), () => delegate(bench, wire, 1))
      return {
        'spawn-child': sum(samples.map(one => (one.childAt - one.spawnedAt) / 1000)),
        'spawn-result': sum(samples.map(one => (one.resultAt - one.spawnedAt) / 1000)),
      }
    }),
}

const fan: Measure = {
  figures: ['fan-20'],
  peers: true,
  run: bench =>
    withGateway(bench, { spawns: true }, async (_gateway, wire) => {
      await times(count(bench, 5, 1), () => delegate(bench, wire, 1))
      const samples = await times(count(bench, 30, 3), () => delegate(bench, wire, 20))
      return { 'fan-20': sum(samples.map(one => (one.resultAt - one.spawnedAt) / 1e6)) }
    }),
}

const handshake: Measure = {
  figures: ['handshake-token', 'handshake-device'],
  peers: true,
  run: bench =>
    withGateway(bench, {}, async gateway => {
      const device = newDevice()
      const shake = (signed: boolean) => async () => {
        const startedAt = performance.now()
        const wire = await connect(gateway.options(signed ? device : undefined))
        const ms = performance.now() - startedAt
        await wire.close()
        return ms
      }
      const warm = count(bench, 50, 3)
      await times(warm, shake(false))
      const plain = await times(count(bench, 200, 30), shake(false))
      await times(warm, shake(true))
      const signed = await times(count(bench, 200, 30), shake(true))
      return { 'handshake-token': sum(plain), 'handshake-device': sum(signed) }
    }),
}

const installed: Measure = {
  figures: ['installed'],
  peers: true,
  run: async bench => ({ installed: sum([bench.target.installedMb()]) }),
}

export const turns: readonly Measure[] = [start, memory, turn, spawn, fan, handshake, installed]
