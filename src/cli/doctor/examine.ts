/**
 * The examination: every check in order, what is certain mended and looked at again, and at the end the proof by a spawn.
 *
 * Owns the order. Invariants: without `fix` nothing is changed; what was mended counts as mended only when the same check
 * does not find it any more; a check that fails itself is a finding and does not end the examination.
 */
import { DeputyError } from '../../protocol/errors.ts'
import type { Context } from '../context.ts'
import { problemOf } from '../context.ts'
import { agentsCheck } from './agents.ts'
import { channelsCheck } from './channels.ts'
import { configCheck } from './config.ts'
import { devicesCheck } from './devices.ts'
import { doorCheck } from './door.ts'
import { homeCheck } from './home.ts'
import { openTrial } from './house.ts'
import { checkModels } from './models.ts'
import { closePatient, openPatient } from './patient.ts'
import { sandboxCheck } from './sandbox.ts'
import { serviceCheck } from './service.ts'
import { type Proof, trySpawn } from './spawn.ts'
import { storeCheck } from './store.ts'
import { type Check, type Finding, finding, type Patient, type Verdict } from './types.ts'

export const checks: readonly Check[] = [
  homeCheck,
  storeCheck,
  configCheck,
  doorCheck,
  devicesCheck,
  agentsCheck,
  channelsCheck,
  sandboxCheck,
  serviceCheck,
]

export interface Examined extends Verdict {
  id: string
  title: string
  /** Not carried out, and why. */
  skipped: string | null
}

export interface Mended {
  id: string
  did: string
  /** Whether the check finds it no more. */
  proved: boolean
}

export interface Examination {
  gateway: Patient['gateway']['state']
  checks: readonly Examined[]
  mended: readonly Mended[]
  proof: Proof | null
}

export async function examine(context: Context, options: { fix: boolean }): Promise<Examination> {
  let patient = await openPatient(context)
  try {
    let all = await runAll(patient)
    const mended: Mended[] = []
    const mendable = options.fix ? all.flatMap(({ findings }) => findings.filter(each => each.mend !== null)) : []
    if (mendable.length > 0) {
      const did = []
      for (const each of mendable) did.push({ id: each.id, did: await mend(each) })
      closePatient(patient)
      patient = await openPatient(context)
      all = await runAll(patient)
      const left = new Set(all.flatMap(({ findings }) => findings.map(({ id }) => id)))
      mended.push(...did.map(each => ({ ...each, proved: !left.has(each.id) })))
    }
    const sound = all.find(({ id }) => id === storeCheck.id)!.findings.every(({ level }) => level !== 'error')
    const { models, spawn, proof } = await tryOut(patient, sound)
    return { gateway: patient.gateway.state, checks: [...all, models, spawn], mended, proof }
  } finally {
    closePatient(patient)
  }
}

async function runAll(patient: Patient): Promise<Examined[]> {
  const all: Examined[] = []
  for (const check of checks) all.push(await guarded(check.id, check.title, () => check.run(patient)))
  return all
}

async function guarded(id: string, title: string, body: () => Promise<Verdict>): Promise<Examined> {
  try {
    const { says, findings } = await body()
    return { id, title, says, findings, skipped: null }
  } catch (error) {
    return { id, title, says: [], findings: [broken(id, error)], skipped: null }
  }
}

/** A check that could not be carried out says so; what it found out by that is a finding too. */
function broken(id: string, error: unknown): Finding {
  const { code, message, fix } = problemOf(error)
  return finding(`${id}.failed`, 'error', {
    what: `The check of ${id} could not be carried out.`,
    why: 'What it looks for may be there all the same.',
    evidence: `${message} [${code}]`,
    fix: fix || `deputy explain ${code}`,
  })
}

async function mend(found: Finding): Promise<string> {
  try {
    return await found.mend!()
  } catch (error) {
    return `not done: ${problemOf(error).message}`
  }
}

async function tryOut(
  patient: Patient,
  sound: boolean,
): Promise<{ models: Examined; spawn: Examined; proof: Proof | null }> {
  const models = { id: 'models', title: 'models' }
  const spawn = { id: 'spawn', title: 'delegation' }
  if (patient.settings === null) {
    const none = { says: [], findings: [], skipped: 'the configuration has to be mended first' }
    return { models: { ...models, ...none }, spawn: { ...spawn, ...none }, proof: null }
  }
  const trial = await openTrial(patient, sound).catch((error: unknown) => {
    if (error instanceof DeputyError) return error
    throw error
  })
  if (trial instanceof DeputyError) {
    const skipped = 'no gateway could be started to try it in'
    return {
      models: { ...models, says: [], findings: [], skipped },
      spawn: { ...spawn, says: [], findings: [doesNotStart(trial)], skipped: null },
      proof: null,
    }
  }
  try {
    let proof: Proof | null = null
    const first = await guarded(models.id, models.title, () => checkModels(patient, trial))
    const second = await guarded(spawn.id, spawn.title, async () => {
      const tried = await trySpawn(patient, trial)
      proof = tried.proof
      return tried
    })
    return { models: first, spawn: second, proof }
  } finally {
    await trial.close()
  }
}

function doesNotStart(problem: DeputyError): Finding {
  return finding('spawn.no-gateway', 'error', {
    what: 'A gateway does not start with this home and configuration.',
    why: 'Nothing works until it does.',
    evidence: `${problem.message} [${problem.code}]`,
    fix: problem.fix,
  })
}
