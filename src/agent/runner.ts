/**
 * The workers of this process: claims runs that the engine hands over, drives each through the loop, stops them.
 *
 * Owns the signals of calls in flight and what happens to a worker that fails. Invariants: an error ends at most the run it
 * belongs to; a run that ended under another hand has its worker stopped; signals follow the rows, never lead them.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { DeputyError } from '../protocol/errors.ts'
import type { ToolAnswer, ToolContext } from '../core/ports.ts'
import type { Run, Step, ToolIntent } from '../core/types.ts'
import { chosenOf } from '../tools/subagents.ts'
import { answerSend } from './answering.ts'
import { openCanceller } from './cancel.ts'
import { asAnswer, isCheck, lookAtResult } from './checking.ts'
import { childAnswer, childFacts } from './children.ts'
import { type Claimed, openDesk, type WorkerDesk } from './desk.ts'
import type { Early, Expected } from './early.ts'
import { failRun } from './ending.ts'
import { callRun } from './holding.ts'
import { type Hands, work } from './loop.ts'
import type { AgentOptions, Bells } from './room.ts'

/** The engine's slots, as far as a runner needs them. */
export type Reserve = (
  run: Expected,
) => { begin(run: Pick<Run, 'id' | 'lane' | 'tree' | 'agent' | 'woken' | 'queuedAt'>): void; free(): void } | null

export interface Runner {
  /** Claims and drives one run until it rests. Never rejects. */
  drive(run: Pick<Run, 'id' | 'agent'>): Promise<void>
  /** Breaks off the model call in flight, so that the run reads what has just come in. */
  interrupt(run: string): void
  /** For a run that is about to be made (early.ts). */
  early: Early
  /** Stops the workers of runs that have ended. */
  ended(runs: readonly string[]): void
  cancel: ReturnType<typeof openCanceller>
  /** Runs that a worker of this process holds. */
  active(): number
  /** Breaks everything off and waits for the workers; rows stay as they are, for the next start. */
  stop(): Promise<void>
}

/** How long a stop waits for workers. */
const stopMs = 3000

interface Worker {
  run: AbortController
  model: AbortController
  done: Promise<void>
}

