/**
 * The health and status answers (openclaw-facts.md §C4). Owns their shape and a short memory: however many ask, the house
 * is counted at most once a second. Reads committed rows only; never asks a provider or a service.
 */
import type { AccountView } from '../core/chat.ts'
import type { Clock } from '../core/ports.ts'
import type { Session } from '../core/types.ts'
import type { Health, SessionCount, Status } from '../protocol/results.ts'
import type { House } from '../sessions/types.ts'
import type { ChatRoom } from './rooms.ts'
import type { Facts } from './types.ts'

/** What hello shows of the house. */
export interface Glance {
  health: Health
  modelConfigured: boolean
}

export interface HealthDesk {
  health(): Promise<Health>
  glance(): Promise<Glance>
  status(connections: number): Promise<Status>
}

const freshMs = 1_000
const recentCount = 5
/** What stands where OpenClaw has the path of a session file. */
const path = '(database)'

export function makeHealthDesk(options: {
  house: House
  facts: Facts
  chats: Pick<ChatRoom, 'list'>
  clock: Clock
  version: string
  startedAt: number
}): HealthDesk {
  const { house, facts, chats, clock, version, startedAt } = options
  let last: { at: number; answer: Promise<Glance> } | null = null

  async function countSessions(agent?: string): Promise<SessionCount> {
    const filter = { limit: recentCount, offset: 0, includeSubagents: agent !== undefined }
    const { sessions, total } = await house.sessions(agent === undefined ? filter : { ...filter, agent })
    return { path, count: total, recent: sessions.map(recentOf) }
  }

  function recentOf({ key, updatedAt }: Session): SessionCount['recent'][number] {
    return { key, updatedAt, age: Math.max(0, clock.now() - updatedAt) }
  }

  /** Accounts that are switched on and not connected count as trouble once they say why. */
  function problems(): Health['problems'] {
    const troubled = chats.list().flatMap(({ channel, account, enabled, status: { problem } }) => {
      const where = account === 'default' ? channel : `${channel} (${account})`
      return enabled && problem ? [{ code: problem.code, message: `${where}: ${problem.message}` }] : []
    })
    return [...facts.problems(), ...troubled]
  }

  function channels(): Pick<Health, 'channels' | 'channelOrder' | 'channelLabels'> {
    const views = chats.list()
    const order = [...new Set(views.map(({ channel }) => channel))]
    const of = (channel: string) => views.filter(view => view.channel === channel)
    return {
      channels: Object.fromEntries(
        order.map(channel => [
          channel,
          {
            configured: of(channel).some(({ configured }) => configured),
            connected: of(channel).some(({ status }) => status.state === 'connected'),
            accounts: Object.fromEntries(of(channel).map(({ account, status }) => [account, { state: status.state }])),
          },
        ]),
      ),
      channelOrder: order,
      channelLabels: Object.fromEntries(views.map(({ channel, label }) => [channel, label])),
    }
  }

  async function count(): Promise<Glance> {
    const began = performance.now()
    const defaultAgentId = facts.defaultAgent()
    const agents = await Promise.all(
      facts.agents().map(async ({ id, name }) => ({
        agentId: id,
        ...(name === undefined ? {} : { name }),
        isDefault: id === defaultAgentId,
        heartbeat: { enabled: false, every: 'disabled', everyMs: null },
        sessions: await countSessions(id),
      })),
    )
    const sessions = await countSessions()
    const health: Health = {
      ok: true,
      ts: clock.now(),
      durationMs: Math.round(performance.now() - began),
      ...channels(),
      heartbeatSeconds: 0,
      defaultAgentId,
      agents,
      sessions,
      plugins: { loaded: [], errors: [], unavailable: [] },
      configReload: { hotReloadStatus: facts.configFails() ? 'failing' : 'active' },
      problems: problems(),
    }
    return { health, modelConfigured: facts.defaultModel() !== null }
  }

  const desk: HealthDesk = {
    async health() {
      return (await desk.glance()).health
    },
    glance() {
      const now = clock.now()
      if (!last || now - last.at >= freshMs || now < last.at) {
        last = { at: now, answer: count() }
        // A failed count is not kept; whoever asked sees the failure.
        last.answer.catch(() => (last = null))
      }
      return last.answer
    },
    async status(connections) {
      const [health, counts] = await Promise.all([desk.health(), house.counts()])
      const model = facts.defaultModel()
      const { queued = 0, running = 0, waiting = 0 } = counts.runs
      const memory = process.memoryUsage()
      return {
        runtimeVersion: version,
        pid: process.pid,
        uptimeMs: Math.max(0, clock.now() - startedAt),
        heartbeat: { defaultAgentId: health.defaultAgentId, agents: [] },
        channelSummary: chats.list().map(summary),
        queuedSystemEvents: [],
        tasks: {
          total: Object.values(counts.runs).reduce((sum, n) => sum + n, 0),
          active: queued + running + waiting,
          queued,
          running,
          waiting,
        },
        sessions: {
          paths: [path],
          count: counts.sessions,
          defaults: {
            model: model ? `${model.provider}/${model.model}` : null,
            contextTokens: model?.contextWindow ?? null,
          },
          recent: health.sessions.recent,
          byAgent: health.agents.map(({ agentId, sessions }) => ({ agentId, count: sessions.count })),
        },
        processMemory: { rss: memory.rss, heapUsed: memory.heapUsed },
        connections,
        deadLetters: counts.deadLetters,
        deadLetterRuns: counts.deadRuns,
        outbox: counts.outbox,
        problems: problems(),
      }
    },
  }
  return desk
}

function summary({ label, account, enabled, status }: AccountView): string {
  const name = account === 'default' ? label : `${label} (${account})`
  if (!enabled) return `${name}: switched off`
  return `${name}: ${status.state}${status.self === null ? '' : ` as ${status.self}`}`
}
