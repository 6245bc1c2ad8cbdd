import { connect as connectTcp, type Socket } from 'node:net'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { connectFrame, type Door, openDoor, openRaw, secret } from '../../test/support/door.ts'
import { connect } from '../client/connect.ts'
import { methodNames } from '../protocol/methods.ts'
import { scopes } from '../protocol/scopes.ts'

let door: Door
afterEach(async () => {
  // Whatever was done to it, it still lets the owner in and answers, and nothing went wrong inside.
  const client = await connect({ socketPath: door.socketPath })
  expect(await client.request('health', {})).toMatchObject({ ok: true })
  client.close()
  expect(door.log.filter(({ level }) => level === 'error')).toEqual([])
  await door.close()
})

/** A line to the unix socket with nothing in between. */
function openLine(path: string): { socket: Socket; lines: unknown[]; closed: Promise<void> } {
  const socket = connectTcp(path)
  const lines: unknown[] = []
  let rest = ''
  socket.on('data', chunk => {
    const parts = (rest + String(chunk)).split('\n')
    rest = parts.pop()!
    for (const part of parts) lines.push(JSON.parse(part))
  })
  socket.on('error', () => undefined)
  return { socket, lines, closed: new Promise(resolve => socket.on('close', () => resolve())) }
}

describe('before hello', () => {
  test.each([
    ['no JSON', 'hello?'],
    ['no object', '[]'],
    ['null', 'null'],
    ['an event', '{"type":"event","event":"agent"}'],
    ['no id', '{"type":"req","method":"connect"}'],
    ['an unknown property', '{"type":"req","id":"1","method":"connect","role":"admin"}'],
    ['another method first', '{"type":"req","id":"1","method":"health"}'],
    ['connect without params', '{"type":"req","id":"1","method":"connect"}'],
    ['deep nesting', `{"type":"req","id":"1","method":"connect","params":${'['.repeat(20_000)}${']'.repeat(20_000)}}`],
    ['a prototype', '{"type":"req","id":"1","method":"connect","params":{"__proto__":{"minProtocol":4}}}'],
  ])('%s is refused with an answer and 1008', async (_, text) => {
    door = await openDoor()
    const raw = await openRaw(door.url)
    raw.send(text)
    expect(await raw.wait(frame => frame.type === 'res')).toMatchObject({
      ok: false,
      error: { code: 'INVALID_REQUEST' },
    })
    expect(await raw.closed).toEqual({ code: 1008, reason: 'invalid handshake' })
  })

  test('a frame over 64 KiB is 1009, whole or in pieces, and is not held in memory', async () => {
    door = await openDoor()
    const whole = await openRaw(door.url)
    whole.send('x'.repeat(65_537))
    expect(await whole.closed).toEqual({ code: 1009, reason: 'preauth payload too large' })
    const pieces = await openRaw(door.url)
    // One message in many fragments that never ends.
    for (let n = 0; n < 40; n++) pieces.ws.send('x'.repeat(10_000), { fin: false })
    expect((await pieces.closed).code).toBe(1009)
    const allowed = await openRaw(door.url)
    allowed.send(JSON.stringify(connectFrame({ pathEnv: 'x'.repeat(65_000) })))
    expect(await allowed.wait(frame => frame.id === 'c')).toMatchObject({ ok: true })
    allowed.ws.close()
  })

  test('more than 15 frames while the handshake is decided are 1008; up to 15 are answered after hello', async () => {
    // A house that does not answer keeps the handshake undecided.
    door = await openDoor()
    const { sessions } = door.house
    const gate = Promise.withResolvers<void>()
    door.house.sessions = async filter => {
      await gate.promise
      return await sessions(filter)
    }
    const good = await openRaw(door.url)
    const bad = await openRaw(door.url)
    for (const [raw, frames] of [
      [good, 15],
      [bad, 16],
    ] as const) {
      raw.send(connectFrame())
      for (let n = 0; n < frames; n++) raw.send({ type: 'req', id: String(n), method: 'agents.list', params: {} })
    }
    expect(await bad.closed).toEqual({ code: 1008, reason: 'too many pending handshake frames' })
    gate.resolve()
    await good.wait(frame => frame.id === '14')
    expect(good.frames.filter(frame => frame.ok).map(frame => frame.id)[0]).toBe('c')
    good.ws.close()
  })

  test('one who goes while it is decided leaves nothing behind', async () => {
    door = await openDoor()
    const { sessions } = door.house
    const gate = Promise.withResolvers<void>()
    door.house.sessions = async filter => {
      await gate.promise
      return await sessions(filter)
    }
    const raw = await openRaw(door.url)
    raw.send(connectFrame())
    await new Promise(resolve => setTimeout(resolve, 30))
    raw.ws.terminate()
    await raw.closed
    gate.resolve()
    const client = await connect({ url: door.url, token: secret })
    await expect.poll(() => client.request('status', {})).toMatchObject({ connections: 1 })
    client.close()
  })

  test('silence is ended by the handshake timeout', async () => {
    door = await openDoor({ limits: { handshakeMs: 50 } })
    const raw = await openRaw(door.url)
    expect(await raw.closed).toEqual({ code: 1008, reason: 'handshake timeout' })
  })

  test('too many strangers are refused at the upgrade, and those inside are not disturbed', async () => {
    door = await openDoor({ limits: { handshakes: 3 } })
    const client = await connect({ url: door.url, token: secret })
    const strangers = await Promise.all([1, 2, 3].map(() => openRaw(door.url)))
    await expect(openRaw(door.url)).rejects.toThrow('503')
    expect(await client.request('agents.list', {})).toMatchObject({ defaultId: 'main' })
    for (const stranger of strangers) stranger.ws.terminate()
    await expect
      .poll(() =>
        openRaw(door.url).then(
          raw => raw.ws.close(),
          () => 'refused',
        ),
      )
      .toBeUndefined()
    client.close()
  })
})

