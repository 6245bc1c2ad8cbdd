/**
 * Deciding from the host about people who ask to write. Owns what is done over the wire and what on the rows; desk.ts owns the
 * choice between the two.
 */
import type { Client } from '../client/connect.ts'
import type { ChannelResults, SenderDecision, SenderList } from '../protocol/results.ts'
import type { Context } from './context.ts'
import { type Rows, withDesk } from './desk.ts'

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

export function withSenders<T>(context: Context, body: (desk: SenderDesk) => Promise<T>): Promise<T> {
  return withDesk(context, { wire: overWire, rows: at => onRows(context, at) }, body)
}

function overWire(client: Client): SenderDesk {
  return {
    running: true,
    list: () => client.request('channels.pairing.list', {}),
    approve: (at, notify) =>
      client.request('channels.pairing.approve', { ...wire(at), notify, bootstrapCommandOwner: true }),
    reject: at => client.request('channels.pairing.dismiss', wire(at)),
  }
}

function wire({ channel, accountId, code }: SenderAt) {
  return { channel, code, ...(accountId === undefined ? {} : { accountId }) }
}

async function onRows(context: Context, { store, clock }: Rows): Promise<SenderDesk> {
  const [guests, { openConfig }, { seedOwner }] = await Promise.all([
    import('../store/guests.ts'),
    import('../config/store.ts'),
    import('../config/owners.ts'),
  ])
  const config = openConfig({ home: context.home.dir, file: context.home.config, env: context.host.env })
  const who = 'operator'
  return {
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
  }
}
