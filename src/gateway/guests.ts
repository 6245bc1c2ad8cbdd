/**
 * Deciding about people who ask to write, while the gateway runs. Owns the order: the admission is a row first, then whoever
 * was let in first becomes the owner if nobody is one. An admission lets somebody talk directly, never in groups.
 */
import { seedOwner } from '../config/owners.ts'
import type { ConfigStore } from '../config/types.ts'
import type { Clock } from '../core/ports.ts'
import { admit, dismiss, listGuests, welcome } from '../store/guests.ts'
import type { Store } from '../store/open.ts'
import type { Guests } from './rooms.ts'

export function openGuests(options: {
  store: Store
  config: Pick<ConfigStore, 'current' | 'set' | 'reload'>
  clock: Clock
  outbox(): void
}): Guests {
  const { store, config, clock } = options
  return {
    list: () => listGuests(store.read, clock.now()),
    async approve({ asked, ...at }, { who, notify, owner }) {
      const by = { who, now: clock.now(), notice: notify ? welcome : undefined }
      const guest = await store.write('approve', async tx => admit(tx, at, asked, by))
      if (notify) options.outbox()
      return { ...guest, ownerAdded: owner && (await seedOwner(config, guest)) }
    },
    dismiss: ({ asked, ...at }, { who }) =>
      store.write('approve', async tx => dismiss(tx, at, asked, { who, now: clock.now() })),
    ownerKnown: () => config.current().commands.ownerAllowFrom.length > 0,
  }
}
