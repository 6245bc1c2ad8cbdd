/**
 * Sends what mutate.ts makes to a running gateway, by every door, and looks for three things: that it never stops, never
 * grows without end, and never lets a call through that its caller may not make.
 *
 * Owns the lines and the counting. Every line is bounded; nothing is sent but to the gateway that was started for it.
 */
import { request } from 'node:http'
import { connect as connectLine } from 'node:net'
import { WebSocket } from 'ws'
import { isMethod, scopeOf } from '../../src/protocol/methods.ts'
import { covers, type Scope } from '../../src/protocol/scopes.ts'
import { type Fuzz, fuzzer } from './mutate.ts'

export interface Counts {
  frames: number
  /** Frames of callers who had shown the secret that were not even JSON. */
  broken: number
  http: number
  answered: number
  refused: number
  closed: number
  /** Calls that went through although nobody had the right to them. Must stay empty. */
  letThrough: string[]
}

interface Target {
  url: string
  token: string
}

interface AnyFrame {
  type?: string
  id?: unknown
  ok?: boolean
  event?: string
}

export async function attack(target: Target, seed: number, frames: number, requests: number): Promise<Counts> {
  const counts: Counts = { frames: 0, broken: 0, http: 0, answered: 0, refused: 0, closed: 0, letThrough: [] }
  const fuzz = fuzzer(seed)
  // A third before hello, where nothing may be answered; the rest with scopes that cover little or nothing.
  await strangers(target, fuzz, Math.floor(frames / 3), counts, seed)
  await guests(target, fuzz, Math.floor(frames / 3), ['operator.read'], counts, seed)
  await guests(target, fuzz, frames - 2 * Math.floor(frames / 3), [], counts, seed)
  await pages(target, fuzz, requests, counts)
  return counts
}

/** Lines that never say who they are. Each carries a few frames: more would be refused as too many, which is not the point. */
async function strangers(target: Target, fuzz: Fuzz, frames: number, counts: Counts, seed: number): Promise<void> {
  while (frames > 0) {
    const some = Math.min(frames, 14)
    frames -= some
    const ws = new WebSocket(target.url, { perMessageDeflate: false })
    await new Promise<void>(resolve => {
      ws.on('message', data => {
        const frame = JSON.parse(String(data)) as AnyFrame
        if (frame.type !== 'res') return
        if (frame.ok) counts.letThrough.push(`seed ${seed}: a stranger was answered: ${String(data).slice(0, 200)}`)
        else counts.refused += 1
      })
      ws.on('open', () => {
        for (let i = 0; i < some; i++) {
          counts.frames += 1
          ws.send(fuzz.frame(counts.frames))
        }
        setTimeout(() => ws.close(), 15)
      })
      ws.on('error', () => resolve())
      ws.on('close', () => {
        counts.closed += 1
        resolve()
      })
    })
  }
}

/** Lines of a caller who has shown the secret and asked for `held` only. */
async function guests(
  target: Target,
  fuzz: Fuzz,
  frames: number,
  held: readonly Scope[],
  counts: Counts,
  seed: number,
): Promise<void> {
  while (frames > 0) {
    const ws = new WebSocket(target.url, { perMessageDeflate: false })
    /** Ids may repeat: hostile callers do as they like. */
    const asked = new Map<string, string[]>()
    let sent = 0
    const most = Math.min(frames, 3000)
    await new Promise<void>(resolve => {
      const more = () => {
        if (ws.readyState !== WebSocket.OPEN) return
        for (let i = 0; i < 100 && sent < most; i++) {
          sent += 1
          counts.frames += 1
          const text = fuzz.frame(counts.frames)
          try {
            const frame = JSON.parse(text) as { id?: unknown; method?: unknown }
            if (typeof frame.id === 'string' && typeof frame.method === 'string')
              asked.set(frame.id, [...(asked.get(frame.id) ?? []), frame.method])
          } catch {
            counts.broken += 1
          }
          ws.send(text)
        }
        if (sent < most) setTimeout(more, 3)
        else setTimeout(() => ws.close(), 100)
      }
      ws.on('message', data => {
        const frame = JSON.parse(String(data)) as AnyFrame & { payload?: { type?: string } }
        if (frame.event === 'connect.challenge') {
          ws.send(
            JSON.stringify({
              type: 'req',
              id: 'hello',
              method: 'connect',
              params: {
                minProtocol: 3,
                maxProtocol: 4,
                client: { id: 'test', mode: 'test', version: '1', platform: 'linux' },
                scopes: held,
                auth: { token: target.token },
              },
            }),
          )
          return
        }
        if (frame.type !== 'res') return
        if (frame.payload?.type === 'hello-ok') return more()
        if (!frame.ok) {
          counts.refused += 1
          return
        }
        counts.answered += 1
        const named = asked.get(String(frame.id)) ?? []
        if (named.length > 0 && !named.some(method => mayCall(method, held)))
          counts.letThrough.push(
            `seed ${seed}: ${named.join('|')} with ${held.join() || 'no scope'}: ${String(data).slice(0, 200)}`,
          )
      })
      ws.on('error', () => resolve())
      ws.on('close', () => {
        counts.closed += 1
        resolve()
      })
    })
    frames -= Math.max(1, sent)
  }
}

/** Whether the table lets these scopes call it with some parameters. */
function mayCall(method: string, held: readonly Scope[]): boolean {
  if (!isMethod(method)) return false
  const needed = scopeOf(method, {})
  return needed === null || covers(held, needed)
}

async function pages(target: Target, fuzz: Fuzz, requests: number, counts: Counts): Promise<void> {
  const { hostname, port } = new URL(target.url.replace(/^ws/, 'http'))
  for (let n = 0; n < requests; n++) {
    const { method, path, headers, body } = fuzz.http()
    counts.http += 1
    if (n % 10 === 0) {
      // Not even HTTP.
      await raw(hostname, Number(port), `${method} ${path}\r\n${'x'.repeat(n % 5000)}\r\n\r\n`)
      continue
    }
    await new Promise<void>(resolve => {
      const call = (() => {
        try {
          return request({ hostname, port, method, path: encodeURI(path).slice(0, 3000), headers, timeout: 5000 })
        } catch {
          // A header that Node itself will not send.
          counts.refused += 1
          return null
        }
      })()
      if (!call) return resolve()
      call.on('response', response => {
        if ((response.statusCode ?? 500) >= 500 && response.statusCode !== 503)
          counts.letThrough.push(`HTTP ${response.statusCode} for ${method} ${path}`)
        if (response.statusCode === 200) counts.answered += 1
        else counts.refused += 1
        response.resume()
        response.on('close', () => resolve())
      })
      call.on('upgrade', (_response, socket) => {
        counts.answered += 1
        socket.destroy()
        resolve()
      })
      call.on('error', () => resolve())
      call.on('timeout', () => call.destroy())
      call.end(body ?? undefined)
    })
  }
}

function raw(host: string, port: number, text: string): Promise<void> {
  return new Promise(resolve => {
    const socket = connectLine(port, host)
    socket.on('error', () => resolve())
    socket.on('close', () => resolve())
    socket.on('data', () => undefined)
    socket.write(text)
    setTimeout(() => socket.destroy(), 5)
  })
}
