import { expect, test } from 'vitest'
import { openTestHouse, type Said } from '../../test/support/house.ts'

test('the newest line of a run is its words, not the receipt that a tool of the house gave it', async () => {
  const hold = Promise.withResolvers<void>()
  const replies: Said[] = [
    { text: 'I start one.', calls: [{ name: 'sessions_spawn', args: { task: 'child' } }] },
    { text: 'I wait now.', calls: [{ name: 'sessions_yield', args: { message: 'a note' } }] },
    { text: 'over' },
  ]
  const counts = { parent: 0 }
  const it = await openTestHouse({
    script: request => {
      const child = request.messages[0]?.parts.some(part => part.type === 'text' && part.text.startsWith('child'))
      return child ? { text: 'never shown', wait: hold.promise } : replies[counts.parent++]!
    },
  })
  const { run, wireId } = await it.say('go')
  const line = async () => (await it.house.run(run))?.lastLine
  while ((await it.house.run(run))?.run.state !== 'waiting') await new Promise(resolve => setTimeout(resolve, 5))
  expect(await line()).toBe('I wait now.')
  hold.resolve()
  await it.done(wireId)
  expect(await line()).toBe('over')
  await it.close()
})
