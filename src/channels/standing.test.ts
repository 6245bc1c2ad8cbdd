/** What all services have in common when they fail: the status tells of it once, and what was to be done is done in the end. */
import { expect, test } from 'vitest'
import type { InboundMessage, Ingested } from '../core/chat.ts'
import { openStanding } from './standing.ts'

function stand(ingest: (message: InboundMessage) => Promise<Ingested>, final = false) {
  let changes = 0
  const lines: string[] = []
  const standing = openStanding(
    {
      ingest,
      changed: () => void changes++,
      clock: { now: () => 7 },
      log: (_level, message) => void lines.push(message),
    },
    { problemOf: error => ({ code: 'CHANNEL_UNREACHABLE', message: String(error), fix: 'wait', final }) },
  )
  return { standing, lines, changes: () => changes }
}

const message = { id: '1' } as InboundMessage

test('the house hears of a change of state once, and of times not at all', () => {
  const { standing, changes, lines } = stand(async () => ({ done: 'accepted' }))
  standing.begin()
  standing.ill('no way')
  standing.ill('no way')
  expect([changes(), lines, standing.status.state]).toEqual([2, ['no way'], 'connecting'])
  standing.well()
  standing.well()
  standing.change({ lastOutboundAt: 9 })
  expect([changes(), standing.status]).toMatchObject([3, { state: 'connected', problem: null, reconnects: 0 }])
  standing.ill('again')
  expect(standing.status.state).toBe('reconnecting')
  standing.well()
  expect(standing.status).toMatchObject({ state: 'connected', reconnects: 1, connectedAt: 7 })
})

test('what has no use is not tried again', async () => {
  const { standing } = stand(async () => ({ done: 'accepted' }), true)
  let calls = 0
  const call = async () => {
    calls++
    throw new Error('never')
  }
  expect(await standing.persist(call, new AbortController().signal)).toBe(null)
  expect([calls, standing.status.state]).toEqual([1, 'failed'])
})

test('a message is brought until it is taken, until the account stops, or until there is no use in it', async () => {
  let left = 2
  const { standing } = stand(async () => {
    if (left-- > 0) throw new Error('full')
    return { done: 'accepted' }
  })
  expect(await standing.hand(message, new AbortController().signal)).toEqual({ done: 'accepted' })
  left = 9
  await expect(standing.hand(message, new AbortController().signal, () => false)).rejects.toThrow('full')
  const over = new AbortController()
  const handed = standing.hand(message, over.signal)
  over.abort()
  await expect(handed).rejects.toThrow(/abort/i)
  expect(left).toBe(7)
})
