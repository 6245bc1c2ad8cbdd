/**
 * What the tools of a run may know of the house: its sub-agents, other conversations, how things stand.
 *
 * Owns `ToolFacts` (core/ports.ts) over the rows: committed ones only, within reach (reach.ts), with secrets, thinking and all
 * that is too long taken out and said. Changes nothing.
 */
import type { HistoryLine, Maybe, SessionFacts, StatusFacts, ToolFacts } from '../core/ports.ts'
import { left } from '../core/budget.ts'
import { isSilentReply } from '../core/silence.ts'
import type { Message, Part, Run, Session } from '../core/types.ts'
import { finalWords, lastWords, liveRunOf, loadRun, loadSession, messageOf } from '../store/facts.ts'
import { childFacts } from './children.ts'
import { inReach, outOfReach, reaches, sessionByKey } from './reach.ts'
import type { AgentOptions } from './room.ts'
import { veil } from './veil.ts'

const longestBlock = 4000
const longestHistory = 80_000
const mostSessions = 1000

/** Facts of nobody: for a tool that asks for none. */
export const noFacts: ToolFacts = {
  children: async () => [],
  result: async () => null,
  sessions: async () => ({ sessions: [], total: 0 }),
  history: async key => ({ ok: false, problem: `There is no conversation ${key}.` }),
  status: async () => ({ ok: false, problem: 'There is no run.' }),
  agents: () => ({ requester: '', allowAny: false, agents: [] }),
}

