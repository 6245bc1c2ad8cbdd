/**
 * Doctor: the proof. The default agent really spawns every agent that it may, and each result really comes back to it.
 *
 * Costs nothing and needs no key: parent and children use the rehearsal model, which is named in the task; policy, grant,
 * lanes, store and the way of the results are the real ones. Its conversation, `agent:<default>:doctor`, is closed again, so
 * that no later examination reads it; the runs stay in the lists.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { agentIds, agentOf, defaultAgent } from '../../config/read.ts'
import { errors, isErrorCode } from '../../protocol/errors.ts'
import type { AgentWait, RunRow, RunStep } from '../../protocol/results.ts'
import { recognise } from '../explain/recognise.ts'
import { line, span } from '../format.ts'
import { atWork, waitForEnd } from '../reach.ts'
import type { Trial } from './house.ts'
import { type Finding, finding, type Patient, type Verdict } from './types.ts'

const model = 'rehearsal/rehearsal'
/** A house that is at work lets a newcomer wait for a slot; longer than this is told, ms. */
const patienceMs = 30_000

/** What came of it, for --json. */
export interface Proof {
  where: string
  agent: string
  run: string | null
  tookMs: number
  children: { agent: string; run: string | null; returned: boolean; tookMs: number | null; refusal: string | null }[]
}

export async function trySpawn(patient: Patient, trial: Trial): Promise<Verdict & { proof: Proof | null }> {
  const { settings } = patient
  if (settings === null) return { says: [], findings: [], proof: null }
  const parent = defaultAgent(settings)
  const targets = targetsOf(patient, parent)
  if (targets.length === 0) return { says: [`${parent} may spawn nobody: nothing to try`], findings: [], proof: null }
  try {
    return await prove(patient, trial, parent, targets)
  } finally {
    // Whatever of it is still at work ends with it.
    await trial.client.request('sessions.delete', { key: conversation(parent) })
  }
}

function conversation(agent: string): string {
  return `agent:${agent}:doctor`
}

async function prove(
  patient: Patient,
  trial: Trial,
  parent: string,
  targets: readonly string[],
): Promise<Verdict & { proof: Proof | null }> {
  const words = randomBytes(4).toString('hex')
  const message = targets.map(id => `delegate to ${id} as "doctor ${id}" with ${model}: say ${words} ${id}`).join('\n')
  const started = performance.now()
  const { run, end } = await send(trial, parent, message)
  const tookMs = Math.round(performance.now() - started)
  if (run === null) return { ...failed(parent, targets, end.error ?? end.status, trial.where), proof: null }
  const { runs } = await trial.client.request('runs.tree', { run })
  const { steps } = await trial.client.request('runs.log', { run })
  const children = targets.map((agent, n) => outcome(agent, n, words, run, runs, steps))
  const proof: Proof = { where: trial.where, agent: parent, run, tookMs, children }
  if (atWork(end)) return { ...unfinished(parent, run, runs, trial.where), proof }
  const back = children.filter(({ returned }) => returned)
  const says = [
    ...back.map(
      child => `${parent} spawned ${child.agent}; the result came back to it after ${span(child.tookMs ?? tookMs)}`,
    ),
    `tried ${trial.where}, with the rehearsal model: no provider was asked`,
  ]
  const findings = children
    .filter(({ returned }) => !returned)
    .map(child => lost(parent, child.agent, child.refusal ?? end.error ?? 'no result', patient))
  return { says, findings, proof }
}

/** Those that the policy names and that exist, as many as may be at work at once. */
function targetsOf({ settings }: Patient, parent: string): string[] {
  const { subagents } = agentOf(settings!, parent)
  const all = agentIds(settings!)
  const allowed = subagents.allowAgents ?? [parent]
  const named = allowed.includes('*') ? all : all.filter(id => allowed.includes(id))
  return subagents.maxSpawnDepth > 0 ? named.slice(0, subagents.maxChildrenPerAgent) : []
}

async function send(trial: Trial, agentId: string, message: string): Promise<{ run: string | null; end: AgentWait }> {
  const { client, context } = trial
  const idempotencyKey = randomUUID()
  const accepted = Promise.withResolvers<string>()
  const answer = client.request(
    'agent',
    { message, agentId, sessionKey: conversation(agentId), model, idempotencyKey },
    { onProgress: (first: { runId: string }) => accepted.resolve(first.runId) },
  )
  answer.then(done => accepted.resolve(done.runId), accepted.reject)
  try {
    const end = await waitForEnd(context, client, await accepted.promise, patienceMs)
    return { run: end.run ?? null, end }
  } catch (error) {
    return { run: null, end: { runId: idempotencyKey, status: 'error', error: (error as Error).message } }
  }
}

function outcome(
  agent: string,
  n: number,
  words: string,
  parent: string,
  runs: readonly RunRow[],
  steps: readonly RunStep[],
): Proof['children'][number] {
  const child = runs.find(run => run.parent === parent && run.label === `doctor ${agent}`)
  const seen = runs.find(run => run.run === parent)?.result?.includes(`${words} ${agent}`) ?? false
  const call = steps.filter(step => step.name === 'sessions_spawn')[n]
  return {
    agent,
    run: child?.run ?? null,
    returned: child?.outcome === 'succeeded' && seen,
    tookMs: child?.endedAt ? child.endedAt - child.createdAt : null,
    refusal: child ? (child.error ?? null) : (call?.text ?? null),
  }
}

function failed(parent: string, targets: readonly string[], why: string, where: string): Verdict {
  return {
    says: [],
    findings: [
      finding('spawn.refused', 'error', {
        what: `${parent} cannot be asked to delegate to ${targets.join(', ')}.`,
        why: 'The task itself was refused, before anything was spawned.',
        evidence: `${line(why)} (${where})`,
        fix: `deputy explain "${line(why).slice(0, 120)}"`,
      }),
    ],
  }
}

function unfinished(parent: string, run: string, runs: readonly RunRow[], where: string): Verdict {
  const queued = runs.filter(each => each.state === 'queued').length
  return {
    says: [],
    findings: [
      finding('spawn.waiting', 'warning', {
        what: `A delegation of ${parent} did not come to its end within ${span(patienceMs)}.`,
        why: 'Either all slots are taken by other work, or something is stuck.',
        evidence: `run ${run}: ${queued} of ${runs.length} runs had no slot yet (${where})`,
        fix: `deputy runs tree; deputy explain ${run}`,
      }),
    ],
  }
}

/** The refusal of a spawn is a tool result: `{"status":"forbidden","error":…,"code":…,"configure":…}`. */
function lost(parent: string, agent: string, said: string, { context }: Patient): Finding {
  const refusal = parse(said)
  const code = refusal?.code ?? recognise(said)?.code
  const known = code !== undefined && isErrorCode(code)
  const where = refusal?.configure ? ` It is decided by ${refusal.configure}.` : ''
  return finding('spawn.failed', 'error', {
    what: `${parent} cannot delegate to ${agent}.`,
    why: 'This is what agents meet when they delegate; they are told the same words.',
    evidence: `${line(refusal?.error ?? said).slice(0, 300)}${known ? ` [${code}]` : ''}`,
    fix: known
      ? `${errors[code].fix}${where} deputy explain ${code}${context.flags}`
      : `deputy explain "${line(said).slice(0, 80)}"${context.flags}`,
  })
}

function parse(text: string): { error?: string; code?: string; configure?: string } | null {
  try {
    return JSON.parse(text) as { error?: string; code?: string; configure?: string }
  } catch {
    // Words, not a refusal in JSON.
    return null
  }
}
