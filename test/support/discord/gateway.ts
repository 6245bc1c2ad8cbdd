/**
 * The WebSocket side of the fake Discord: hello, identify, heartbeats, events with numbers, resuming with what was not heard.
 *
 * Owns the sessions and what of each event the bot has confirmed: a heartbeat or a resuming with its number or a later one.
 */
import type { WebSocket } from 'ws'

interface Session {
  id: string
  events: { s: number; t: string; d: unknown }[]
  socket: WebSocket | null
  /** Highest number that the bot said it has. */
  confirmed: number
}

const heartbeatMs = 60

export function openGatewaySide(given: { token: string; url(): string; ready(): unknown }) {
  const sessions = new Map<string, Session>()
  const sockets = new Set<WebSocket>()
  let away = false
  let serial = 0
  let current: Session | null = null

  const say = (socket: WebSocket, frame: unknown): void => socket.send(JSON.stringify(frame))

  function accept(socket: WebSocket): void {
    if (away) {
      socket.terminate()
      return
    }
    sockets.add(socket)
    let mine: Session | null = null
    socket.on('close', () => {
      sockets.delete(socket)
      if (mine?.socket === socket) mine.socket = null
    })
    say(socket, { op: 10, d: { heartbeat_interval: heartbeatMs } })
    socket.on('message', raw => {
      const { op, d } = JSON.parse(raw.toString()) as { op: number; d: Record<string, unknown> | number | null }
      if (op === 1) {
        if (mine && typeof d === 'number') mine.confirmed = Math.max(mine.confirmed, d)
        say(socket, { op: 11 })
      }
      if (op === 2 || op === 6) {
        const { token, session_id, seq } = d as { token: string; session_id?: string; seq?: number }
        if (token !== given.token) return socket.close(4004, 'Authentication failed.')
        if (op === 6) mine = resume(socket, String(session_id), Number(seq))
        else mine = begin(socket)
      }
    })
  }

  function begin(socket: WebSocket): Session {
    serial += 1
    const mine: Session = { id: `session-${serial}`, events: [], socket, confirmed: 0 }
    sessions.set(mine.id, mine)
    current = mine
    const ready = { v: 10, session_id: mine.id, resume_gateway_url: given.url(), ...(given.ready() as object) }
    tell('READY', ready)
    return mine
  }

  function resume(socket: WebSocket, id: string, seq: number): Session | null {
    const found = sessions.get(id)
    if (!found) {
      say(socket, { op: 9, d: false })
      return null
    }
    found.socket?.terminate()
    found.socket = socket
    found.confirmed = Math.max(found.confirmed, seq)
    for (const { s, t, d } of found.events) if (s > seq) say(socket, { op: 0, s, t, d })
    found.events.push({ s: found.events.length + 1, t: 'RESUMED', d: {} })
    say(socket, { op: 0, s: found.events.length, t: 'RESUMED', d: {} })
    return found
  }

  /** An event to the bot, now or when it comes back; its number. */
  function tell(t: string, d: unknown): number {
    const at = current
    if (!at) return 0
    const s = at.events.length + 1
    at.events.push({ s, t, d })
    if (at.socket && !away) say(at.socket, { op: 0, s, t, d })
    return s
  }

  return {
    accept,
    tell,
    confirmed: (s: number): boolean => current !== null && current.confirmed >= s,
    /** An event that was told, by what it is. */
    told: (so: (event: { t: string; d: unknown }) => boolean) =>
      [...sessions.values()].flatMap(session => session.events).find(so),
    drop(): void {
      for (const socket of sockets) socket.terminate()
    },
    away(on: boolean): void {
      away = on
      if (on) for (const socket of sockets) socket.terminate()
    },
    /** The service forgets every session: the bot must begin anew, and hears nothing of what was before. */
    forget(): void {
      sessions.clear()
      current = null
      for (const socket of sockets) socket.terminate()
    },
    raw(text: string): void {
      if (current?.socket) current.socket.send(text)
    },
    sessions: () => serial,
  }
}
