import { createServer, type RequestListener, type Server } from 'node:http'
import { type AddressInfo, createServer as createTcp, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { unpaced } from '../core/pace.ts'
import { openLine } from './line.ts'

const send = openLine(unpaced)

async function serve(answer: RequestListener): Promise<{ url: string; connections: Set<Socket> }> {
  const server = createServer(answer)
  return open(server)
}

/** Answers whatever comes with these bytes; '' closes the line. */
async function serveRaw(text: string): Promise<{ url: string; connections: Set<Socket> }> {
  const server = createTcp(socket => {
    socket.on('error', () => undefined)
    socket.once('data', () => socket.end(text))
  })
  return open(server as Server)
}

async function open(server: Server) {
  const connections = new Set<Socket>()
  server.on('connection', socket => {
    connections.add(socket)
    socket.on('close', () => connections.delete(socket))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    for (const socket of connections) socket.destroy()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/x?y=1`, connections }
}

const until = async (done: () => boolean) => {
  while (!done()) await new Promise(resolve => setTimeout(resolve, 5))
}

test('a request goes out as it was asked, and its answer comes back whole', async () => {
  const { url } = await serve((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', chunk => chunks.push(chunk))
    request.on('end', () => {
      const { method, url: path, headers } = request
      response.writeHead(201, 'Made', { 'x-one': 'ä', 'set-cookie': ['a=1', 'b=2'] })
      response.end(JSON.stringify({ method, path, headers, body: Buffer.concat(chunks).toString() }))
    })
  })
  const heard: number[] = []
  const body = 'a body with ümlauts 😀'
  const answer = await send(url, { method: 'POST', headers: { 'X-Own': 'v' }, body, heard: n => heard.push(n) })
  expect([answer.status, answer.statusText, answer.ok, answer.headers.get('x-one')]).toEqual([201, 'Made', true, 'ä'])
  expect(answer.headers.getSetCookie()).toEqual(['a=1', 'b=2'])
  const seen = await answer.text()
  expect(JSON.parse(seen)).toMatchObject({
    method: 'POST',
    path: '/v1/x?y=1',
    body,
    headers: { 'x-own': 'v', 'accept-encoding': 'identity', 'content-length': String(Buffer.byteLength(body)) },
  })
  expect([heard[0], heard.reduce((sum, n) => sum + n, 0)]).toEqual([0, Buffer.byteLength(seen)])
})

test('one line serves request after request', async () => {
  const { url, connections } = await serve((request, response) => {
    request.resume()
    request.on('end', () => response.end('x'))
  })
  const lines = new Set<Socket>()
  for (let i = 0; i < 5; i++) {
    expect(await (await send(url, { method: 'POST', body: `${i}` })).text()).toBe('x')
    for (const line of connections) lines.add(line)
  }
  expect(lines.size).toBe(1)
})

test('a redirect is an answer like any other', async () => {
  const asked: string[] = []
  const { url } = await serve((request, response) => {
    asked.push(request.url!)
    response.writeHead(302, { location: '/elsewhere' }).end()
  })
  const answer = await send(url, { headers: { authorization: 'Bearer secret' } })
  expect([answer.status, answer.ok, asked]).toEqual([302, false, ['/v1/x?y=1']])
})

test('answers without a body have none', async () => {
  for (const status of [204, 205, 304]) {
    const { url } = await serve((_, response) => response.writeHead(status).end())
    const answer = await send(url, {})
    expect([answer.status, answer.body, await answer.text()]).toEqual([status, null, ''])
  }
})

test('nobody there, nothing said, no HTTP: a TypeError with the cause', async () => {
  const gone = await serve(() => undefined)
  const closed = createTcp()
  await new Promise<void>(resolve => closed.listen(0, '127.0.0.1', resolve))
  const { port } = closed.address() as AddressInfo
  await new Promise(resolve => closed.close(resolve))
  await expect(send(`http://127.0.0.1:${port}/`, {})).rejects.toMatchObject({
    name: 'TypeError',
    message: 'fetch failed',
    cause: { code: 'ECONNREFUSED' },
  })
  for (const text of [
    '',
    'SSH-2.0-x\r\n',
    'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n',
  ])
    await expect(send((await serveRaw(text)).url, {})).rejects.toMatchObject({ message: 'fetch failed' })
  await expect(send((await serveRaw('HTTP/1.1 999 x\r\n\r\n')).url, {})).rejects.toThrow(TypeError)
  await expect(send(gone.url, { headers: { x: 'a\nb' } })).rejects.toThrow(TypeError)
  await expect(send('no address', {})).rejects.toThrow(TypeError)
})

