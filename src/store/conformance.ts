/**
 * What every database under the store must do, as one suite of tests: SQLite runs it in sqlite.test.ts.
 *
 * Owns the promises of open.ts that callers build on. Only tests import this; it knows no database, a `Bench` hands it one.
 */
import type { Insertable } from 'kysely'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { DeputyError } from '../protocol/errors.ts'
import type { Store, Tx } from './open.ts'
import { samples } from './samples.ts'
import type { Tables } from './tables.ts'

export interface Bench {
  store: Store
  /** Until `room`, the database is full: each row that needs a new page fails, and ends its whole transaction. */
  full(): Promise<void>
  room(): Promise<void>
  close(): Promise<void>
}

export function conformance(database: string, open: () => Promise<Bench>): void {
  describe(`the store on ${database}`, () => {
    let bench: Bench
    let store: Store
    beforeEach(async () => {
      bench = await open()
      store = bench.store
    })
    afterEach(() => bench.close())
    /** Stops the clock that ends a group, so that what is asked together runs together. */
    function together(): void {
      const clock = vi.spyOn(performance, 'now').mockReturnValue(performance.now())
      onTestFinished(() => clock.mockRestore())
    }

    const put = (key: string, value = key) => store.write('config', tx => insert(tx, key, value))
    const insert = async (tx: Pick<Tx, 'insertInto'>, key: string, value = key) => {
      await tx.insertInto('kv').values({ key, value }).execute()
    }
    const keys = async () => (await store.read.selectFrom('kv').select('key').orderBy('key').execute()).map(r => r.key)

    describe('rows', () => {
      for (const table of Object.keys(samples) as (keyof Tables)[]) {
        test(`${table}: what was written is what is read`, async () => {
          const row = samples[table]
          await add(store, table, row)
          expect(await store.read.selectFrom(table).selectAll().execute()).toMatchObject([row])
        })
      }

      const once: [keyof Tables, Record<string, unknown>, string][] = [
        ['sessions', { id: 's2' }, 'two open sessions of one key'],
        ['messages', { id: 'm2' }, 'two messages at one place'],
        ['inbox', {}, 'one fact twice in a mailbox'],
        ['runs', { id: 'r2' }, 'two live runs of a session'],
        ['steps', {}, 'one step twice'],
        ['usage', {}, 'one attempt twice'],
        ['rpc_keys', { payload: 'other' }, 'one request key twice'],
        ['outbox', { chat: 'other' }, 'one delivery twice'],
        ['pairing_requests', { id: 'p2' }, 'two pending requests of a device'],
        ['device_tokens', { generation: 9 }, 'two tokens of a device and role'],
        ['channel_pairings', { id: 'c2' }, 'two open requests of a sender'],
        ['thread_bindings', { session_key: 'other' }, 'two live bindings of a place'],
        ['schedule_slots', { state: 'other' }, 'one slot twice'],
        ['drops', { reason: 'other' }, 'one message dropped twice'],
      ]
      for (const [table, change, what] of once) {
        test(`refused: ${what}`, async () => {
          await add(store, table, samples[table])
          await expect(add(store, table, { ...samples[table], ...change })).rejects.toThrow(/unique/i)
          expect(await store.read.selectFrom(table).selectAll().execute()).toHaveLength(1)
        })
      }

      const again: [keyof Tables, Record<string, unknown>, Record<string, unknown>, string][] = [
        ['sessions', { closed_at: 5 }, { id: 's2' }, 'a key whose session was closed is used again'],
        ['runs', { state: 'done' }, { id: 'r2' }, 'a session whose run is done gets another'],
        ['inbox', {}, { session: 's2' }, 'two mailboxes hold the same fact'],
        ['rpc_keys', {}, { principal: 'p2' }, 'two principals use the same key'],
        ['thread_bindings', { ended_at: 5 }, { session_key: 'other' }, 'a place whose binding ended is bound again'],
        ['pairing_requests', { state: 'superseded' }, { id: 'p2' }, 'a device whose request was superseded asks again'],
      ]
      for (const [table, first, second, what] of again) {
        test(`allowed: ${what}`, async () => {
          await add(store, table, { ...samples[table], ...first })
          await add(store, table, { ...samples[table], ...second })
          expect(await store.read.selectFrom(table).selectAll().execute()).toHaveLength(2)
        })
      }

      test('ids count up and are never given twice', async () => {
        const id = () =>
          store.write('audit', async tx => {
            const row = await tx.insertInto('audit').values(samples.audit).returning('id').executeTakeFirstOrThrow()
            return row.id
          })
        const first = await id()
        await store.write('audit', async tx => void (await tx.deleteFrom('audit').execute()))
        expect(await id()).toBeGreaterThan(first)
      })

      test('text loses what Postgres could not hold; whole numbers to 2^53 stay exact', async () => {
        await put('a\0b', 'x\uD800y😀')
        expect(await store.read.selectFrom('kv').selectAll().execute()).toMatchObject([
          { key: 'ab', value: 'x\uFFFDy😀' },
        ])
        await add(store, 'sessions', { ...samples.sessions, seq: Number.MAX_SAFE_INTEGER })
        expect(await store.read.selectFrom('sessions').select('seq').executeTakeFirst()).toMatchObject({
          seq: Number.MAX_SAFE_INTEGER,
        })
      })

      for (const wrong of [true, new Date(0), 1.5, 2 ** 53, Number.NaN, 1n, { a: 1 }, new Uint8Array(1)]) {
        test(`refused as a value: ${typeof wrong} ${String(wrong)}`, async () => {
          const kv = store.write('config', tx => insert(tx, 'k', wrong as never))
          await expect(kv).rejects.toMatchObject({ code: 'INTERNAL', details: { parameter: 2 } })
        })
      }
      test('refused as a value: undefined', async () => {
        const read = store.read
          .selectFrom('kv')
          .selectAll()
          .where('key', '=', undefined as never)
        await expect(read.execute()).rejects.toThrow(/undefined/)
      })
    })

    describe('writing', () => {
      test('a body that throws undoes its own rows only', async () => {
        together()
        const wrong = new Error('no')
        const results = await Promise.allSettled([
          put('a'),
          store.write('config', async tx => {
            await insert(tx, 'b')
            throw wrong
          }),
          put('c'),
          put('a'),
          store.write('config', async tx => {
            // A broken rule undoes its statement; a body that expects it goes on.
            await insert(tx, 'a').catch(() => insert(tx, 'd'))
          }),
        ])
        expect(results.map(r => r.status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'rejected', 'fulfilled'])
        expect((results[1] as PromiseRejectedResult).reason).toBe(wrong)
        expect(await keys()).toEqual(['a', 'c', 'd'])
        expect(store.health().commits).toBe(1)
      })

      test('callers are told in the order in which they asked, failures too', async () => {
        const order: number[] = []
        await Promise.all(
          Array.from({ length: 300 }, (_, i) =>
            store
              .write('config', async tx => {
                await insert(tx, `k${i}`)
                if (i % 3 === 0) throw new Error('no')
              })
              .then(
                () => order.push(i),
                () => order.push(i),
              ),
          ),
        )
        expect(order).toEqual(Array.from({ length: 300 }, (_, i) => i))
      })

      test('nothing is told before the commit, and the reader sees nothing of it', async () => {
        const seen: string[] = []
        const slow = store.write('config', async tx => {
          await insert(tx, 'a')
          // A read on the other connection during the body.
          seen.push(`during: ${await keys()}`)
          for (let i = 0; i < 50; i++) await insert(tx, `b${i}`)
        })
        const failing = store
          .write('config', tx => insert(tx, 'a'))
          .catch(async () => void seen.push(`failed: ${(await keys()).length}`))
        await slow.then(async () => seen.push(`told: ${(await keys()).length}`))
        await failing
        expect(seen).toEqual(['during: ', 'told: 51', 'failed: 51'])
      })

      test('a write reads its own rows, and those of the group before it', async () => {
        const values = await Promise.all([
          put('a', '1'),
          store.write('config', async tx => {
            await tx.updateTable('kv').set({ value: '2' }).where('key', '=', 'a').execute()
            return (await tx.selectFrom('kv').select('value').executeTakeFirst())?.value
          }),
        ])
        expect(values[1]).toBe('2')
      })

      test('a body that waits for something else is rolled back; those around it are not', async () => {
        let late: Promise<unknown> | null = null
        const waits = store.write('finish', async tx => {
          await insert(tx, 'b')
          await new Promise(resolve => setTimeout(resolve, 20))
          late = insert(tx, 'late')
          await late
        })
        const results = await Promise.allSettled([put('a'), waits, put('c')])
        expect(results.map(r => r.status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
        await expect(waits).rejects.toMatchObject({ code: 'STORE_BODY_AWAITED', details: { write: 'finish' } })
        // Its statements are refused from then on, though a handle is still in its hands.
        await new Promise(resolve => setTimeout(resolve, 40))
        await expect(late).rejects.toMatchObject({ code: 'STORE_BODY_AWAITED' })
        expect(await keys()).toEqual(['a', 'c'])
      })

      test('a body that waits for another write is rolled back, not stuck', async () => {
        const outer = store.write('config', () => put('inner'))
        await expect(outer).rejects.toMatchObject({ code: 'STORE_BODY_AWAITED' })
        await store.idle()
        expect(await keys()).toEqual(['inner'])
      })

      test('a handle is of no use after its body, nor for a transaction of its own', async () => {
        const handle = await store.write('config', async tx => [tx] as const)
        await expect(insert(handle[0], 'a')).rejects.toMatchObject({ code: 'STORE_BODY_AWAITED' })
        const own = store.write('config', tx => tx.transaction().execute(t => insert(t, 'b')))
        await expect(own).rejects.toMatchObject({ code: 'INTERNAL' })
        await expect(store.read.transaction().execute(t => insert(t, 'c'))).rejects.toMatchObject({ code: 'INTERNAL' })
        await expect(insert(store.read, 'd')).rejects.toThrow(/read.?only/i)
        expect(await keys()).toEqual([])
      })

      test('1,000 writes at once share a few commits', async () => {
        together()
        await Promise.all(Array.from({ length: 1000 }, (_, i) => put(`k${i}`)))
        expect(await keys()).toHaveLength(1000)
        // 128 to a group.
        expect(store.health().commits).toBe(8)
      })

      test('after close nothing is written and everything asked before is', async () => {
        const before = Array.from({ length: 200 }, (_, i) => put(`k${i}`))
        const closing = store.close()
        await expect(put('late')).rejects.toMatchObject({ code: 'STORE_CLOSED' })
        await Promise.all([...before, closing])
      })
    })

    describe('when the database gives up', () => {
      const long = 'x'.repeat(20_000)
      const both = async (tx: Tx, key: string) => {
        await insert(tx, key)
        await insert(tx, `${key}-long`, long)
      }

      test('in a body: nobody of the group is told, each runs again alone, small ones get through', async () => {
        await bench.full()
        together()
        let runs = 0
        const told: string[] = []
        const tell = (name: string) => () => void told.push(name)
        const results = await Promise.allSettled([
          store
            .write('config', async tx => {
              runs++
              await insert(tx, 'a')
            })
            .finally(tell('a')),
          store.write('accept', tx => both(tx, 'b')).finally(tell('b')),
          put('c').finally(tell('c')),
        ])
        expect(results.map(r => r.status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
        expect((results[1] as PromiseRejectedResult).reason).toMatchObject({ code: 'DISK_FULL' })
        expect(runs).toBe(2)
        expect(told).toEqual(['a', 'b', 'c'])
        expect(await keys()).toEqual(['a', 'c'])
      })

      test('a body that goes on after it writes nothing outside its transaction', async () => {
        await bench.full()
        const stubborn = store.write('accept', async tx => {
          await insert(tx, 'long', long).catch(() => undefined)
          await insert(tx, 'after')
        })
        await expect(stubborn).rejects.toMatchObject({ code: 'DISK_FULL' })
        expect(await keys()).toEqual([])
      })

      test('claiming stops and says so, reads go on, work that was done waits and is written when there is room', async () => {
        const heard: (string | null)[] = []
        store.onTrouble(trouble => heard.push(trouble?.code ?? null))
        await put('before')
        await bench.full()
        let told = false
        const reply = store.write('reply', tx => both(tx, 'reply')).then(() => (told = true))
        await expect(store.write('accept', tx => both(tx, 'accept'))).rejects.toMatchObject({ code: 'DISK_FULL' })
        expect(store.health()).toMatchObject({ claiming: false, trouble: { code: 'DISK_FULL' }, waiting: 1 })
        expect(await keys()).toEqual(['before'])
        await store.idle()
        // Tried again meanwhile, in vain: nothing is said of that.
        await new Promise(resolve => setTimeout(resolve, 700))
        expect(told).toBe(false)
        expect(heard).toEqual(['DISK_FULL'])
        await bench.room()
        await reply
        expect(store.health()).toMatchObject({ claiming: true, trouble: null, waiting: 0 })
        expect(heard).toEqual(['DISK_FULL', null])
        expect(await keys()).toEqual(['before', 'reply', 'reply-long'])
      })

      test('with nothing that waits, claiming begins again when there is room and not before', async () => {
        const heard: (string | null)[] = []
        const over = new Promise<void>(resolve =>
          store.onTrouble(trouble => {
            heard.push(trouble?.code ?? null)
            if (!trouble) resolve()
          }),
        )
        await bench.full()
        await expect(store.write('accept', tx => both(tx, 'a'))).rejects.toMatchObject({ code: 'DISK_FULL' })
        await new Promise(resolve => setTimeout(resolve, 700))
        expect(store.health()).toMatchObject({ claiming: false, waiting: 0 })
        await bench.room()
        await over
        expect(heard).toEqual(['DISK_FULL', null])
        expect(await keys()).toEqual([])
      })

      test('what waits for room is told when the store closes', async () => {
        await bench.full()
        const reply = store.write('reply', tx => both(tx, 'reply'))
        reply.catch(() => undefined)
        await store.idle()
        await store.close()
        await expect(reply).rejects.toMatchObject({ code: 'STORE_CLOSED' })
      })

      test('every error has a code of the table', async () => {
        await bench.full()
        const error = await store.write('accept', tx => both(tx, 'a')).catch((error: unknown) => error)
        expect(error).toBeInstanceOf(DeputyError)
        expect((error as DeputyError).fix).not.toBe('')
      })
    })
  })
}

async function add<T extends keyof Tables>(store: Store, table: T, row: object): Promise<void> {
  await store.write('config', async tx => {
    await tx
      .insertInto(table)
      .values(row as Insertable<Tables[T]>)
      .execute()
  })
}