describe('after hello', () => {
  async function inside(): Promise<Awaited<ReturnType<typeof openRaw>>> {
    const raw = await openRaw(door.url)
    raw.send(connectFrame())
    await raw.wait(frame => frame.id === 'c')
    return raw
  }

  test('an invalid frame is answered and the connection goes on', async () => {
    door = await openDoor()
    const raw = await inside()
    for (const text of ['garbage', '{"type":"req"}', '{"type":"req","id":"7","method":"health","extra":1}'])
      raw.send(text)
    raw.send({ type: 'req', id: '8', method: 'health' })
    expect(await raw.wait(frame => frame.id === '8')).toMatchObject({ ok: true })
    const refused = raw.frames.filter(frame => frame.ok === false)
    expect(refused.map(frame => frame.id)).toEqual(['invalid', 'invalid', '7'])
    for (const { error } of refused)
      expect(error).toMatchObject({
        code: 'INVALID_REQUEST',
        message: expect.stringMatching(/^invalid request frame: /),
      })
    raw.ws.close()
  })

  test('binary frames, broken UTF-8 and frames over the limit close it with the code for each', async () => {
    door = await openDoor({ limits: { maxPayload: 100_000 } })
    const binary = await inside()
    binary.ws.send(Buffer.from([1, 2, 3]))
    expect((await binary.closed).code).toBe(1008)
    const broken = await inside()
    broken.ws.send(Buffer.from([0x22, 0xc3, 0x28, 0x22]), { binary: false })
    expect((await broken.closed).code).toBe(1007)
    const large = await inside()
    large.send('x'.repeat(100_001))
    expect((await large.closed).code).toBe(1009)
  })

  test('prototype keys reach nothing: refused in params, harmless as method names', async () => {
    door = await openDoor()
    const raw = await inside()
    raw.send('{"type":"req","id":"1","method":"chat.history","params":{"sessionKey":"main","__proto__":{"limit":1}}}')
    raw.send('{"type":"req","id":"2","method":"runs.get","params":{"run":"x","constructor":{"prototype":{"a":1}}}}')
    raw.send('{"type":"req","id":"3","method":"__proto__"}')
    raw.send('{"type":"req","id":"4","method":"constructor","params":{}}')
    raw.send('{"type":"req","id":"5","method":"toString","params":{}}')
    raw.send('{"type":"req","id":"6","method":"agents.list","params":[]}')
    await raw.wait(frame => frame.id === '6')
    const codes = raw.frames.filter(frame => frame.ok === false).map(frame => [frame.id, frame.error!.details!['code']])
    expect(Object.fromEntries(codes)).toEqual({
      1: 'INVALID_PARAMS',
      2: 'INVALID_PARAMS',
      3: 'UNKNOWN_METHOD',
      4: 'UNKNOWN_METHOD',
      5: 'UNKNOWN_METHOD',
      6: 'INVALID_PARAMS',
    })
    expect(Object.prototype).not.toHaveProperty('limit')
    raw.ws.close()
  })

  test('more requests at work than allowed are refused, retryable, and the others are answered', async () => {
    door = await openDoor({ limits: { openRequests: 5 } })
    const raw = await inside()
    const wait = { runId: 'k', timeoutMs: 200 }
    raw.send({
      type: 'req',
      id: 'send',
      method: 'chat.send',
      params: { sessionKey: 'main', message: 'x', idempotencyKey: 'k' },
    })
    await raw.wait(frame => frame.id === 'send')
    for (let n = 0; n < 8; n++) raw.send({ type: 'req', id: String(n), method: 'agent.wait', params: wait })
    await raw.wait(frame => frame.id === '4' && frame.ok === true)
    const refused = raw.frames.filter(frame => frame.ok === false)
    expect(refused.map(frame => frame.id)).toEqual(['5', '6', '7'])
    expect(refused[0]!.error).toMatchObject({ code: 'UNAVAILABLE', retryable: true })
    raw.ws.close()
  })

  test('one who does not read: events that may be skipped are, then it is closed; the others get everything', async () => {
    door = await openDoor({ limits: { maxBuffered: 1_000_000, deltaMs: 0 } })
    const slow = await inside()
    const quick = await connect({ socketPath: door.socketPath })
    let heard = 0
    quick.on('chat', () => {
      heard += 1
    })
    slow.ws.pause()
    const base = { run: 'r', session: 's', sessionKey: 'agent:main:main', agent: 'main', wireId: 'w' }
    let text = ''
    // Deltas far beyond what socket buffers and the limit hold together.
    for (let n = 0; n < 200; n++) {
      text = `${n} ${'x'.repeat(30_000)}`
      door.house.tell({ on: 'run.delta', ...base, step: 1, text, delta: text, replace: true })
      await new Promise(resolve => setImmediate(resolve))
    }
    expect(slow.ws.readyState).toBe(slow.ws.OPEN)
    const end = { aliases: ['w'], text: 'end', yielded: false, stop: 'stop' as const, outcome: 'succeeded', at: 1 }
    door.house.tell({ on: 'run.turn', ...base, ...end })
    await expect.poll(() => heard).toBeGreaterThan(200)
    slow.ws.resume()
    expect(await slow.closed).toEqual({ code: 1008, reason: 'slow consumer' })
    const seqs = slow.frames.flatMap(frame => frame.seq ?? [])
    expect(seqs.length).toBeLessThan(400)
    expect(seqs).toEqual([...seqs].sort((a, b) => a - b))
    quick.close()
  })

  test('an error inside a method is INTERNAL, without its words, and is logged', async () => {
    door = await openDoor()
    door.house.runs = async () => {
      throw new Error('row 17 of /home/x/secret')
    }
    const raw = await inside()
    raw.send({ type: 'req', id: '1', method: 'runs.list', params: {} })
    const answer = await raw.wait(frame => frame.id === '1')
    expect(answer.error).toMatchObject({ code: 'UNAVAILABLE', details: { code: 'INTERNAL' } })
    expect(JSON.stringify(answer)).not.toContain('secret')
    expect(door.log.splice(0)).toContainEqual(expect.objectContaining({ level: 'error', message: 'a method failed' }))
    raw.ws.close()
  })
})

