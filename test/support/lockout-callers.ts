/**
 * The ways into a gateway for the lock-out matrix: over which line somebody comes, what is shown, and in which state the
 * device is that is shown. Owns the lines, the devices and the relay in another network namespace; knows nothing of what
 * the gateway ought to answer.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createConnection } from 'node:net'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { devicePayload } from '../../src/protocol/device.ts'
import type { WireError } from '../../src/protocol/frames.ts'
import { type AnyFrame, type makeDevice, openRaw } from './door.ts'

export const transports = [
  'unix socket',
  'loopback',
  'proxy, not trusted',
  'proxy, trusted',
  'another machine',
] as const
export type Transport = (typeof transports)[number]

/** What is shown. */
export const shows = ['nothing', 'secret', 'device', 'secret and device'] as const
export type Shows = (typeof shows)[number]

export type DeviceKey = ReturnType<typeof makeDevice>

export interface Gate {
  socket: string
  port: number
  /** From another machine; null where the gateway listens on this one only. */
  far: { url: string; host: string } | null
}

export interface Caller {
  transport: Transport
  secret: { token: string } | { password: string } | null
  device: DeviceKey | null
  /** Shown as `auth.deviceToken`. */
  deviceToken?: string
}

export interface Hello {
  scopes: string[]
  deviceToken?: string
  pending?: { requestId: string; scopes: string[]; command: string }
}

/** A connection that was let in. */
export interface Line {
  auth: Hello
  call(method: string, params: unknown): Promise<{ payload: Record<string, unknown> | null; error: WireError | null }>
  closed: Promise<{ code: number; reason: string }>
  close(): void
}

export type Knock = { in: true; line: Line } | { in: false; error: WireError; close: { code: number; reason: string } }

export interface KnockOptions {
  scopes: readonly string[]
  protocol?: 3 | 4
  client?: { id: string; mode: string }
}

interface Wire {
  send(text: string): void
  wait(test: (frame: AnyFrame) => boolean): Promise<AnyFrame>
  closed: Promise<{ code: number; reason: string }>
  close(): void
}

const proxied = { 'x-forwarded-for': '203.0.113.7', 'x-user': 'ann' }

async function dial(gate: Gate, transport: Transport): Promise<Wire> {
  if (transport === 'unix socket') return dialUnix(gate.socket)
  const far = transport === 'another machine' ? gate.far : null
  const headers: Record<string, string> = far ? { host: far.host } : transport === 'loopback' ? {} : proxied
  const raw = await openRaw(far?.url ?? `ws://127.0.0.1:${gate.port}/`, headers)
  return {
    send: text => raw.ws.send(text),
    wait: async test => {
      const frame = await raw.wait(test)
      raw.frames.splice(raw.frames.indexOf(frame), 1)
      return frame
    },
    closed: raw.closed,
    close: () => raw.ws.terminate(),
  }
}

function dialUnix(path: string): Promise<Wire> {
  const frames: AnyFrame[] = []
  const waiting = new Set<() => void>()
  const closed = Promise.withResolvers<{ code: number; reason: string }>()
  let rest = ''
  return new Promise((resolve, reject) => {
    const socket = createConnection(path, () =>
      resolve({
        send: text => void socket.write(`${text}\n`),
        wait: test =>
          new Promise(resolve => {
            const check = () => {
              const at = frames.findIndex(test)
              if (at < 0) return
              waiting.delete(check)
              resolve(frames.splice(at, 1)[0]!)
            }
            waiting.add(check)
            check()
          }),
        closed: closed.promise,
        close: () => socket.destroy(),
      }),
    )
    socket.on('error', reject)
    socket.on('data', chunk => {
      const lines = (rest + String(chunk)).split('\n')
      rest = lines.pop()!
      for (const line of lines) {
        const frame = JSON.parse(line)
        if (frame.type === 'close') closed.resolve(frame)
        else frames.push(frame)
      }
      for (const check of [...waiting]) check()
    })
  })
}

