/**
 * The gateway of a home as the doctor and `deputy explain` find it: running, stopped, or there and silent.
 * Owns finding that out; starts nothing, and leaves the home as it was.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from '../../client/connect.ts'
import { isThere } from '../../config/home.ts'
import { openConfig } from '../../config/store.ts'
import { DeputyError } from '../../protocol/errors.ts'
import type { Context } from '../context.ts'
import { reach } from '../reach.ts'
import type { Found, Patient } from './types.ts'

/** A gateway that is just starting holds its home a moment before it answers, ms. */
const startingMs = 1500

export async function openPatient(context: Context): Promise<Patient> {
  const config = openConfig({ home: context.home.dir, file: context.home.config, env: context.host.env })
  const settings = config.issues.length === 0 ? config.current() : null
  return { context, config, settings, gateway: await look(context) }
}

export async function withPatient<T>(context: Context, body: (patient: Patient) => Promise<T>): Promise<T> {
  const patient = await openPatient(context)
  try {
    return await body(patient)
  } finally {
    closePatient(patient)
  }
}

export function closePatient({ gateway }: Patient): void {
  if (gateway.state === 'running') gateway.client.close()
}

async function look(context: Context): Promise<Found> {
  const until = performance.now() + startingMs
  for (;;) {
    const answer = await tryReach(context)
    if (!(answer instanceof DeputyError)) return { state: 'running', ...(await ask(answer)) }
    const holder = await holderOf(context)
    if (holder === null) return { state: 'stopped' }
    if (performance.now() > until) return { state: 'silent', pid: holder.pid, why: answer.message }
    await sleep(100)
  }
}

async function ask(client: Client) {
  return { client, status: await client.request('status', {}) }
}

async function tryReach(context: Context): Promise<Client | DeputyError> {
  try {
    return await reach(context)
  } catch (error) {
    if (error instanceof DeputyError && error.code === 'GATEWAY_UNREACHABLE') return error
    throw error
  }
}

/** Who holds the home; null when nobody does. Taking the lock is the only way to ask, and it is let go at once. */
async function holderOf({ home }: Context): Promise<{ pid: number | null } | null> {
  if (!isThere(home.lock)) return null
  const { takeHomeLock } = await import('../../store/lock.ts')
  try {
    takeHomeLock(home.dir).release()
    return null
  } catch (error) {
    if (!(error instanceof DeputyError) || error.code !== 'HOME_LOCKED') return null
    const { pid } = error.details as { pid?: number }
    return { pid: pid ?? null }
  }
}
