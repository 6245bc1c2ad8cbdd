/**
 * A house to try things in: the gateway that runs; else one in this process, on the home itself or on a throw-away one with
 * the same configuration.
 *
 * Invariants: the doctor takes up no work that somebody has stopped on purpose: a home in which runs, messages or schedules
 * wait is left alone, and so is one that is damaged or that a start would upgrade or make. No TCP port is opened. What a start would write into
 * the configuration, or make outside the throw-away home, is not left behind.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, rmdirSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Client } from '../../client/connect.ts'
import { homeOf } from '../../config/home.ts'
import { agentIds, agentOf } from '../../config/read.ts'
import { DeputyError } from '../../protocol/errors.ts'
import type { Context } from '../context.ts'
import type { RunningGateway } from '../host.ts'
import { reach } from '../reach.ts'
import { pendingIn, readerOf } from './store.ts'
import type { Patient } from './types.ts'

export interface Trial {
  client: Client
  /** To reach the same house again. */
  context: Context
  /** In words: which house it is, and why not the home's own. */
  where: string
  close(): Promise<void>
}

/** `sound`: nothing is wrong with the home's database. Rejects with what the start refused. */
export async function openTrial(patient: Patient, sound: boolean): Promise<Trial> {
  const { context, gateway } = patient
  if (gateway.state === 'running')
    return { client: gateway.client, context, where: 'in the running gateway', close: async () => undefined }
  const spare = sound ? await reasonForCopy(patient) : 'the database of the home is not sound'
  return spare === null
    ? await start(patient, context, 'in this process on the same home, with no TCP port')
    : await startCopy(patient, spare)
}

/** Why the home itself is not started; null when it may be. */
async function reasonForCopy(patient: Patient): Promise<string | null> {
  if (patient.gateway.state === 'silent') return 'a process that does not answer holds the home'
  if (!patient.config.exists) return 'the home has no configuration yet'
  const reader = readerOf(patient)
  if (reader === null) return 'the home has no database that is up to date'
  try {
    const { runs, outbox, schedules } = await pendingIn(reader.read)
    const waits = [
      runs > 0 ? `${runs} runs` : '',
      outbox > 0 ? `${outbox} messages` : '',
      schedules > 0 ? `${schedules} schedules` : '',
    ].filter(each => each !== '')
    return waits.length === 0 ? null : `${waits.join(', ')} wait for the next start`
  } finally {
    reader.close()
  }
}

async function startCopy(patient: Patient, why: string): Promise<Trial> {
  const { context, config } = patient
  const dir = mkdtempSync(join(tmpdir(), 'deputy-doctor-'))
  const clean = () => rmSync(dir, { recursive: true, force: true })
  try {
    const { home } = context
    // Keys count for whether a model can be used; they are read where they lie and never copied.
    if (existsSync(home.envFile)) symlinkSync(home.envFile, join(dir, '.env'))
    if (existsSync(home.agents)) symlinkSync(home.agents, join(dir, 'agents'))
    const file = config.exists ? home.config : undefined
    const copy = homeOf({ home: dir, config: file, env: { HOME: context.host.env['HOME'] } })
    const where = `in a throw-away home with the same configuration, since ${why}`
    const trial = await start(patient, { ...context, home: copy }, where)
    return {
      ...trial,
      async close() {
        await trial.close()
        clean()
      },
    }
  } catch (error) {
    clean()
    throw error
  }
}

async function start(patient: Patient, context: Context, where: string): Promise<Trial> {
  const { host, home } = context
  const logged: string[] = []
  const absent = missingWorkspaces(patient)
  const token = patient.settings?.gateway.auth.token === undefined
  const gateway = await host
    .startGateway({
      home: home.dir,
      configFile: home.config,
      // A start makes a token where there is none; this one must not write it into the file.
      env: token ? { ...host.env, DEPUTY_GATEWAY_TOKEN: randomBytes(16).toString('hex') } : host.env,
      log: line => void logged.push(line),
      tcp: false,
    })
    .catch((error: unknown) => {
      if (error instanceof DeputyError) throw error
      throw new DeputyError('INTERNAL', `The gateway does not start: ${String(error)}`, {
        details: { log: logged.slice(-5) },
        cause: error,
      })
    })
  try {
    const client = await reach(context)
    return { client, context, where, close: () => stop(gateway, client, absent) }
  } catch (error) {
    await gateway.stop()
    throw error
  }
}

async function stop(gateway: RunningGateway, client: Client, absent: readonly string[]): Promise<void> {
  client.close()
  await gateway.stop()
  for (const path of absent) {
    try {
      rmdirSync(path)
    } catch {
      // Not made after all, or something lies in it: then it is not ours to take away.
    }
  }
}

/** Workspaces that a start would make. */
function missingWorkspaces({ settings }: Patient): string[] {
  if (settings === null) return []
  return agentIds(settings)
    .map(id => agentOf(settings, id).workspace)
    .filter(path => !existsSync(path))
}