/** `reserve` keeps a slot for a run that is about to be made. */
export function openRunner(options: AgentOptions, bells: Bells, reserve: Reserve = () => null): Runner {
  const workers = new Map<string, Worker>()
  /** Taken in the transaction that made them, and not yet driven. */
  const begun = new Map<string, WorkerDesk>()
  let stopping = false

  options.models.line.onCall(run => void callRun(options, bells, run))

  const cancel = openCanceller(options, bells, { settled: runs => settled(runs) })

  function drive(run: Pick<Run, 'id' | 'agent'>): Promise<void> {
    if (stopping) return Promise.resolve()
    const before = workers.get(run.id)
    if (before) return before.done.then(() => drive(run))
    const worker: Worker = { run: new AbortController(), model: new AbortController(), done: Promise.resolve() }
    workers.set(run.id, worker)
    worker.done = drives(run, worker).finally(() => workers.delete(run.id))
    return worker.done
  }

  function deskOf({ id: runId, agent }: Pick<Run, 'id' | 'agent'>): WorkerDesk {
    // Its own end needs no signal: the worker that made it comes to rest.
    const others: Bells = { ...bells, ended: runs => bells.ended(runs.filter(id => id !== runId)) }
    return openDesk({ options, bells: others, early, cancelChildren }, runId, agent)
  }

  const early: Early = async run => {
    const slot = stopping ? null : reserve(run)
    if (!slot) return null
    const desk = deskOf(run)
    let claiming: Awaited<ReturnType<WorkerDesk['claiming']>>
    try {
      claiming = await desk.claiming()
    } catch {
      // The same will be met by whoever claims it later, and is told there.
      slot.free()
      return null
    }
    let claimed: Claimed | null = null
    let failed = false
    return {
      start() {
        claimed = null
        failed = false
        return async (tx, is) => {
          failed = true
          is('claim')
          claimed = await claiming(tx, is)
          failed = false
        }
      },
      failed: () => failed,
      settled() {
        if (claimed === null) return false
        desk.begun(claimed)
        begun.set(run.id, desk)
        return true
      },
      begin() {
        // It has ended by somebody's hand since, or the gateway stops: the rows say so.
        if (claimed === null || !begun.has(run.id) || stopping) slot.free()
        else slot.begin(claimed.run)
      },
      leave: () => slot.free(),
    }
  }

  async function drives({ id: runId, agent }: Pick<Run, 'id' | 'agent'>, worker: Worker): Promise<void> {
    const { line } = options.models
    line.arrive(runId)
    const desk = begun.get(runId) ?? deskOf({ id: runId, agent })
    begun.delete(runId)
    const hands: Hands = {
      models: options.models,
      crash: options.crash,
      async call(step, context) {
        const answer = await carriedOut(options, step, context)
        leaving()
        return answer
      },
      delta(step, kind, text, delta, replace) {
        const state = desk.state()
        if (!state) return
        const about = {
          run: step.run,
          session: state.session.id,
          sessionKey: state.session.key,
          agent: state.run.agent,
          wireId: state.wireId,
          text,
          delta,
        }
        options.tell(
          kind === 'text' ? { on: 'run.delta', ...about, step: step.n, replace } : { on: 'run.thinking', ...about },
        )
      },
    }
    try {
      const brokenOff: typeof desk.brokenOff = () => {
        leaving()
        return desk.brokenOff()
      }
      await work({ ...desk, brokenOff }, hands, kind => {
        leaving()
        if (kind === 'tool') return worker.run.signal
        worker.model = new AbortController()
        return AbortSignal.any([worker.run.signal, worker.model.signal])
      })
    } catch (error) {
      if (stopping || worker.run.signal.aborted) return
      if (desk.state() === null && isPassing(error)) {
        // Nothing was claimed: the row is as it was, and the engine comes again when the store takes writes.
        options.log(`run ${runId} could not begin: ${(error as Error).message}`)
        return
      }
      await failRun(options, bells, runId, error)
    } finally {
      line.rest(runId)
    }
  }

  /** A cancel that can't be recorded now is an answer to the model, not the end of its run. */
  function cancelChildren(parent: Run, targets: readonly string[]): Promise<string> {
    return cancel.children(parent, targets).catch((error: unknown) => {
      if (!isPassing(error)) throw error
      return JSON.stringify({ status: 'error', ...(error as DeputyError).shape() })
    })
  }

  /** What is broken off by the gateway's own stop stays as it is in the rows, for the next start. */
  function leaving(): void {
    if (stopping) throw new DeputyError('GATEWAY_STOPPING', 'The gateway is shutting down.')
  }

  function stopWorker(runId: string): void {
    workers.get(runId)?.run.abort(new DeputyError('RUN_CANCELLED', `run ${runId} has ended`))
  }

  async function settled(runs: readonly string[]): Promise<void> {
    await Promise.all(runs.map(id => workers.get(id)?.done))
  }

  return {
    drive,
    interrupt: runId => workers.get(runId)?.model.abort(new DeputyError('RUN_STALE', 'a newer message waits')),
    ended: runs => {
      for (const id of runs) {
        options.models.line.leave(id)
        begun.delete(id)
        stopWorker(id)
      }
    },
    early,
    cancel,
    active: () => workers.size,
    async stop() {
      stopping = true
      for (const id of workers.keys()) stopWorker(id)
      const all = Promise.all([...workers.values()].map(worker => worker.done))
      // A tool that does not let go, or a write that waits for room on the disk, must not hold up the end.
      await Promise.race([all, sleep(stopMs, undefined, { ref: false })])
      if (workers.size > 0) options.log(`${workers.size} runs were left in the middle; they go on at the next start`)
    },
  }
}

/** The store can't write now, and says when it can again. */
function isPassing(error: unknown): boolean {
  return error instanceof DeputyError && (error.code === 'DISK_FULL' || error.code === 'STORE_LOST_GROUP')
}

/** Whatever is to be done in a step: a wait answered, a result checked, a tool called. */
async function carriedOut(options: AgentOptions, step: Step, context: ToolContext): Promise<ToolAnswer> {
  if (isCheck(step)) return asAnswer(await lookAtResult(options, step, context))
  if (step.state !== 'asking') return callTool(options, step, context)
  return step.name === 'sessions_send' ? answerSend(options, step) : answerWait(options, step)
}

/** How the sub-agents that a call waited for stand now. */
async function answerWait(options: AgentOptions, step: Step): Promise<ToolAnswer> {
  const { targets = ['all'] } = (step.intent as ToolIntent).args as { targets?: readonly string[] }
  const children = await childFacts(options.store.read, step.run, options.clock.now())
  // "all" were all at the time: those that have ended since belong to them.
  const chosen = targets.includes('all') ? null : chosenOf(targets, children)
  const asked = chosen?.ok ? chosen.children : children
  return { reply: { parts: [{ type: 'text', text: childAnswer(asked) }], isError: false } }
}

/** The call as the model made it, secrets put back; whatever the tool throws is its answer, not the run's end. */
async function callTool(options: AgentOptions, step: Step, context: ToolContext): Promise<ToolAnswer> {
  const intent = step.intent as ToolIntent
  const tool = options.tools.get(step.name)
  if (!tool) return problem(`There is no tool ${step.name} any more.`)
  const args = options.secrets.reveal(intent.args ?? {})
  try {
    return await tool.run(args, context)
  } catch (error) {
    if (context.signal.aborted) throw error
    options.log(`tool ${step.name} of run ${step.run}: ${error instanceof Error ? error.message : String(error)}`)
    return problem(
      error instanceof DeputyError
        ? `${error.message} ${error.fix}`
        : `${step.name} failed: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
}

function problem(text: string): ToolAnswer {
  return { reply: { parts: [{ type: 'text', text }], isError: true } }
}
