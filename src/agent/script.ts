/**
 * What one worker's model sees, kept in step with the rows: transcript, system prompt, tools.
 *
 * Owns a copy of the session's shown rows for the life of one claim, so that a step needs no second reading of the
 * transcript. The rows stay the truth: the copy is made from them at the claim and changed only by effects. Adding the same
 * effects twice changes nothing, since a transaction's body may run twice.
 */
import { join } from 'node:path'
import { spawnable } from '../core/grant.ts'
import type { ModelMessage, ModelRequest, ResolvedModel, ToolView } from '../core/ports.ts'
import type { Message, Run, Session, View } from '../core/types.ts'
import { viewWords } from '../core/view.ts'
import { messageOf } from '../store/facts.ts'
import type { Tx } from '../store/open.ts'
import type { After } from './commit.ts'
import { estimateTokens, inOrder, modelMessages, systemPrompt } from './context.ts'
import type { EndIds } from './ending.ts'
import type { AgentOptions } from './room.ts'

export type Plan =
  | {
      ok: true
      request: Omit<ModelRequest, 'signal' | 'maxTokens'> & { maxTokens: number; signal: AbortSignal }
      model: ResolvedModel
      toolsJson: string
      upto: number
    }
  | { ok: false; reason: string; fix: string }

export interface Script {
  /** Ids for the case that the next step can't be taken. */
  ids: EndIds & { question: string }
  view(run: Run): ToolView
  /** What the model has been shown of the conversation so far. */
  shown(): { messages: number; tokens: number }
  /** What a summary may be made of: the view shown now, and the messages that follow it, in order. */
  whole(): { view: View | null; rows: readonly Message[] }
  /** The next model call, showing `rows` for the first time, and `note` for now. */
  plan(run: Run, rows: readonly Message[], note: string | null): Plan
  /** Takes over what a decision has added to the transcript. */
  add(after: After): void
}

const never = new AbortController().signal

/** What a model of this session has been shown so far, as far as no summary stands for it. */
export async function seenMessages(tx: Tx, session: string, view: View | null): Promise<Message[]> {
  return (await tx.ask(seen, session, view?.after ?? 0)).map(messageOf)
}

const seen = (db: Tx, session: string, after: number) =>
  db.selectFrom('messages').selectAll().where('session', '=', session).where('ord', '>', after).orderBy('seq')

export interface ScriptFacts {
  run: Run
  session: Session
  /** Stands for the messages before `seen`; null when those are all. */
  view: View | null
  seen: readonly Message[]
  /** AGENTS.md of the agent's workspace. */
  guide: string | null
  ids: EndIds & { question: string }
}

export function openScript(
  options: AgentOptions,
  { run, session, view: first, seen, guide, ids }: ScriptFacts,
): Script {
  const rows = new Map(seen.map(row => [row.id, row]))
  const { settings } = session
  const facts = options.policies.prompt(run.agent)
  const workspace = run.terms?.cwd ? join(facts.workspace, run.terms.cwd) : facts.workspace
  let showing: readonly Message[] = []
  let current = first

  function view(now: Run): ToolView {
    const agents = spawnable(now.grant, options.policies.spawn(now.agent))
    const canSpawn = now.grant.depth > 0 && agents.length > 0 && now.grant.tools.includes('sessions_spawn')
    return {
      agents,
      canSpawn,
      attachments: options.policies.sharing().attachments !== null,
      chats: options.chats.any(),
    }
  }

  function soFar(): { messages: number; tokens: number } {
    const messages = asShown(inOrder([...new Map([...rows, ...showing.map(row => [row.id, row] as const)]).values()]))
    return { messages: messages.length, tokens: estimateTokens('', messages, '') }
  }

  function asShown(shown: readonly Message[]): ModelMessage[] {
    const messages = modelMessages(shown)
    if (current === null) return messages
    return [{ role: 'user', parts: [{ type: 'text', text: viewWords(current) }] }, ...messages]
  }

  function plan(now: Run, fresh: readonly Message[], note: string | null): Plan {
    const model = options.models.resolve(now.model, now.agent)
    if (!model.ok) return model
    showing = fresh
    const tools = view(now)
    const names = now.terms?.forked ?? now.grant.tools.filter(name => name !== 'sessions_spawn' || tools.canSpawn)
    const { specs, json } = options.tools.specs(names, tools)
    const shown = [...inOrder([...rows.values()]), ...fresh]
    const asked = shown.findLast(row => row.role === 'user' && row.meta.child === undefined)?.meta.thinking
    const thinking = asked ?? settings?.thinking ?? now.terms?.thinking ?? options.policies.thinking(now.agent)
    return {
      ok: true,
      model: model.model,
      toolsJson: json,
      upto: shown.reduce((max, row) => Math.max(max, row.seq), 0),
      request: {
        model: model.model.ref,
        agent: now.agent,
        system: systemPrompt({
          ...facts,
          workspace,
          guide: run.terms?.light ? null : guide,
          // A copy has the prompt of what it was copied from, so that a provider finds it in its cache: what is different
          // stands with its task.
          depth: now.depth - (now.terms?.forked ? 1 : 0),
          maxDepth: options.policies.maxDepth(now.agent),
          canSpawn: tools.canSpawn,
        }),
        messages: asShown(shown),
        tools: specs,
        maxTokens: model.model.maxTokens,
        ...(thinking === null ? {} : { thinking }),
        ...(note === null ? {} : { note }),
        cacheKey: now.session,
        ...groupOf(now),
        signal: never,
      },
    }
  }

  /** Sub-agents of one kind begin with the same words; a copy of a person's conversation begins like that. */
  function groupOf(now: Run): { cacheGroup?: string } {
    if (now.depth === 0) return {}
    if (now.terms?.forked && now.depth === 1 && session.parentSession) return { cacheGroup: session.parentSession }
    return { cacheGroup: `${now.tree.slice(-24)}/${now.agent.slice(0, 32)}` }
  }

  function add(after: After): void {
    for (const effect of after.effects) {
      if (effect.do === 'inbox.mark' && effect.session === runSession && effect.ord !== null) {
        for (const row of showing) rows.set(row.id, { ...row, ord: effect.ord })
      }
      if (effect.do === 'message.put' && effect.message.session === runSession && effect.message.ord !== null)
        rows.set(effect.message.id, effect.message)
      if (effect.do === 'view.put' && effect.view.session === runSession) {
        current = effect.view
        for (const [id, row] of rows) if (row.ord !== null && row.ord <= current.after) rows.delete(id)
      }
    }
  }

  const runSession = run.session
  const whole = () => ({ view: current, rows: inOrder([...rows.values()]) })
  return { ids, view, shown: soFar, whole, plan, add }
}