test('an answer that breaks off says so after what came before', async () => {
  const { url } = await serveRaw('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbeginning')
  const reader = (await send(url, {})).body!.getReader()
  expect(Buffer.from((await reader.read()).value!).toString()).toBe('beginning')
  await expect(reader.read()).rejects.toMatchObject({ message: 'terminated', cause: { code: 'ECONNRESET' } })
})

test('a signal ends it at any time with its own reason, and the line with it', async () => {
  const silent = await serve(() => undefined)
  const slow = await serve((_, response) => void response.write('x'))
  await expect(send(silent.url, { signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow('before')
  expect(silent.connections.size).toBe(0)

  const waiting = new AbortController()
  const answer = send(silent.url, { signal: waiting.signal })
  await until(() => silent.connections.size === 1)
  waiting.abort(new Error('while waiting'))
  await expect(answer).rejects.toThrow('while waiting')
  await until(() => silent.connections.size === 0)

  const reading = new AbortController()
  const reader = (await send(slow.url, { signal: reading.signal })).body!.getReader()
  await reader.read()
  reading.abort(new Error('while reading'))
  await expect(reader.read()).rejects.toThrow('while reading')
  await until(() => slow.connections.size === 0)
})

test('a body that nobody wants any more ends its line', async () => {
  const { url, connections } = await serve((_, response) => void response.write('x'))
  await (await send(url, {})).body!.cancel()
  await until(() => connections.size === 0)
})

test('what is not read is not fetched', async () => {
  const total = 64 * 1024 * 1024
  const { url, connections } = await serve((_, response) => response.end(Buffer.alloc(total)))
  const answer = await send(url, {})
  await new Promise(resolve => setTimeout(resolve, 200))
  const [line] = connections
  expect(line!.bytesWritten - line!.writableLength).toBeLessThan(total / 2)
  expect((await answer.arrayBuffer()).byteLength).toBe(total)
})

/** Answers are handed on when the test says so. */
function holding() {
  const held: (() => void)[] = []
  return {
    held,
    over: false,
    send: openLine({ ...unpaced, pass: pieces => void held.push(...pieces) }),
    async pass() {
      for (const piece of held.splice(0)) {
        piece()
        await new Promise(resolve => setImmediate(resolve))
      }
      await new Promise(resolve => setImmediate(resolve))
    },
  }
}

test('an answer that waits for its turn comes whole and in order', async () => {
  const { url } = await serve((_, response) => {
    response.write('one ')
    setTimeout(() => response.end('two'), 20)
  })
  const line = holding()
  const answered = line.send(url, {})
  await until(() => line.held.length === 4)
  const text = answered.then(answer => answer.text())
  await line.pass()
  expect(await text).toBe('one two')
})

test('an answer that breaks off while it waits for its turn is an error, not a silence', async () => {
  const { url, connections } = await serve((_, response) => void response.write('one '))
  const line = holding()
  const answered = line.send(url, {})
  await until(() => line.held.length === 2)
  for (const socket of connections) socket.destroy()
  await until(() => line.held.length === 3)
  const text = answered.then(answer => answer.text())
  text.catch(() => undefined)
  await line.pass()
  await expect(text).rejects.toThrow(TypeError)
})

test('what waits for its turn when nobody listens any more is dropped', async () => {
  const { url } = await serve((_, response) => {
    response.write('one ')
    setTimeout(() => response.end('two'), 20)
  })
  const line = holding()
  const answered = line.send(url, {})
  await until(() => line.held.length === 4)
  line.held.shift()!()
  const reader = (await answered).body!.getReader()
  await reader.cancel()
  expect(() => line.held.map(piece => piece())).not.toThrow()
})

test('a large piece of an answer is handed on in small ones, and comes out the same', async () => {
  const whole = Array.from({ length: 20_000 }, (_, i) => `${i} ä`).join()
  const { url } = await serve((_, response) => response.end(whole))
  const line = holding()
  const answered = line.send(url, {})
  await until(() => line.held.length > whole.length / 8192)
  const text = answered.then(answer => answer.text())
  const passing = (async () => {
    while (!line.over) await line.pass()
  })()
  expect(await text).toBe(whole)
  line.over = true
  await passing
})
