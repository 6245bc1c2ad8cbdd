/**
 * What a run had to hand in is looked at: files by the supervisor itself, a command in the sandbox of the run's own agent.
 *
 * Owns the looking and its transaction; what follows from it is decided by core/run/check.ts. What a run claims counts for
 * nothing here. May be made again after a crash, so a command must bear being run twice.
 */
import type { ToolAnswer, ToolContext } from '../core/ports.ts'
import { checked, checkName, type Findings } from '../core/run/check.ts'
import { afterwards } from '../core/run/facts.ts'
import { textOf } from '../core/run/reply.ts'
import type { Deliverables, Step, ToolIntent } from '../core/types.ts'
import { DeputyError } from '../protocol/errors.ts'
import { lastReply, loadMailbox, loadRun, loadSession, messageOf } from '../store/facts.ts'
import type { Tx } from '../store/open.ts'
import { carryTurn } from './answering.ts'
import { endIds, homeOf } from './ending.ts'
import { fresh } from './fresh.ts'
import type { Next } from './loop.ts'
import type { AgentOptions } from './room.ts'
import type { DeskParts } from './tool-steps.ts'

/** Longest that a command may take; the run's own deadline may end it sooner. */
const commandSeconds = 600
/** Of what a command said, its last words are enough to mend by. */
const shownOutput = 2000

/** The step after a run's last words; no tool call of its model. */
export function isCheck(step: Step): boolean {
  return step.name === checkName && step.kind === 'tool' && (step.intent as ToolIntent).callId === ''
}

export async function lookAtResult(options: AgentOptions, step: Step, context: ToolContext): Promise<Findings> {
  const { files = [], command } = (step.intent as ToolIntent).args as Deliverables
  const run = await loadRun(options.store.read, step.run)
  try {
    const { workspaces } = options.tools
    const seen = await workspaces.look(context.workspace, context.folder ?? '', files, run?.createdAt ?? 0)
    if (command === undefined) return seen
    const tried = await tryCommand(options, command, context)
    return { faults: [...seen.faults, ...tried.faults], evidence: [...seen.evidence, ...tried.evidence] }
  } catch (error) {
    if (context.signal.aborted || !(error instanceof DeputyError)) throw error
    return { faults: [`it cannot be checked: ${error.message} ${error.fix}`], evidence: [] }
  }
}

async function tryCommand(options: AgentOptions, command: string, context: ToolContext): Promise<Findings> {
  const exec = options.tools.get('exec')
  const args = options.secrets.reveal({ command, timeoutSeconds: commandSeconds })
  const answer = exec && (await exec.run(args, context))
  if (!answer || !('reply' in answer)) return { faults: ['commands cannot be run here'], evidence: [] }
  const words = options.secrets.hide(textOf(answer.reply.parts).trim())
  return answer.reply.isError
    ? { faults: [`the command failed: ${command}\n${words.slice(-shownOutput)}`], evidence: [] }
    : { faults: [], evidence: [`command ended with 0: ${command}`] }
}

/** Findings on their way through the loop, which carries answers of tools. */
export function asAnswer(found: Findings): ToolAnswer {
  const text = [...found.faults, ...found.evidence].join('\n')
  return { reply: { parts: [{ type: 'text', text }], isError: found.faults.length > 0, details: { ...found } } }
}

export function findingsOf(answer: ToolAnswer): Findings {
  const { faults = [], evidence = [] } = ('reply' in answer ? (answer.reply.details as Partial<Findings>) : null) ?? {}
  return { faults, evidence }
}

/** Findings → rows: the end, one repair turn, or the next words first. */
export async function recordCheck(desk: DeskParts, step: Step, found: Findings): Promise<Next> {
  const { options } = desk.work
  const mine = desk.state()
  if (!mine) return { do: 'rest' }
  const ids = endIds(options.uuid)
  const now = options.clock.now()
  return desk.settle(
    await options.store.write('result', async (tx, is) => {
      const run = await desk.held(tx, mine)
      const session = run && (await loadSession(tx, run.session))
      if (!run || !session) return null
      const [model, ...others] = await lastReply(tx, run.id)
      const current = others.find(one => one.n === step.n)
      const seq = model?.result?.seq ?? null
      if (!current || seq === null) return null
      const text = await wordsAt(tx, session.id, seq)
      const box = await loadMailbox(tx, session, run)
      const home = await homeOf(tx, run)
      const decision = checked(
        { run, box, sessionKey: session.key, home, showing: [], step: current },
        {
          now,
          epoch: mine.epoch,
          found,
          text,
          seq,
          ids,
          successor: fresh(options, ids.successor, session, run, now),
          homeRun: fresh(options, ids.homeRun, home?.session ?? session, home?.live ?? run, now),
          followups: 'keep',
        },
      )
      if (!decision.ok) return null
      if (decision.after === 'done') is('finish')
      const failed = found.faults.length > 0
      const after = await carryTurn(tx, options, decision.effects, {
        sessions: [session, ...(home ? [home.session] : [])],
        runs: [run, ...(home?.live ? [home.live] : [])],
        wire: { [run.id]: mine.wireId },
        turn: {
          run,
          text,
          yielded: false,
          stop: 'stop',
          outcome: decision.after === 'done' ? (failed ? 'failed' : 'succeeded') : null,
          error: decision.after === 'done' && failed ? { code: 'RUN_RESULT', message: found.faults.join('; ') } : null,
        },
        at: now,
      })
      if (decision.after === 'done') return { next: { do: 'rest' }, afters: [after], run, wireId: mine.wireId }
      mine.script.add(after)
      const next = await desk.nextIn(tx, is, mine, afterwards(run, decision.effects), now)
      return { ...next, afters: [after, ...next.afters] }
    }),
  )
}

async function wordsAt(tx: Tx, session: string, seq: number): Promise<string> {
  const row = await tx
    .selectFrom('messages')
    .selectAll()
    .where('session', '=', session)
    .where('seq', '=', seq)
    .executeTakeFirst()
  return row ? textOf(messageOf(row).parts) : ''
}
