/** Answers are read on a phone: about forty columns, and one screen. */
import { expect, test } from 'vitest'
import { lastText, openTestHouse } from '../../../test/support/house.ts'
import { commandTable } from './table.ts'

const columns = 40
const rows = 20

function rowsOf(text: string): number {
  return text.split('\n').reduce((sum, line) => sum + Math.max(1, Math.ceil([...line].length / columns)), 0)
}

const forever = new Promise<never>(() => undefined)
const words = 'an endless sentence about nothing in particular, which goes on '.repeat(8)

test('every answer fits one screen, however much there is to say', async () => {
  const agents = Object.fromEntries(Array.from({ length: 30 }, (_, n) => [`an-agent-with-a-name-${n}`, {}]))
  const it = await openTestHouse({
    agents: { main: { maxChildrenPerAgent: 100 }, extractor: {}, ...agents },
    script: request => (lastText(request).startsWith('quick') ? { text: words } : { wait: forever, text: words }),
  })
  const ask = async (text: string) => {
    const { status, wireId } = await it.say(text)
    expect([text, status]).toEqual([text, 'command'])
    return (await it.house.wait(wireId, { until: 'turn', timeoutMs: 5000 }))?.text ?? ''
  }
  const tall: [string, number][] = []
  const look = async (text: string) => {
    const answer = await ask(text)
    expect(answer, text).not.toBe('')
    // One line each is what it is for.
    const most = text === '/commands' ? commandTable.length + 2 : rows
    if (rowsOf(answer) > most) tall.push([`${text}:\n${answer}`, rowsOf(answer)])
    return answer
  }
  await look('/subagents list')
  for (let n = 0; n < 20; n++) await look(`/subagents spawn extractor quick ${words}`)
  const atWork = async () =>
    (await it.house.runs({ limit: 100 })).filter(({ run }) => run.depth > 0 && run.state !== 'done')
  while ((await atWork()).length > 0) await new Promise(resolve => setTimeout(resolve, 10))
  for (let n = 0; n < 20; n++) await ask(`/subagents spawn extractor slow ${words}`)
  const forms = ['/help', '/help subagents', '/commands', '/status', '/agents', '/whoami', '/tasks', '/usage', '/model']
  forms.push(
    '/thinking',
    '/approve',
    '/approve nobody allow-once',
    '/explain 2',
    '/explain 1',
    '/explain',
    '/help nothing',
  )
  for (const verb of ['list', 'info 1', 'info 22', 'info last', 'info 99', 'log 1', 'log 22', 'log 1 tools', 'fly'])
    forms.push(`/subagents ${verb}`)
  forms.push(
    '/subagents send 2 more',
    '/subagents steer 22 more',
    '/kill 99',
    '/kill',
    `/kill ${words}`,
    '/model none/x',
  )
  forms.push('/think deep', '/usage weird', '/steer', '/kill 22', '/subagents spawn nobody x', '/kill all', '/stop')
  for (const form of forms) await look(form)
  expect(tall).toEqual([])
  await it.close()
}, 30_000)
