/** The window of open updates: whatever order they are taken in, the offset never passes one that was not. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Window } from './polling.ts'

test('the offset never passes an update that was not taken, and none is handed on twice', () => {
  const acts = fc.array(fc.record({ fetch: fc.boolean(), pick: fc.nat(), come: fc.integer({ min: 0, max: 3 }) }))
  fc.assert(
    fc.property(acts, acts => {
      const window = new Window()
      let waiting: number[] = []
      let last = 100
      const open = new Set<number>()
      const taken = new Set<number>()
      for (const { fetch, pick, come } of acts) {
        for (let i = 0; i < come; i++) waiting.push(++last)
        if (fetch) {
          waiting = waiting.filter(id => id >= window.offset)
          for (const { update_id: id } of window.fresh(waiting.map(update_id => ({ update_id })))) {
            expect(open.has(id) || taken.has(id)).toBe(false)
            open.add(id)
          }
        } else if (open.size > 0) {
          const id = [...open][pick % open.size]!
          window.done(id)
          open.delete(id)
          taken.add(id)
        }
        for (const id of open) expect(window.offset).toBeLessThanOrEqual(id)
        expect(window.busy).toBe(open.size > 0)
      }
      const lost = Array.from({ length: last - 100 }, (_, i) => 101 + i).filter(
        id => !taken.has(id) && !open.has(id) && !waiting.includes(id),
      )
      expect(lost).toEqual([])
    }),
  )
})
