import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { daily, goRound } from './sweep.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const minute = 60_000
const day = 24 * 60 * minute

test('comes after ten minutes and then daily, also after a failure; tells what it did; stops', async () => {
  const said: string[] = []
  const work = vi.fn<() => Promise<string | null>>()
  work.mockResolvedValueOnce(null).mockRejectedValueOnce(new Error('no folder')).mockResolvedValueOnce('3 files')
  const stop = goRound({ name: 'the sweep', ...daily, work }, line => said.push(line))
  await vi.advanceTimersByTimeAsync(9 * minute)
  expect(work).not.toHaveBeenCalled()
  await vi.advanceTimersByTimeAsync(2 * minute)
  expect(work).toHaveBeenCalledTimes(1)
  await vi.advanceTimersByTimeAsync(2 * day)
  expect(work).toHaveBeenCalledTimes(3)
  expect(said).toEqual(['the sweep failed: no folder', 'the sweep: 3 files'])
  stop()
  await vi.advanceTimersByTimeAsync(3 * day)
  expect(work).toHaveBeenCalledTimes(3)
})