export function openFacts(options: AgentOptions, run: Run, self: Session): ToolFacts {
  const { read } = options.store
  const { policies } = options
  const clean = (text: string) => veil(options.secrets.hide(text), policies.sharing().redactPatterns)

  async function find(key: string): Promise<Maybe<Session>> {
    const sharing = policies.sharing()
    const found = await sessionByKey(read, self.agent, key)
    return found && (await reaches(read, sharing, self, found))
      ? { ok: true, found }
      : { ok: false, problem: outOfReach(sharing, self, key) }
  }

  async function views(sessions: readonly Session[]): Promise<SessionFacts[]> {
    if (sessions.length === 0) return []
    const runs = await read
      .selectFrom('runs')
      .select(['session', 'state', 'model'])
      .where(
        'session',
        'in',
        sessions.map(one => one.id),
      )
      .where('state', '<>', 'done')
      .execute()
    const above = sessions.flatMap(one => one.parentSession ?? [])
    const parents =
      above.length === 0
        ? []
        : await read.selectFrom('sessions').select(['id', 'key']).where('id', 'in', above).execute()
    return sessions.map(session => {
      const live = runs.find(one => one.session === session.id)
      return {
        key: session.key,
        agent: session.agent,
        label: session.label,
        kind: session.depth > 0 ? 'subagent' : session.key === `agent:${session.agent}:main` ? 'main' : 'other',
        parent: parents.find(one => one.id === session.parentSession)?.key ?? null,
        state: live ? (live.state as SessionFacts['state']) : 'idle',
        model: live?.model ?? session.settings?.model ?? policies.model(session.agent),
        updatedAt: session.updatedAt,
      }
    })
  }

  const sessions: ToolFacts['sessions'] = async ({ agent, search, activeMinutes, limit }) => {
    const since = activeMinutes === undefined ? 0 : options.clock.now() - activeMinutes * 60_000
    const wanted = search?.toLowerCase()
    const found = (await inReach(read, policies.sharing(), self, mostSessions)).filter(
      one =>
        one.updatedAt >= since &&
        (agent === undefined || one.agent === agent.toLowerCase()) &&
        (wanted === undefined || one.key.includes(wanted) || one.label?.toLowerCase().includes(wanted)),
    )
    return { sessions: await views(found.slice(0, limit)), total: found.length }
  }

  const history: ToolFacts['history'] = async (key, { limit, before, tools }) => {
    const target = await find(key)
    if (!target.ok) return target
    let query = read.selectFrom('messages').selectAll().where('session', '=', target.found.id)
    if (before !== undefined) query = query.where('seq', '<', before)
    if (!tools) query = query.where('role', '<>', 'toolResult')
    const rows = await query
      .orderBy('seq', 'desc')
      .limit(limit + 1)
      .execute()
    const lines: HistoryLine[] = []
    let size = 0
    let more = rows.length > limit
    for (const row of rows.slice(0, limit)) {
      const message = messageOf(row)
      const line = isSilentReply(message) ? null : lineOf(message, tools, clean)
      if (!line) continue
      size += line.text.length
      if (size > longestHistory) {
        more = true
        break
      }
      lines.push(line)
    }
    return { ok: true, found: { key: target.found.key, lines: lines.reverse(), more } }
  }

  const status: ToolFacts['status'] = async key => {
    const target = key === null ? { ok: true as const, found: self } : await find(key)
    if (!target.ok) return target
    const session = (await loadSession(read, target.found.id)) ?? target.found
    const [view] = await views([session])
    const live = await liveRunOf(read, session.id)
    const used = await read
      .selectFrom('usage')
      .select(eb => [eb.fn.sum('charged_tokens').as('tokens'), eb.fn.sum('charged_nano').as('nano')])
      .where('run', 'in', eb => eb.selectFrom('runs').select('id').where('session', '=', session.id))
      .executeTakeFirst()
    const found: StatusFacts = {
      ...view!,
      run: live?.id ?? null,
      thinking: session.settings?.thinking ?? live?.terms?.thinking ?? policies.thinking(session.agent),
      depth: session.depth,
      tools: live?.grant.tools ?? [],
      startedAt: live?.startedAt ?? null,
      deadlineAt: live?.deadlineAt ?? null,
      tokens: Number(used?.tokens ?? 0),
      costNano: Number(used?.nano ?? 0),
      left: live ? left({ limit: live.grant.budget, spent: live.spent, lent: live.lent }) : null,
    }
    return { ok: true, found }
  }

  const result: ToolFacts['result'] = async id => {
    const child = await loadRun(read, id)
    if (!child || child.parent !== run.id) return null
    const text = (await finalWords(read, child)) ?? (await lastWords(read, child))?.text ?? null
    const posted = await read
      .selectFrom('messages')
      .innerJoin('inbox', join =>
        join.onRef('inbox.session', '=', 'messages.session').onRef('inbox.seq', '=', 'messages.seq'),
      )
      .select('messages.meta')
      .where('inbox.session', '=', self.id)
      .where('inbox.key', '=', `result:${id}`)
      .executeTakeFirst()
    const evidence = posted ? ((JSON.parse(posted.meta) as Message['meta']).child?.evidence ?? []) : []
    return { outcome: child.outcome, error: child.error, evidence, text: text === null ? null : clean(text) }
  }

  return {
    children: minutes => childFacts(read, run.id, minutes, options.clock.now()),
    result,
    sessions,
    history,
    status,
    agents: () => ({
      requester: run.agent,
      allowAny: run.grant.agents === '*',
      agents: policies.agents().filter(agent => run.grant.agents === '*' || run.grant.agents.includes(agent.id)),
    }),
  }
}

function lineOf(message: Message, tools: boolean, clean: (text: string) => string): HistoryLine | null {
  const { seq, at, role, meta } = message
  const calls = tools
    ? message.parts.flatMap(part => (part.type === 'toolCall' ? [`→ ${part.name}(${short(part)})`] : []))
    : []
  const images = message.parts.filter(part => part.type === 'image').map(() => '[image]')
  const said = [wordsOf(message.parts), ...images, ...calls].filter(Boolean).join('\n')
  const text = cut(clean(said))
  if (!text) return null
  const from = meta.child ? `sub-agent ${meta.child.agent}` : meta.via ? meta.via.sessionKey : undefined
  return {
    seq,
    role: role === 'toolResult' ? 'tool' : role,
    at,
    text,
    ...(from ? { from } : {}),
    ...(meta.toolName ? { tool: meta.toolName } : {}),
  }
}

function short(part: Part & { type: 'toolCall' }): string {
  const text = JSON.stringify(part.arguments ?? {})
  return text.length > 300 ? `${text.slice(0, 300)}…` : text
}

function cut(text: string): string {
  return text.length > longestBlock
    ? `${text.slice(0, longestBlock)}\n[… ${text.length - longestBlock} characters more]`
    : text
}

function wordsOf(parts: readonly Part[]): string {
  return parts.flatMap(part => (part.type === 'text' && part.text ? [part.text] : [])).join('\n')
}
