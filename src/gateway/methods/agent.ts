/**
 * `agent` and `agent.wait` (openclaw-facts.md §C4, decisions.md 3 and 4): a message with two answers, and waiting for one.
 * Owns the shapes of both answers. The house owns idempotency; the wire id is the idempotency key. A silent reply has no words
 * in either (core/silence.ts).
 */
import { isSilent } from '../../core/silence.ts'
import { DeputyError, isErrorCode } from '../../protocol/errors.ts'
import type { Params } from '../../protocol/methods.ts'
import type { AgentDone, AgentWait } from '../../protocol/results.ts'
import type { TurnResult } from '../../sessions/types.ts'
import { type Call, FailedAnswer } from '../dispatch.ts'
import { partsOf } from './parts.ts'
import { keyOf, type Room } from './room.ts'

/** `agent.wait` without a timeout (§C4), ms. */
const waitMs = 30_000
/** A request for a run is answered when the run is; this bounds how long a forgotten one is kept, ms. */
const longestMs = 7 * 24 * 3_600_000

export async function agent(room: Room, params: Params<'agent'>, call: Call): Promise<AgentDone> {
  const sessionKey = await keyOf(room, params)
  const { agentId, model, provider, thinking, timeout } = params
  const route = routeOf(params)
  const accepted = await room.house.accept({
    principal: call.principal,
    method: 'agent',
    sessionKey,
    parts: partsOf(params.message, params.attachments),
    idempotencyKey: params.idempotencyKey,
    ...(agentId === undefined ? {} : { agent: agentId }),
    ...(route ? { route } : {}),
    ...(model === undefined ? {} : { model: provider === undefined ? model : `${provider}/${model}` }),
    ...(thinking === undefined ? {} : { thinking }),
    ...(timeout === undefined ? {} : { timeoutSeconds: timeout }),
  })
  const { wireId: runId, status, run, session, acceptedAt } = accepted
  if (status === 'in_flight') return { runId, status: 'in_flight' }
  if (status !== 'answered') {
    if (status !== 'command') call.connection?.runs.add(run)
    call.first({ runId, sessionKey: session.key, agentId: session.agent, status: 'accepted', acceptedAt })
  }
  const turn = await room.house.wait(runId, { until: 'turn', timeoutMs: longestMs, principal: call.principal })
  if (!turn) throw new DeputyError('UNKNOWN_RUN', `The run ${runId} is not known any more.`)
  return done(turn, runId)
}

function routeOf(params: Params<'agent'>) {
  const channel = params.replyChannel ?? params.channel
  const to = params.replyTo ?? params.to
  if (params.deliver !== true || channel === undefined || to === undefined) return null
  const account = params.replyAccountId ?? params.accountId ?? 'default'
  return params.threadId === undefined ? { channel, account, to } : { channel, account, to, thread: params.threadId }
}

function done(turn: TurnResult, runId: string): AgentDone {
  const { status, usage, model } = turn
  const text = wordsOf(turn)
  const [provider = '', ...name] = model.split('/')
  const { input, output, cacheRead, cacheWrite, costNano } = usage
  const answer: AgentDone = {
    runId,
    status: status === 'pending' ? 'timeout' : status,
    summary: status === 'ok' ? 'completed' : (turn.error ?? turn.outcome ?? status),
    result: {
      payloads: text === null ? [] : [{ text, mediaUrl: null }],
      meta: {
        durationMs: spanOf(turn),
        agentMeta: {
          sessionId: turn.sessionId,
          provider,
          model: name.join('/'),
          usage: { input, output, cacheRead, cacheWrite, total: input + output + cacheRead + cacheWrite, costNano },
        },
        aborted: turn.outcome === 'cancelled',
        ...stopOf(turn),
        yielded: turn.yielded,
        run: turn.run,
        sessionKey: turn.sessionKey,
      },
    },
  }
  if (status !== 'error') return answer
  const code = turn.errorCode !== null && isErrorCode(turn.errorCode) ? turn.errorCode : 'INTERNAL'
  const words = turn.error ?? `the run ended as ${turn.outcome ?? 'failed'}`
  throw new FailedAnswer(
    new DeputyError(code, words, {
      details: { run: turn.run, runId },
      ...(turn.fix === null ? {} : { fix: turn.fix }),
    }),
    answer,
  )
}

function spanOf({ startedAt, endedAt }: TurnResult): number {
  return startedAt === null || endedAt === null ? 0 : Math.max(0, endedAt - startedAt)
}

export async function agentWait(room: Room, params: Params<'agent.wait'>, call: Call): Promise<AgentWait> {
  const { runId, until = 'turn', timeoutMs = waitMs } = params
  const turn = await room.house.wait(runId, { until, timeoutMs, principal: call.principal })
  // A run that nobody knows is answered like one that is not over: the protocol has no other word (§C4).
  if (!turn || turn.status === 'pending') return { runId, status: 'timeout', ...(turn ? whoOf(turn) : {}) }
  const { status, startedAt, endedAt, error, errorCode, fix, yielded, outcome, model, usage } = turn
  const text = wordsOf(turn)
  return {
    runId,
    status,
    ...whoOf(turn),
    ...(startedAt === null ? {} : { startedAt }),
    endedAt: endedAt ?? room.now(),
    ...stopOf(turn),
    yielded,
    ...(outcome === null ? {} : { outcome }),
    ...(text === null ? {} : { text }),
    ...(error === null ? {} : { error }),
    ...(errorCode === null ? {} : { errorCode }),
    ...(fix === null ? {} : { fix }),
    model,
    usage: { ...usage },
  }
}

/** Null when it has said nothing, or that it has nothing to say. */
function wordsOf({ text }: TurnResult): string | null {
  return text === null || text === '' || isSilent(text) ? null : text
}

function whoOf({ run, sessionKey, sessionId, agent }: TurnResult) {
  return { run, sessionKey, sessionId, agentId: agent }
}

/** Why it stopped, in OpenClaw's words; a failure has its error instead. */
function stopOf({ status, outcome }: TurnResult): Pick<AgentWait, 'stopReason'> {
  if (outcome === 'cancelled') return { stopReason: 'aborted' }
  if (status === 'timeout') return { stopReason: 'timeout' }
  return status === 'ok' ? { stopReason: 'stop' } : {}
}
