/**
 * Replies to messages between conversations: the turn that read one has ended, and its sender is told.
 *
 * Owns what becomes of a reply: the answer of the step that waits for it, else a message, else nothing. Runs in the very
 * transaction that ends the turn, so a reply is never lost and never told twice (R9). A sender that was stopped is told nothing.
 */
import type { ToolAnswer } from '../core/ports.ts'
import { accept } from '../core/run/accept.ts'
import type { Effect } from '../core/run/facts.ts'
import { answered } from '../core/run/steps.ts'
import { isSilent } from '../core/silence.ts'
import type { MessageMeta, Run, Session, Step, ToolIntent, Via } from '../core/types.ts'
import { loadPostbox, loadRun, loadSession, loadStep, wordsOfTurn } from '../store/facts.ts'
import type { Tx } from '../store/open.ts'
import { fence } from '../tools/fence.ts'
import { type After, carryOut, merged } from './commit.ts'
import { fresh } from './fresh.ts'
import { trusted } from './reach.ts'
import type { AgentOptions } from './room.ts'
import { sendKey, sendMethod } from './sending.ts'

type Options = Pick<AgentOptions, 'policies'>

/** What `carryOut` does, and telling those who wait for the turns that end by it. */
export async function carryTurn(
  tx: Tx,
  options: Options,
  effects: readonly Effect[],
  about: Parameters<typeof carryOut>[2],
): Promise<After> {
  const after = await carryOut(tx, effects, about)
  let all = after
  for (const call of after.applied.calls) {
    const told = await tellSender(tx, options, call, after, about.at)
    if (told) all = merged(all, told)
  }
  return all
}

async function tellSender(
  tx: Tx,
  options: Options,
  call: After['applied']['calls'][number],
  after: After,
  now: number,
): Promise<After | null> {
  const at = call.key.lastIndexOf('/')
  const [run, n] = [call.key.slice(0, at), Number(call.key.slice(at + 1))]
  const sender = await loadRun(tx, run)
  const home = sender && (await loadSession(tx, sender.session))
  const reader = await loadRun(tx, call.run)
  if (!sender || !home || !reader) return null
  const step = await loadStep(tx, run, n)
  const box = await loadPostbox(tx, home)
  const about = { sessions: [home], runs: box.live ? [box.live] : [], at: now }
  if (sender.state !== 'done' && (step?.state === 'asking' || step?.state === 'open')) {
    const decision = answered(box, { now, key: `answer:${call.key}` })
    return decision.ok ? carryOut(tx, decision.effects, about) : null
  }
  // Late, or never waited for: a message, unless its sender was stopped or is not there to read it.
  const stopped = sender.state === 'done' && sender.outcome !== 'succeeded'
  if (stopped || home.closedAt !== null || (home.depth > 0 && box.live === null)) return null
  const text = replyOf(reader, after.turn?.run.id === reader.id ? after.turn.text : '')
  const via = await viaOf(tx, options, call.key, reader, home)
  if (text === null || via === null || via.hops > options.policies.sharing().maxPingPongTurns) return null
  const decision = accept(box, {
    now,
    messageId: `${call.key}/reply`,
    parts: [{ type: 'text', text }],
    meta: { from: `run:${reader.id}`, via },
    key: `reply:${call.key}`,
    mode: 'steer',
    route: home.route,
    lane: home.depth > 0 ? 'subagent' : 'main',
    fresh: fresh(options, `${run}.${n}r`, home, sender, now),
    task: text.slice(0, 4000),
  })
  return decision.ok ? carryOut(tx, decision.effects, about) : null
}

/** Null when there is nothing to say. */
function replyOf(reader: Run, text: string): string | null {
  if (reader.state === 'done' && reader.outcome !== 'succeeded')
    return `[No reply: its run ended as ${reader.outcome}${reader.error ? `: ${reader.error}` : ''}]`
  const words = text.trim()
  return words === '' || isSilent(words) ? null : words
}

async function viaOf(tx: Tx, options: Options, key: string, reader: Run, home: Session): Promise<Via | null> {
  const from = await loadSession(tx, reader.session)
  const row = await tx
    .selectFrom('inbox')
    .innerJoin('messages', join =>
      join.onRef('messages.session', '=', 'inbox.session').onRef('messages.seq', '=', 'inbox.seq'),
    )
    .select('messages.meta')
    .where('inbox.session', '=', reader.session)
    .where('inbox.key', '=', `send:${key}`)
    .executeTakeFirst()
  const asked = row ? (JSON.parse(row.meta) as MessageMeta).via : undefined
  if (!from || !asked) return null
  return {
    kind: 'inter_session',
    sessionKey: from.key,
    agent: reader.agent,
    run: reader.id,
    tool: 'sessions_send',
    trusted: await trusted(tx, options.policies, { session: from, grant: reader.grant }, home),
    hops: asked.hops + 1,
    expects: 'answer',
  }
}

/** The answer of a `sessions_send` that has waited: the reply, or how things stand without one. */
export async function answerSend(options: AgentOptions, step: Step): Promise<ToolAnswer> {
  const { read } = options.store
  const { timeoutSeconds = 0 } = (step.intent as ToolIntent).args as { timeoutSeconds?: number }
  const row = await read
    .selectFrom('rpc_keys')
    .selectAll()
    .where('key', '=', sendKey(step.run, step.n))
    .where('method', '=', sendMethod)
    .executeTakeFirst()
  const reader = row?.run ? await loadRun(read, row.run) : null
  if (!row || !reader) return say({ status: 'error', error: 'The conversation is gone.' }, true)
  const common = { runId: reader.id, sessionKey: row.session }
  if (row.answered_turn === null) {
    const over = options.clock.now() - (step.startedAt ?? 0) >= timeoutSeconds * 1000
    return say({
      ...common,
      status: over ? 'timeout' : 'accepted',
      note: over
        ? 'It has not answered yet. Its reply comes as a message.'
        : 'A message for you came in while this waited. The reply comes as a message, too.',
    })
  }
  const ended = reader.state === 'done' && reader.outcome !== 'succeeded'
  if (ended && (row.answered_turn >= reader.turn || reader.outcome === 'cancelled'))
    return say({ ...common, status: 'error', error: reader.error ?? reader.outcome }, true)
  const words = (await wordsOfTurn(read, reader, row.answered_turn))?.trim() ?? ''
  if (words === '' || isSilent(words)) return say({ ...common, status: 'no_reply' })
  return say({ ...common, status: 'ok' }, false, fence('reply', row.session, words))
}

function say(what: object, isError = false, besides = ''): ToolAnswer {
  const text = besides ? `${JSON.stringify(what)}\n${besides}` : JSON.stringify(what)
  return { reply: { parts: [{ type: 'text', text }], isError } }
}
