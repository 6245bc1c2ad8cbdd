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

test('the words of a turn are its newest ones, however many wordless replies came after them', async () => {
  const store = await open()
  const said = (seq: number, turn: number, text: string) => ({
    ...samples.messages,
    session: 's1',
    run: 'run',
    role: 'assistant',
    seq,
    id: `m${seq}`,
    parts: JSON.stringify(text ? [{ type: 'text', text }] : []),
    meta: JSON.stringify({ turn }),
  })
  const rows = [
    said(1, 0, 'before'),
    said(2, 1, 'early'),
    said(3, 1, 'words'),
    ...Array.from({ length: 30 }, (_, i) => said(4 + i, 1, '')),
  ]
  await store.write('reply', async tx => void (await tx.insertInto('messages').values(rows).execute()))
  const waits = openWaits(store.read)
  const text = async (turn: number) => {
    await store.write('finish', async tx => {
      await tx.updateTable('rpc_keys').set({ answered_turn: turn }).execute()
    })
    return (await waits.wait('wire', { until: 'turn', timeoutMs: 0 }))?.text
  }
  expect(await text(1)).toBe('words')
  expect(await text(0)).toBe('before')
  expect(await text(2)).toBe(null)
})
