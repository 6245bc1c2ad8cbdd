/**
 * Doctor: the database. Reads it whole for damage, and says what waits in it. Never mends: a damaged file is for a person.
 */
import { statSync } from 'node:fs'
import { DeputyError } from '../../protocol/errors.ts'
import { findDamage } from '../../store/integrity.ts'
import { newestVersion } from '../../store/migrations.ts'
import { openReader, type Reader } from '../../store/reader.ts'
import { bytes } from '../format.ts'
import { type Check, type Finding, finding, type Patient, type Verdict } from './types.ts'

/** What a database holds that has not come to its end. */
export interface Pending {
  /** Runs that have not ended. */
  runs: number
  /** Messages that were not delivered yet. */
  outbox: number
  schedules: number
}

export const storeCheck: Check = {
  id: 'store',
  title: 'store',
  async run(patient) {
    const { home } = patient.context
    const size = statSync(home.database, { throwIfNoEntry: false })?.size
    if (size === undefined) return { says: ['no database yet; the first start makes it'], findings: [] }
    const opened = tryReader(home.dir)
    if ('problem' in opened) return { says: [], findings: [unusable(opened.problem)] }
    try {
      const damage = await findDamage(home.database, new AbortController().signal)
      if (damage) return { says: [], findings: [damaged(damage)] }
      return await healthy(patient, opened.reader, size)
    } finally {
      opened.reader.close()
    }
  },
}

/** Null when there is no database that this Deputy can read as it is. */
export function readerOf({ context: { home } }: Pick<Patient, 'context'>): Reader | null {
  if (!statSync(home.database, { throwIfNoEntry: false })) return null
  const opened = tryReader(home.dir)
  return 'reader' in opened ? opened.reader : null
}

function tryReader(dir: string): { reader: Reader } | { problem: DeputyError } {
  try {
    const reader = openReader(dir)
    return reader ? { reader } : { problem: new DeputyError('STORE_CLOSED', 'The database went away.') }
  } catch (error) {
    if (error instanceof DeputyError) return { problem: error }
    throw error
  }
}

async function healthy(patient: Patient, { read }: Reader, size: number): Promise<Verdict> {
  const { home } = patient.context
  const says = [`version ${newestVersion}, ${bytes(size)}, every page read and sound`]
  const findings: Finding[] = []
  const log = statSync(`${home.database}-wal`, { throwIfNoEntry: false })?.size ?? 0
  const stopped = patient.gateway.state === 'stopped'
  if (stopped && log > 0)
    says.push(`the last stop was no clean one; ${bytes(log)} of the log are taken up at the next start`)
  const pending = await pendingIn(read)
  if (stopped && pending.runs > 0)
    says.push(`${counted(pending.runs, 'run')} at work when it stopped; the next start goes on`)
  const dead = await deadIn(read)
  if (dead.letters > 0)
    says.push(
      `${counted(dead.letters, 'result')} came back to a conversation that was closed: deputy runs list has them`,
    )
  if (dead.outbox > 0)
    findings.push(
      finding('store.undelivered', 'warning', {
        what: `${counted(dead.outbox, 'message')} could not be delivered.`,
        why: 'Somebody waits for an answer that was given and never arrived.',
        evidence: `${dead.outbox} rows of the outbox are dead; the newest says: ${dead.newest ?? 'no reason'}`,
        fix: 'Mend what it names, then: deputy outbox list --dead, deputy outbox retry <id>',
      }),
    )
  return { says, findings }
}

export async function pendingIn(read: Reader['read']): Promise<Pending> {
  const count = async (table: 'runs' | 'outbox' | 'schedules') => {
    const all = read.selectFrom(table).select(eb => eb.fn.countAll<number>().as('n'))
    const live =
      table === 'runs'
        ? all.where('state', '<>', 'done')
        : table === 'outbox'
          ? all.where('state', 'not in', ['sent', 'dead'])
          : all.where('enabled', '=', 1)
    return Number((await live.executeTakeFirstOrThrow()).n)
  }
  return { runs: await count('runs'), outbox: await count('outbox'), schedules: await count('schedules') }
}

async function deadIn(read: Reader['read']): Promise<{ letters: number; outbox: number; newest: string | null }> {
  const inbox = read.selectFrom('inbox').where('state', '=', 'dead')
  const outbox = read.selectFrom('outbox').where('state', '=', 'dead')
  const letters = await inbox.select(eb => eb.fn.countAll<number>().as('n')).executeTakeFirstOrThrow()
  const dead = await outbox.select(eb => eb.fn.countAll<number>().as('n')).executeTakeFirstOrThrow()
  const newest = await outbox.select('error').orderBy('id', 'desc').limit(1).executeTakeFirst()
  return { letters: Number(letters.n), outbox: Number(dead.n), newest: newest?.error ?? null }
}

function counted(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`
}

function unusable(problem: DeputyError): Finding {
  const older = problem.code === 'GATEWAY_UNREACHABLE'
  return finding(older ? 'store.older' : 'store.unusable', older ? 'warning' : 'error', {
    what: older ? 'The database was written by an older Deputy.' : 'The database cannot be used.',
    why: older
      ? 'Until a gateway has brought it up to date it cannot be looked into.'
      : 'The gateway does not start on it.',
    evidence: `${problem.message} [${problem.code}]`,
    fix: problem.fix,
  })
}

function damaged(damage: DeputyError): Finding {
  const { found = [] } = damage.details as { found?: string[] }
  return finding('store.damaged', 'error', {
    what: 'The database is damaged.',
    why: 'Rows are lost or cannot be trusted; a running gateway has stopped taking up new work.',
    evidence: [damage.message, ...found.slice(0, 3)].join(' · '),
    fix: damage.fix,
  })
}
