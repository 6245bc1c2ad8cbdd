/**
 * Whether a call is made, refused or asked about: policy, what was allowed for good, and the chat that is asked.
 *
 * Owns gathering what core/approval.ts decides on, inside the transaction that stores the reply. Asks nobody itself: an
 * approval is a row and an outbox row of that transaction.
 */
import { type Approval, type AskVerdict, asksAnything, chatsFor, type Remembered, verdictOf } from '../core/approval.ts'
import type { Tool } from '../core/ports.ts'
import type { Route, Run, Session } from '../core/types.ts'
import { rememberedOfAgent } from '../store/approvals.ts'
import { loadRun, loadSession } from '../store/facts.ts'
import type { Tx } from '../store/open.ts'
import type { Policies } from './room.ts'

export interface Asker {
  /** Of a spawn, `agent` is who would run. */
  verdict(tool: Tool, args: unknown, agent: string | null): Promise<AskVerdict>
  approval(verdict: AskVerdict & { do: 'ask' }, at: { id: string; step: number; now: number }): Promise<Approval>
}

/** Where nothing is ever asked about a reply costs nothing more. */
export function openAsker(tx: Tx, policies: Policies, run: Run, session: Session): Asker {
  const policy = policies.asking(run.agent)
  const known = new Map<string, readonly Remembered[]>()
  const found: { route?: Route | null } = {}

  async function rememberedBy(agent: string): Promise<void> {
    if (!known.has(agent)) known.set(agent, await rememberedOfAgent(tx, agent))
  }

  return {
    async verdict(tool, args, agent) {
      const target = agent === null ? null : { agent, exec: policies.asking(agent).exec }
      const strict = target !== null && asksAnything({ ...policies.asking(target.agent), tools: [] })
      if (!asksAnything(policy) && !strict) return { do: 'go' }
      await rememberedBy(run.agent)
      if (target) await rememberedBy(target.agent)
      const call = {
        tool: { name: tool.name, group: tool.group },
        args: (args ?? {}) as Record<string, unknown>,
        ...(target ? { target } : {}),
      }
      return verdictOf(policy, call, (kind, pattern, of = run.agent) =>
        (known.get(of) ?? []).some(one => one.kind === kind && one.pattern === pattern),
      )
    },
    async approval({ do: _do, kind, ...asked }, { id, step, now }) {
      if (found.route === undefined) found.route = await routeOf(tx, run, session)
      const { route } = found
      return {
        id,
        run: run.id,
        step,
        session: session.id,
        kind,
        question: {
          agent: run.agent,
          sessionKey: session.key,
          tool: kind === 'spawn' ? 'sessions_spawn' : kind === 'exec' ? 'exec' : asked.remembers,
          ...asked,
          chats: chatsFor(policy, kind, { route, sessionKey: session.key }),
        },
        state: 'pending',
        route,
        deadlineAt: now + policy.timeoutMs,
        decidedBy: null,
        decidedAt: null,
        createdAt: now,
      }
    },
  }
}

/** The chat that the work came from: of the run itself, else of the nearest ancestor that has one. */
export async function routeOf(tx: Tx, run: Run, session: Session): Promise<Route | null> {
  let at: { run: Run; session: Session } | null = { run, session }
  while (at) {
    const route: Route | null = at.run.route ?? at.session.route
    if (route !== null) return route
    const parent: Run | null = at.run.parent === null ? null : await loadRun(tx, at.run.parent)
    const home: Session | null = parent && (await loadSession(tx, parent.session))
    if (!parent || !home) {
      // Detached work answers to the session of its return address.
      const back: Session | null = at.run.returnTo === null ? null : await loadSession(tx, at.run.returnTo)
      return back?.route ?? null
    }
    at = { run: parent, session: home }
  }
  return null
}
