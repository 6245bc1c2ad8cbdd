/**
 * Deciding from the host about people who ask to write: through the gateway that runs, else on the rows themselves.
 *
 * Owns the choice between the two, as devices.ts does for devices. The owner of the home decides in both ways.
 */
import { existsSync } from 'node:fs'
import type { Client } from '../client/connect.ts'
import { DeputyError } from '../protocol/errors.ts'
import type { ChannelResults, SenderDecision, SenderList } from '../protocol/results.ts'
import type { Context } from './context.ts'
import { reach } from './reach.ts'

export interface SenderAt {
  channel: string
  accountId?: string | undefined
  code: string
}

export interface SenderDesk {
  /** False: the gateway is stopped, and what is to be said to somebody waits for its next start. */
  running: boolean
  list(): Promise<SenderList>
  approve(at: SenderAt, notify: boolean): Promise<ChannelResults['channels.pairing.approve']>
  reject(at: SenderAt): Promise<SenderDecision>
}

export async function withSenders<T>(context: Context, body: (desk: SenderDesk) => Promise<T>): Promise<T> {
  let client: Client
  try {
    client = await reach(context)
  } catch (error) {
    const stopped = error instanceof DeputyError && error.code === 'GATEWAY_UNREACHABLE'
    if (!stopped || !existsSync(context.home.database)) throw error
    return withRows(context, body)
  }
  try {
    return await body({
      running: true,
      list: () => client.request('channels.pairing.list', {}),
      approve: (at, notify) =>
        client.request('channels.pairing.approve', { ...wire(at), notify, bootstrapCommandOwner: true }),
      reject: at => client.request('channels.pairing.dismiss', wire(at)),
    })
  } finally {
    client.close()
  }
}

function wire({ channel, accountId, code }: SenderAt) {
  return { channel, code, ...(accountId === undefined ? {} : { accountId }) }
}

/** Throws HOME_LOCKED while a gateway starts or another command is at it. */
async function withRows<T>(context: Context, body: (desk: SenderDesk) => Promise<T>): Promise<T> {
  const [{ takeHomeLock }, { openStore }, guests, { openConfig }, { seedOwner }] = await Promise.all([
    import('../store/lock.ts'),
    import('../store/open.ts'),
    import('../store/guests.ts'),
    import('../config/store.ts'),
    import('../config/owners.ts'),
  ])
  const { dir } = context.home
  const clock = { now: () => Date.now() }
  const lock = takeHomeLock(dir)
  try {
    const store = await openStore({ dir, clock, log: text => context.note(context.paint.dim(text)) })
    try {
      const config = openConfig({ home: dir, file: context.home.config, env: context.host.env })
      context.note(context.paint.dim('The gateway is stopped; this is done in its database.'))
      const who = 'operator'
      return await body({
        running: false,
        list: async () =>
          guests.senderList(await guests.listGuests(store.read, clock.now()), {
            accounts: [],
            ownerKnown: config.current().commands.ownerAllowFrom.length > 0,
          }),
        async approve({ code, channel, accountId }, notify) {
          const by = { who, now: clock.now(), notice: notify ? guests.welcome : undefined }
          const guest = await store.write('approve', async tx =>
            guests.admit(tx, { channel, account: accountId }, { code }, by),
          )
          return { ...guests.decided(guest), ownerAdded: await seedOwner(config, guest) }
        },
        reject: async ({ code, channel, accountId }) =>
          guests.decided(
            await store.write('approve', async tx =>
              guests.dismiss(tx, { channel, account: accountId }, { code }, { who, now: clock.now() }),
            ),
          ),
      })
    } finally {
      await store.close()
    }
  } finally {
    lock.release()
  }
}
