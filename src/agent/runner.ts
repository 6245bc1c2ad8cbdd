/**
 * The workers of this process: claims runs that the engine hands over, drives each through the loop, stops them.
 *
 * Owns the signals of calls in flight and what happens to a worker that fails. Invariants: an error ends at most the run it
 * belongs to; a run that ended under another hand has its worker stopped; signals follow the rows, never lead them.
 */
import { DeputyError } from '../protocol/errors.ts'
import type { ToolAnswer } from '../core/ports.ts'
import type { Step, ToolIntent } from '../core/types.ts'
import { loadRun } from '../store/facts.ts'
import { openCanceller } from './cancel.ts'
import { childAnswer, childFacts } from './children.ts'
import { announce } from './commit.ts'
import { openDesk } from './desk.ts'
import { endIds, endRun } from './ending.ts'
import { type Hands, work } from './loop.ts'
import type { AgentOptions, Bells } from './room.ts'

export interface Runner {
  /** Claims and drives one run until it rests. Never rejects. */
  drive(run: string): Promise<void>
  /** Breaks off the model call in flight, so that the run reads what has just come in. */
  interrupt(run: string): void
  /** Stops the workers of runs that have ended. */
  ended(runs: readonly string[]): void
  cancel: ReturnType<typeof openCanceller>
  /** Runs that a worker of this process holds. */
  active(): number
  /** Breaks everything off and waits for the workers; rows stay as they are, for the next start. */
  stop(): Promise<void>
}

interface Worker {
  run: AbortController
  model: AbortController
  done: Promise<void>
}

export function openRunner(options: AgentOptions, bells: Bells): Runner {
  const workers = new Map<string, Worker>()
  let stopping = false

  const cancel = openCanceller(options, bells, { settled: runs => settled(runs) })

  function drive(runId: string): Promise<void> {
    if (stopping) return Promise.resolve()
    const before = workers.get(runId)
    if (before) return before.done.then(() => drive(runId))
    const worker: Worker = { run: new AbortController(), model: new AbortController(), done: Promise.resolve() }
    workers.set(runId, worker)
    worker.done = drives(runId, worker).finally(() => workers.delete(runId))
    return worker.done
  }

  async function drives(runId: string, worker: Worker): Promise<void> {
    const desk = openDesk({ options, bells, cancelChildren: (run, targets) => cancel.children(run, targets) }, runId)
    const hands: Hands = {
      models: options.models,
      crash: options.crash,
      async call(step, context) {
        const answer = await (step.state === 'asking' ? answerAsk(step) : callTool(options, step, context))
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
        options.tell(kind === 'text' ? { on: 'run.delta', ...about, replace } : { on: 'run.thinking', ...about })
      },
    }
    try {
      const brokenOff: typeof desk.brokenOff = step => {
        leaving()
        return desk.brokenOff(step)
      }
      await work({ ...desk, brokenOff }, hands, kind => {
        leaving()
        if (kind === 'tool') return worker.run.signal
        worker.model = new AbortController()
        return AbortSignal.any([worker.run.signal, worker.model.signal])
      })
    } catch (error) {
      if (stopping || worker.run.signal.aborted) return
      await fail(runId, error)
    }
  }

  /** What is broken off by the gateway's own stop stays as it is in the rows, for the next start. */
  function leaving(): void {
    if (stopping) throw new DeputyError('GATEWAY_STOPPING', 'The gateway is shutting down.')
  }

  /** A fault of ours: it ends the run it happened in, and says so. */
  async function fail(runId: string, error: unknown): Promise<void> {
    const known =
      error instanceof DeputyError
        ? error
        : new DeputyError('INTERNAL', error instanceof Error ? error.message : String(error), { cause: error })
    options.log(
      `run ${runId}: ${known.code} ${known.message}${error instanceof Error && known.code === 'INTERNAL' ? `\n${error.stack}` : ''}`,
    )
    if (known.code === 'STORE_CLOSED') return
    const ids = endIds(options.uuid)
    const now = options.clock.now()
    try {
      const after = await options.store.write('finish', async tx => {
        const run = await loadRun(tx, runId)
        return (
          run &&
          endRun(
            tx,
            options,
            run,
            { outcome: 'failed', code: known.code, error: `${known.message} ${known.fix}`, followups: 'keep' },
            ids,
            now,
          )
        )
      })
      if (after) announce(after, bells, options.tell)
    } catch (again) {
      options.log(
        `run ${runId} could not be ended: ${again instanceof Error ? again.message : String(again)}; it is recovered at the next start`,
      )
    }
  }

  async function answerAsk(step: Step): Promise<ToolAnswer> {
    const intent = step.intent as ToolIntent
    const run = await loadRun(options.store.read, step.run)
    const named = (intent.args as { taskIds?: string[]; taskId?: string }) ?? {}
    const targets = [...(named.taskIds ?? []), ...(named.taskId ? [named.taskId] : [])]
    const children = run ? await childFacts(options.store.read, run.id, null, options.clock.now()) : []
    const asked =
      targets.length > 0
        ? children.filter(child =>
            targets.some(target => child.run === target || child.label === target || child.run.startsWith(target)),
          )
        : children
    return { reply: { parts: [{ type: 'text', text: childAnswer(asked, []) }], isError: false } }
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
      for (const id of runs) stopWorker(id)
    },
    cancel,
    active: () => workers.size,
    async stop() {
      stopping = true
      for (const id of workers.keys()) stopWorker(id)
      await Promise.all([...workers.values()].map(worker => worker.done))
    },
  }
}

/** The call as the model made it, secrets put back; whatever the tool throws is its answer, not the run's end. */
async function callTool(options: AgentOptions, step: Step, context: Parameters<Hands['call']>[1]): Promise<ToolAnswer> {
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
