import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { sweepDaily } from './sweep.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const minute = 60_000
const day = 24 * 60 * minute

test('comes after ten minutes and then daily, also after a failure; tells what it did; stops', async () => {
  const said: string[] = []
  const sweep = vi.fn<() => Promise<number>>()
  sweep.mockResolvedValueOnce(0).mockRejectedValueOnce(new Error('no folder')).mockResolvedValueOnce(3)
  const stop = sweepDaily({ sweep }, line => said.push(line))
  await vi.advanceTimersByTimeAsync(9 * minute)
  expect(sweep).not.toHaveBeenCalled()
  await vi.advanceTimersByTimeAsync(2 * minute)
  expect(sweep).toHaveBeenCalledTimes(1)
  await vi.advanceTimersByTimeAsync(2 * day)
  expect(sweep).toHaveBeenCalledTimes(3)
  expect(said).toEqual([
    'store: the sweep failed: no folder',
    'store: removed 3 files of long texts that nothing refers to',
  ])
  stop()
  await vi.advanceTimersByTimeAsync(3 * day)
  expect(sweep).toHaveBeenCalledTimes(3)
})