describe('anything at all', () => {
  const runs = process.env['DEPUTY_LONG'] ? 20_000 : 300
  const operator = { kind: 'operator', via: 'socket', user: null, scopes } as const
  // Params near to right ones, so that they get past the first check.
  const params = fc.dictionary(
    fc.constantFrom(
      'sessionKey',
      'message',
      'idempotencyKey',
      'run',
      'runId',
      'limit',
      'agent',
      'task',
      '__proto__',
      'x',
    ),
    fc.oneof(fc.string(), fc.integer(), fc.constant('main'), fc.anything()),
  )

  test('every request gets exactly one last answer, whatever it says', async () => {
    door = await openDoor({ tcp: false })
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.constantFrom(...methodNames), fc.string()), params, async (method, params) => {
        // What waits for a run waits for it rightly; here it would only make the test slow.
        fc.pre(method !== 'agent')
        const frame = { type: 'req' as const, id: '1', method, params: { ...params, timeoutMs: 1 } }
        const answers = await door.gateway.inject(method === 'agent.wait' ? frame : { ...frame, params }, operator)
        expect(answers).toHaveLength(1)
        expect(() => JSON.stringify(answers)).not.toThrow()
      }),
      { numRuns: runs },
    )
    expect(door.log.filter(({ level }) => level === 'error')).toEqual([])
  })

  test('bytes on the socket never bring it down, before hello or after', async () => {
    door = await openDoor({ tcp: false })
    const hello = `${JSON.stringify(connectFrame({ auth: undefined }))}\n`
    await fc.assert(
      fc.asyncProperty(
        fc.boolean(),
        fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 5 }),
        async (first, chunks) => {
          const line = openLine(door.socketPath)
          if (first) line.socket.write(hello)
          for (const chunk of chunks) line.socket.write(Buffer.concat([chunk, Buffer.from('\n')]))
          line.socket.end()
          await line.closed
        },
      ),
      { numRuns: runs / 3 },
    )
  })
})

