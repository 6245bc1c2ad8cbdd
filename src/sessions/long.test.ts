import { createHash } from 'node:crypto'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { firstText, lastText, openTestHouse } from '../../test/support/house.ts'

/** 200 kB of words that are not the same everywhere. */
const long = (name: string) => Array.from({ length: 20_000 }, (_, i) => `${name} ${i}`.padEnd(10)).join('')
/** Short enough to be shown when a test fails, and still the whole text. */
const brief = (text: string | null) =>
  text === null ? null : `${text.slice(0, 10)} ${createHash('sha256').update(text).digest('hex')}`

test('long messages go every way whole: accepted, said, handed to a child, returned, read and read after a crash', async () => {
  const task = long('task')
  const result = long('result')
  const answer = long('answer')
  const parts: string[] = []
  const house = await openTestHouse({
    script(request) {
      if (firstText(request) === task) return { text: result }
      if (request.messages.length === 1)
        return { text: long('before'), calls: [{ name: 'sessions_spawn', args: { task } }] }
      // Of a long result the beginning is shown, and how to read the rest; what was read is put together here.
      const shown = lastText(request)
      const more = /the rest: subagents (\{.*\})|"next":(\d+)/.exec(shown)
      const inside = /<outside-data[^>]*>[^\n]*\n([\s\S]*)\n<\/outside-data>/.exec(shown)?.[1]
      if (inside) parts.push(inside)
      if (more?.[1]) return { calls: [{ name: 'subagents', args: JSON.parse(more[1]) }] }
      if (more?.[2])
        return { calls: [{ name: 'subagents', args: { action: 'result', targets: ['last'], offset: more[2] } }] }
      return inside ? { text: answer } : { text: 'waiting' }
    },
  })
  try {
    const question = long('question')
    const { run, session } = await house.say(question)
    const end = await house.done(run)
    expect({ ...end, text: brief(end.text) }).toEqual({ text: brief(answer), outcome: 'succeeded', error: null })
    expect(brief(parts.join(''))).toBe(brief(result))
    const child = (await house.house.run(run))!.children[0]!

    const look = async () => {
      const { messages } = await house.house.history(session.id, { limit: 100 })
      const said = messages.map(message => message.parts.map(part => (part.type === 'text' ? part.text : '')).join(''))
      expect(said.filter(text => text.length > 100_000).map(brief)).toEqual(
        [question, long('before'), result, answer].map(brief),
      )
      expect(brief((await house.house.run(child))!.run.result)).toBe(brief(result))
      expect(brief((await house.house.run(run))!.run.result)).toBe(brief(answer))
      expect(brief((await house.done(child)).text)).toBe(brief(result))
      expect((await house.house.runs({ limit: 10 })).map(one => one.lastLine?.slice(0, 8)).sort()).toEqual([
        'answer 0',
        'result 0',
      ])
    }
    await look()
    // What a child says and what its parent is told are the same text: one file. None of it is in the database.
    expect(readdirSync(join(house.dir, 'bodies'))).toHaveLength(5)
    await house.crash()
    await look()
    expect(statSync(join(house.dir, 'deputy.sqlite')).size).toBeLessThan(2_000_000)
  } finally {
    await house.close()
  }
})
