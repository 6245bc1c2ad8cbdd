/**
 * A spawn that a person has allowed: decided and born now, by today's policy, in the transaction of its result.
 *
 * Owns that transaction. The child's id is that of its step, as if it had been born with the reply (decisions.md 20).
 */
import type { SpawnRequest } from '../core/ports.ts'
import { birth } from '../core/run/accept.ts'
import { afterwards } from '../core/run/facts.ts'
import type { Step } from '../core/types.ts'
import { countChildren, lastReply } from '../store/facts.ts'
import { liveTaskNames } from './children.ts'
import { watchSpawns } from './circles.ts'
import { carryOut } from './commit.ts'
import type { WorkerState } from './desk.ts'
import type { Next } from './loop.ts'
import type { AgentOptions } from './room.ts'
import { clear, type Ground, planSpawn, prepareSpawn } from './spawning.ts'
import { threadFacts, withDefaults } from './threads.ts'
import type { StepTools } from './tool-steps.ts'

export async function lateSpawn(
  options: AgentOptions,
  { onStep, recorded }: StepTools,
  mine: WorkerState | null,
  step: Step,
  asked: SpawnRequest,
): Promise<Next> {
  if (!mine) return { do: 'rest' }
  const request = options.secrets.hide(withDefaults(asked, mine.run, options.policies))
  const ready = await prepareSpawn(options, mine.run, step.n, request)
  const messageId = options.uuid()
  const uuids = [options.uuid(), options.uuid()]
  const refused: Ground[] = []
  const next = await onStep('result', step, async (tx, is, facts) => {
    refused.length = 0
    const { run, box, now } = facts
    if (!ready.ok) return recorded(tx, is, facts, messageId, ready.text, true)
    // A copy of the conversation ends before the reply whose calls are being answered.
    const [reply] = await lastReply(tx, run.id)
    const before = { ...box.session, seq: (reply?.result?.seq ?? box.session.seq + 1) - 1 }
    let used = 0
    const planned = planSpawn(run, step.n, before, request, ready.ground, {
      policy: options.policies.spawn(run.agent),
      models: options.models,
      modelFor: agent => options.policies.childModel(run.agent, agent),
      runTimeoutSeconds: options.policies.runTimeoutSeconds(run.agent),
      thinking: options.policies.childThinking(run.agent),
      liveChildren: await countChildren(tx, run.id),
      watch: await watchSpawns(tx, options.policies.spawnLimits(run.agent), run.tree, now),
      taskNames: request.taskName ? await liveTaskNames(tx, run.id) : [],
      shown: request.context === 'fork' ? mine.script.shown() : { messages: 0, tokens: 0 },
      maxForkTokens: options.policies.sharing().maxForkTokens,
      threads: threadFacts(options, run),
      now,
      uuid: () => uuids[used++] ?? messageId,
    })
    if (!planned.ok) {
      refused.push(ready.ground)
      return recorded(tx, is, facts, messageId, planned.text, true)
    }
    const { plan, receipt } = planned.planned
    const effects = birth(plan, now, run.id)
    const born = await carryOut(tx, effects, { sessions: [box.session], runs: [run], at: now })
    const found = await recorded(tx, is, { ...facts, run: afterwards(run, effects) }, messageId, receipt, false)
    return found && { ...found, afters: [born, ...found.afters] }
  })
  for (const ground of refused) await clear(options, ground)
  return next
}