describe('the unix socket', () => {
  test('garbage, broken UTF-8, endless lines and a flood are refused like over TCP', async () => {
    door = await openDoor({ tcp: false })
    for (const [bytes, why] of [
      [Buffer.from('garbage\n'), { code: 1008, reason: 'invalid handshake' }],
      [Buffer.from([0x22, 0xc3, 0x28, 0x22, 10]), { code: 1007, reason: 'invalid UTF-8' }],
      [Buffer.alloc(70_000, 'x'), { code: 1009, reason: 'payload too large' }],
    ] as const) {
      const line = openLine(door.socketPath)
      line.socket.write(bytes)
      await line.closed
      expect(line.lines.at(-1)).toEqual({ type: 'close', ...why })
    }
  })

  test('frames cut anywhere, also inside a character, are read as they were written', async () => {
    door = await openDoor({ tcp: false })
    const line = openLine(door.socketPath)
    const send = { type: 'req', id: 's', method: 'chat.send', params: { sessionKey: 'main', message: 'aé€😀z' } }
    const bytes = Buffer.from(`${JSON.stringify(connectFrame({ auth: undefined }))}\n\n${JSON.stringify(send)}\n`)
    for (const byte of bytes) {
      line.socket.write(Buffer.from([byte]))
      await new Promise(resolve => setImmediate(resolve))
    }
    await expect.poll(() => door.house.accepted[0]?.parts).toEqual([{ type: 'text', text: 'aé€😀z' }])
    line.socket.destroy()
  })
})
