/**
 * What the owner of a home decides from the host: through the gateway that runs, else on the rows themselves.
 *
 * Owns the choice between the two, and the home lock and the store for the second. Never circular: the owner decides in both
 * ways, over the unix socket or with the home lock held, and needs no device and no approval for it.
 */
import { existsSync } from 'node:fs'
import type { Client } from '../client/connect.ts'
import { DeputyError } from '../protocol/errors.ts'
import type { Store } from '../store/open.ts'
import type { Context } from './context.ts'
import { reach } from './reach.ts'

export interface Rows {
  store: Store
  clock: { now(): number }
}

/** The same desk, made of either. */
export interface Ways<Desk> {
  wire(client: Client): Desk
  rows(at: Rows): Promise<Desk>
}

export async function withDesk<Desk, T>(
  context: Context,
  ways: Ways<Desk>,
  body: (desk: Desk) => Promise<T>,
): Promise<T> {
  let client: Client
  try {
    client = await reach(context)
  } catch (error) {
    const stopped = error instanceof DeputyError && error.code === 'GATEWAY_UNREACHABLE'
    // A home that never ran has nothing to decide about; nothing is made for asking.
    if (!stopped || !existsSync(context.home.database)) throw error
    return withRows(context, async at => body(await ways.rows(at)))
  }
  try {
    return await body(ways.wire(client))
  } finally {
    client.close()
  }
}

/** Throws HOME_LOCKED while a gateway starts or another command is at it. */
async function withRows<T>(context: Context, body: (at: Rows) => Promise<T>): Promise<T> {
  const [{ takeHomeLock }, { openStore }] = await Promise.all([import('../store/lock.ts'), import('../store/open.ts')])
  const { dir } = context.home
  const clock = { now: () => Date.now() }
  const lock = takeHomeLock(dir)
  try {
    const store = await openStore({ dir, clock, log: text => context.note(context.paint.dim(text)) })
    try {
      context.note(context.paint.dim('The gateway is stopped; this is done in its database.'))
      return await body({ store, clock })
    } finally {
      await store.close()
    }
  } finally {
    lock.release()
  }
}
