import { expect, onTestFinished, test } from 'vitest'
import { tempDir } from '../../test/support/temp.ts'
import type { HouseEvent } from '../core/ports.ts'
import { openStore, type Store } from '../store/open.ts'
import { samples } from '../store/samples.ts'
import { openWaits } from './waiting.ts'

const run = { ...samples.runs, id: 'run', session: 's1', state: 'running', parent: null, wait: null, wait_until: null }
const grant_json = JSON.stringify({ scopes: [], tools: [], agents: '*', depth: 1, budget: {} })
const turnTold = { on: 'run.turn', run: 'run' } as HouseEvent

async function open(): Promise<Store> {
  const store = await openStore({ dir: tempDir(), log: () => undefined })
  onTestFinished(() => store.close())
  await store.write('accept', async tx => {
    await tx.insertInto('sessions').values(samples.sessions).execute()
    await tx
      .insertInto('runs')
      .values({ ...run, grant_json })
      .execute()
    await tx
      .insertInto('rpc_keys')
      .values({ ...samples.rpc_keys, key: 'wire', run: 'run', answered_turn: null })
      .execute()
  })
  return store
}

const answer = (store: Store) =>
  store.write('finish', async tx => void (await tx.updateTable('rpc_keys').set({ answered_turn: 3 }).execute()))

for (const at of [1, 2])
  test(`a turn that ends while the rows are read, after ${at} of 2 reads, is not missed`, async () => {
    const store = await open()
    let reads = 0
    const { ask } = store.read
    const slow: Store['read']['ask'] = async (query, ...values) => {
      const rows = await ask(query, ...values)
      if (++reads === at) {
        await answer(store)
        waits.hear(turnTold)
      }
      return rows
    }
    const waits = openWaits(Object.assign(store.read, { ask: slow }))
    expect(await waits.wait('wire', { until: 'turn', timeoutMs: 3000 })).toMatchObject({ run: 'run', status: 'ok' })
  })

test('a turn is waited for until it is told of, and no longer than asked', async () => {
  const store = await open()
  const waits = openWaits(store.read)
  expect(await waits.wait('wire', { until: 'turn', timeoutMs: 20 })).toMatchObject({ status: 'pending' })
  const waiting = waits.wait('wire', { until: 'turn', timeoutMs: 20_000 })
  await answer(store)
  waits.hear(turnTold)
  expect(await waiting).toMatchObject({ run: 'run', status: 'ok' })
})
