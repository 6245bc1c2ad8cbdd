/**
 * What the tools of a run may know of the house: its sub-agents, other conversations, how things stand.
 *
 * Owns `ToolFacts` (core/ports.ts) over the rows: committed ones only, within reach (reach.ts), with secrets, thinking and all
 * that is too long taken out and said. Changes nothing.
 */
import type { HistoryLine, Maybe, StatusFacts, ToolFacts } from '../core/ports.ts'
import { left } from '../core/budget.ts'
import { isSilentReply } from '../core/silence.ts'
import type { Message, Part, Run, Session } from '../core/types.ts'
import { finalWords, lastWords, liveRunOf, loadRun, loadSession, messageOf } from '../store/facts.ts'
import { conversationChildren } from './children.ts'
import { firstWords, listSessions, sessionViews } from './listing.ts'
import { inReach, outOfReach, reaches, sessionByKey } from './reach.ts'
import type { AgentOptions } from './room.ts'
import { veil } from './veil.ts'

const longestBlock = 4000
const longestHistory = 80_000
const mostSessions = 1000
/** Of the newest words of a conversation in a list. */
const lastLength = 200

/** Facts of nobody: for a tool that asks for none. */
export const noFacts: ToolFacts = {
  self: '',
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

  const views = (sessions: readonly Session[]) => sessionViews(read, policies, sessions)

  const sessions: ToolFacts['sessions'] = async filter => {
    const found = await inReach(read, policies.sharing(), self, mostSessions)
    const { listed, total } = await listSessions(read, found, filter, options.clock.now())
    const shown = await views(listed)
    let room = longestHistory
    for (const [at, session] of listed.entries()) {
      const row = shown[at]!
      if (filter.titles) row.title = clean(await firstWords(read, session.id))
      const wanted = filter.messages ?? (filter.last ? 1 : 0)
      if (wanted === 0 || room <= 0) continue
      const { lines } = await page(session, { limit: wanted, tools: false })
      room -= lines.reduce((sum, line) => sum + line.text.length, 0)
      if (filter.last) row.last = lines.at(-1)?.text.slice(0, lastLength) ?? ''
      if (filter.messages) row.messages = lines
    }
    return { sessions: shown, total }
  }

  /** Messages that show nothing (tools that are left out, silent replies) take no place in it. */
  async function page(
    session: Session,
    { limit, before, skip = 0, tools }: Parameters<ToolFacts['history']>[1],
  ): Promise<{ lines: HistoryLine[]; more: boolean }> {
    let query = read.selectFrom('messages').selectAll().where('session', '=', session.id)
    if (before !== undefined) query = query.where('seq', '<', before)
    if (!tools) query = query.where('role', '<>', 'toolResult')
    const rows = await query
      .orderBy('seq', 'desc')
      .limit(limit + 1)
      .offset(skip)
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
    return { lines: lines.reverse(), more }
  }

  const history: ToolFacts['history'] = async (key, how) => {
    const target = await find(key)
    if (!target.ok) return target
    return { ok: true, found: { key: target.found.key, ...(await page(target.found, how)) } }
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
    const home = child && (await loadSession(read, child.session))
    if (!child || home?.parentSession !== self.id) return null
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
    self: self.key,
    children: minutes => conversationChildren(read, { session: self.id, run: run.id }, minutes, options.clock.now()),
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
  const files = message.parts.flatMap(part =>
    part.type === 'image' || part.type === 'audio' ? [`[${part.type}]`] : [],
  )
  const said = [wordsOf(message.parts), ...files, ...calls].filter(Boolean).join('\n')
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
