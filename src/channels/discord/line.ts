/**
 * The line to Discord's gateway: events in their order, each with its number, and the number up to which all were taken.
 *
 * Owns the library's connection and what is told to the service of how far we are: its heartbeats and its resuming name the
 * last event below which everything was taken, so that after a crash the service tells the rest again. The library would
 * name what it has received, and forget the session when the network is away; both are answered here.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { GatewayDispatchPayload } from 'discord-api-types/v10'
import type { REST } from '@discordjs/rest'
import type { Remembering } from './memory.ts'

export interface LineOptions {
  token: string
  rest: REST
  remembering: Remembering
  /** Resolves when the event was taken; the next ones are told meanwhile. */
  event(payload: GatewayDispatchPayload): Promise<void>
  /** `fresh`: the service began a session anew, so that what it told nobody is not told again. */
  up(fresh: boolean): void
  down(): void
  /** It will not come back by itself. */
  failed(error: Error): void
}

export interface Line {
  connect(): Promise<void>
  close(): Promise<void>
}

/** How long it must have been quiet to be sure that it stays so: longer than the library's pause. */
const checkMs = 100
const quietChecks = 8
/** Guilds, their messages, direct messages, and the words in them. */
const intents = (1 << 0) | (1 << 9) | (1 << 12) | (1 << 15)

export async function openLine(options: LineOptions): Promise<Line> {
  const { WebSocketManager, WebSocketShardEvents, WebSocketShardStatus } = await import('@discordjs/ws')
  const { remembering } = options
  const { memory } = remembering
  /** Events that are being taken, and the newest that was told. */
  const open = new Set<number>()
  let told = memory.sequence
  let networkAway = false

  function settle(): void {
    const first = Math.min(...open)
    memory.sequence = open.size > 0 ? Math.max(memory.sequence, first - 1) : told
    remembering.changed()
  }

  const manager = new WebSocketManager({
    token: options.token,
    intents,
    rest: options.rest,
    shardCount: 1,
    retrieveSessionInfo: () => (memory.session ? { ...memory.session, sequence: memory.sequence } : null),
    updateSessionInfo(_shard, session) {
      // Not that the session is over, only that the network is: the library gives it up, we don't.
      if (session === null && networkAway) return
      if (session?.sessionId === memory.session?.sessionId && session !== null) return
      if (session === null) memory.session = null
      else {
        const { sequence, ...rest } = session
        memory.session = rest
        memory.sequence = told = sequence
        open.clear()
      }
      // At once: what is told to a session that nobody remembers is told to nobody.
      remembering.flush()
    },
  })

  manager.on(WebSocketShardEvents.Dispatch, payload => {
    const { s } = payload
    told = Math.max(told, s)
    open.add(s)
    const done = () => {
      open.delete(s)
      settle()
    }
    // What could not be taken stays open: the number never passes it, and the service tells it again on the next line.
    options.event(payload).then(done, () => undefined)
  })
  manager.on(WebSocketShardEvents.Hello, () => {
    networkAway = false
  })
  manager.on(WebSocketShardEvents.Ready, () => options.up(true))
  manager.on(WebSocketShardEvents.Resumed, () => options.up(false))
  manager.on(WebSocketShardEvents.Closed, () => options.down())
  manager.on(WebSocketShardEvents.SocketError, () => {
    networkAway = true
    options.down()
  })
  manager.on(WebSocketShardEvents.Error, error => options.failed(error))

  return {
    connect: () => manager.connect(),
    async close() {
      // A session that is closed with 1000 is over; with 4200 it can be resumed, and is kept.
      networkAway = true
      const wasUp = (await manager.fetchStatus()).every(status => status === WebSocketShardStatus.Ready)
      await manager.destroy({ code: 4200, reason: 'stopping' })
      // While it was connecting, the library begins again half a second after it was told to stop.
      for (let quiet = wasUp ? quietChecks : 0; quiet < quietChecks; quiet++) {
        await sleep(checkMs)
        if ((await manager.fetchStatus()).every(status => status === WebSocketShardStatus.Idle)) continue
        networkAway = true
        await manager.destroy({ code: 4200, reason: 'stopping' })
        quiet = -1
      }
      remembering.flush()
    },
  }
}
