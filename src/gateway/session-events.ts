/**
 * What the house tells, for those who follow sessions and tasks: `sessions.changed`, `session.message`, `task`
 * (openclaw-facts.md §C5).
 *
 * Owns the pace: rows are read only while somebody follows, and changes of one session or run within `settleMs` are told
 * once, as things are then. Messages of all sessions go out in the order in which they were written.
 */
import type { HouseEvent } from '../core/ports.ts'
import type { Connection } from './connection.ts'
import { decisionOf, execRecord, pluginRecord, snapshot } from './methods/approvals.ts'
import { rowOf } from './methods/session-rows.ts'
import type { Room } from './methods/room.ts'
import { taskRow } from './methods/tasks.ts'
import { chatMessages } from './methods/transcript.ts'
import type { Log } from './types.ts'

export interface SessionEvents {
  tell(event: HouseEvent): void
  close(): void
}

const settleMs = 50

interface Change {
  sessionKey: string
  agentId: string
  /** What happened last: a reason of the session's own, or a phase of a turn in OpenClaw's words. */
  about: { reason: string } | { phase: 'start' | 'end' | 'error'; runId: string }
}

/** A wait for sub-agents or a message ends the turn (decisions.md 4); a pause or a question lies inside it. */
function phaseOf({ change, wait, outcome }: Extract<HouseEvent, { on: 'run.state' }>): 'start' | 'end' | 'error' {
  if (change === 'done') return outcome === 'succeeded' || outcome === 'cancelled' ? 'end' : 'error'
  return change === 'waiting' && (wait?.for === 'children' || wait?.for === 'message') ? 'end' : 'start'
}

export function makeSessionEvents(room: Room, log: Log): SessionEvents {
  const { fanout, house } = room
  const changes = new Map<string, Change>()
  const tasks = new Set<string>()
  let timer: ReturnType<typeof setTimeout> | null = null
  let queue: Promise<void> = Promise.resolve()

  function followed(by: (connection: Connection) => boolean): boolean {
    for (const connection of fanout.connections) if (by(connection)) return true
    return false
  }

  const followsSessions = ({ follows }: Connection) => follows.sessions
  const followsTasks = ({ follows }: Connection) => follows.tasks

  /** One thing after the other; what fails is said and holds nothing up. */
  function soon(what: () => Promise<void>): void {
    queue = queue.then(what).catch(error => log('error', 'an event could not be told', { error: String(error) }))
  }

  function settle(): void {
    timer ??= setTimeout(() => {
      timer = null
      const changed = [...changes]
      const runs = [...tasks]
      changes.clear()
      tasks.clear()
      for (const [id, change] of changed) soon(() => tellChange(id, change))
      for (const run of runs) soon(() => tellTask(run))
    }, settleMs).unref()
  }

  async function tellChange(id: string, { sessionKey, agentId, about }: Change): Promise<void> {
    const session = (await house.sessionByKey(sessionKey)) ?? (await house.session(id))
    const row = session && session.closedAt === null ? await rowOf(room, session, { titles: true, last: true }) : null
    const { sessionId, updatedAt, status, hasActiveRun, activeRunIds } = row ?? {}
    const now = { sessionId: sessionId ?? id, updatedAt, status, hasActiveRun, activeRunIds }
    const payload = { sessionKey, agentId, ...about, ts: room.now(), ...now, session: row }
    fanout.send('sessions.changed', () => payload, { to: followsSessions })
  }

  async function tellTask(run: string): Promise<void> {
    const view = await house.run(run)
    if (!view) return
    const task = await taskRow(room, view)
    fanout.send('task', () => ({ action: 'upserted', task }), { to: followsTasks })
  }

  function tellMessage(event: Extract<HouseEvent, { on: 'session.message' }>): void {
    const { session: id, sessionKey, agent: agentId, message } = event
    const to = ({ follows }: Connection) => follows.messages.has(sessionKey)
    if (!followed(to)) return
    soon(async () => {
      const [shown] = await chatMessages(house, [message], room.limits.historyChars)
      if (!shown) return
      const session = await house.session(id)
      const payload = {
        sessionKey,
        agentId,
        sessionId: id,
        message: shown,
        messageId: message.id,
        messageSeq: message.seq,
        ts: message.at,
        session: session && (await rowOf(room, session)),
      }
      fanout.send('session.message', () => payload, { to })
    })
  }

  function tellApproval({ phase, approval, at }: Extract<HouseEvent, { on: 'approval' }>): void {
    const exec = approval.kind === 'exec'
    if (phase === 'requested')
      fanout.send(exec ? 'exec.approval.requested' : 'plugin.approval.requested', () =>
        exec ? execRecord(approval) : pluginRecord(approval),
      )
    else
      fanout.send(exec ? 'exec.approval.resolved' : 'plugin.approval.resolved', () => ({
        id: approval.id,
        decision: decisionOf(approval),
        resolvedBy: approval.decidedBy,
        ts: at,
      }))
    const { sessionKey } = approval.question
    const pending = approval.state === 'pending'
    const payload = {
      sessionKey,
      updatedAtMs: at,
      phase: pending ? 'pending' : 'terminal',
      approval: snapshot(approval),
    }
    fanout.send('session.approval', () => payload, { to: ({ follows }) => follows.messages.has(sessionKey) })
  }

  return {
    tell(event) {
      switch (event.on) {
        case 'session.message':
          return tellMessage(event)
        case 'session.changed': {
          if (!followed(followsSessions)) return
          const { session, sessionKey, agent: agentId, reason } = event
          changes.set(session, { sessionKey, agentId, about: { reason } })
          return settle()
        }
        case 'run.state': {
          const { run, session, sessionKey, agent: agentId, wireId: runId } = event
          const phase = phaseOf(event)
          if (followed(followsTasks)) tasks.add(run)
          if (followed(followsSessions)) changes.set(session, { sessionKey, agentId, about: { phase, runId } })
          if (tasks.size + changes.size > 0) settle()
          return
        }
        case 'approval':
          return tellApproval(event)
        case 'run.delta':
        case 'run.thinking':
        case 'run.tool':
        case 'run.turn':
          return
      }
    },
    close() {
      if (timer) clearTimeout(timer)
    },
  }
}