export async function knock(gate: Gate, caller: Caller, options: KnockOptions): Promise<Knock> {
  const { scopes, protocol = 4, client: { id, mode } = { id: 'test', mode: 'backend' } } = options
  const wire = await dial(gate, caller.transport)
  const challenge = await wire.wait(frame => frame.event === 'connect.challenge')
  const { nonce, ts: signedAt } = challenge.payload as { nonce: string; ts: number }
  const client = { id, mode, version: '1', platform: 'linux' }
  const auth = { ...caller.secret, ...(caller.deviceToken === undefined ? {} : { deviceToken: caller.deviceToken }) }
  const { device } = caller
  const token = 'token' in auth ? auth.token : (auth.deviceToken ?? null)
  const proof = { clientId: id, clientMode: mode, role: 'operator', scopes, signedAt, token, nonce, platform: 'linux' }
  const block = device && {
    id: device.id,
    publicKey: device.publicKey,
    signature: device.sign(devicePayload(protocol === 3 ? 2 : 3, { deviceId: device.id, ...proof })),
    signedAt,
    nonce,
  }
  const params = {
    minProtocol: protocol,
    maxProtocol: protocol,
    client,
    scopes,
    auth,
    ...(block ? { device: block } : {}),
  }
  wire.send(JSON.stringify({ type: 'req', id: 'hello', method: 'connect', params }))
  const answer = await wire.wait(frame => frame.id === 'hello')
  if (!answer.ok) return { in: false, error: answer.error!, close: await wire.closed }
  let n = 0
  return {
    in: true,
    line: {
      auth: (answer.payload as { auth: Hello }).auth,
      async call(method, params) {
        const id = `${++n}`
        wire.send(JSON.stringify({ type: 'req', id, method, params }))
        const last = (frame: AnyFrame) => frame.id === id && frame.payload?.['status'] !== 'accepted'
        const { payload = null, error = null } = await wire.wait(last)
        return { payload, error }
      },
      closed: wire.closed,
      close: wire.close,
    },
  }
}

export interface FarSide {
  /** How the other machine reaches this gateway. */
  reach(port: number): { url: string; host: string }
  close(): void
}

const relay = `
const net = require('node:net')
net.createServer(near => {
  const far = net.connect(Number(process.env.PORT), process.env.HOST, () => near.pipe(far).pipe(near))
  for (const each of [near, far]) each.on('error', () => (near.destroy(), far.destroy()))
}).listen(process.env.SOCKET, () => console.log('ready'))`

/**
 * Another machine: a network namespace with its own address where that may be made, and a relay in it that this process
 * reaches by a unix socket. Elsewhere this machine's own outer address, which is not loopback either. Null without one.
 */
export function openFarSide(dir: string): FarSide | null {
  const name = `deputy-${process.pid}`
  const [here, there] = ['10.213.77.1', '10.213.77.2']
  const ip = (...args: string[]) => execFileSync('ip', args, { stdio: 'pipe' })
  const children: ChildProcess[] = []
  try {
    ip('netns', 'add', name)
    ip('link', 'add', `${name}a`.slice(-15), 'type', 'veth', 'peer', 'name', 'inside', 'netns', name)
    ip('addr', 'add', `${here}/30`, 'dev', `${name}a`.slice(-15))
    ip('link', 'set', `${name}a`.slice(-15), 'up')
    ip('netns', 'exec', name, 'ip', 'addr', 'add', `${there}/30`, 'dev', 'inside')
    ip('netns', 'exec', name, 'ip', 'link', 'set', 'inside', 'up')
  } catch {
    const outer = Object.values(networkInterfaces()).flatMap(list => list ?? [])
    const address = outer.find(({ family, internal }) => family === 'IPv4' && !internal)?.address
    if (address === undefined) return null
    return {
      reach: port => ({ url: `ws://${address}:${port}/`, host: `${address}:${port}` }),
      close: () => undefined,
    }
  }
  return {
    reach(port) {
      const socket = join(dir, `far-${port}.sock`)
      const env = { PATH: process.env['PATH'], PORT: String(port), HOST: here, SOCKET: socket }
      children.push(spawn('ip', ['netns', 'exec', name, process.execPath, '-e', relay], { env, stdio: 'ignore' }))
      return { url: `ws+unix:${socket}:/`, host: `${here}:${port}` }
    },
    close() {
      for (const child of children) child.kill('SIGKILL')
      ip('netns', 'del', name)
    },
  }
}
