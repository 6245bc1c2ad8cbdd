/**
 * Bringing a home of OpenClaw over, while no gateway runs in ours.
 *
 * Owns the order and what is named as not taken. Never writes under the source. One thing that cannot be taken keeps no
 * other from coming; a second import takes what is missing and changes nothing else.
 */
import { existsSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { prepareHome, reason } from '../../config/home.ts'
import { DeputyError } from '../../protocol/errors.ts'
import { bringConfig } from './config.ts'
import { bringKeys, bringWhatsApp, bringWorkspaces } from './files.ts'
import { type Importing, type Item, item, names, readRecord, record, text } from './item.ts'
import { bringDevices, bringSenders } from './rows.ts'
import { bringSessions } from './sessions.ts'

const marks = ['openclaw.json', 'agents', 'credentials', 'devices']

/** Throws USAGE for a directory that is no home of OpenClaw, HOME_LOCKED while a gateway runs. */
export async function bring(about: Importing, log: (line: string) => void): Promise<Item[]> {
  const { source, home, dry } = about
  if (!names(source).some(name => marks.includes(name)))
    throw new DeputyError('USAGE', `${source} is no home of OpenClaw: none of ${marks.join(', ')} is in it.`, {
      fix: 'Name its directory: deputy import --from ~/.openclaw',
    })
  if (existsSync(home.dir) && realpathSync(source) === realpathSync(home.dir))
    throw new DeputyError('USAGE', `${source} is the home of Deputy itself.`, {
      fix: 'Name another home for Deputy: deputy import --home ~/.deputy',
    })
  if (dry) return all(about, null)
  const [{ takeHomeLock }, { openStore }] = await Promise.all([
    import('../../store/lock.ts'),
    import('../../store/open.ts'),
  ])
  prepareHome(home)
  const lock = takeHomeLock(home.dir)
  try {
    const store = await openStore({ dir: home.dir, clock: { now: () => Date.now() }, log })
    try {
      return await all(about, store)
    } finally {
      await store.close()
    }
  } finally {
    lock.release()
  }
}

async function all(about: Importing, store: Parameters<typeof bringDevices>[1]): Promise<Item[]> {
  const steps: [string, () => Promise<Item[]>][] = [
    ['configuration', () => bringConfig(about)],
    ['keys of agents', () => bringKeys(about)],
    ['workspaces', () => bringWorkspaces(about)],
    ['WhatsApp logins', () => bringWhatsApp(about)],
    ['people let in', () => bringSenders(about, store)],
    ['devices', () => bringDevices(about, store)],
    ['conversations', () => bringSessions(about, store)],
  ]
  const items: Item[] = []
  for (const [what, step] of steps) {
    try {
      items.push(...(await step()))
    } catch (error) {
      const todo = 'Mend this, then import again: what has come already stays.'
      items.push(item('failed', what, about.source, reason(error), todo))
    }
  }
  items.push(...leftIn(about.source))
  return items
}

function leftIn(source: string): Item[] {
  const known: [string, string, string | null][] = [
    [
      'cron/jobs.json',
      schedulesIn(source),
      'They do not run here: let another program call deputy agent at these times.',
    ],
    ['devices/pending.json', 'requests of devices that wait', null],
    ['nodes/paired.json', 'what nodes may be asked to do', null],
    ['exec-approvals.json', 'commands that were allowed for good', 'Answer when Deputy asks: docs/approvals.md'],
    ['memory', 'the index of memories; the notes themselves are in the workspaces', null],
    [
      'state/openclaw.sqlite',
      'what newer versions keep in SQLite: conversations, schedules, devices, people let in',
      'Pair people and devices again; conversations begin anew.',
    ],
  ]
  return known
    .filter(([path]) => existsSync(join(source, path)))
    .map(([path, what, todo]) => item('left', what, join(source, path), 'this version does not take it', todo))
}

/** By their names, so that nobody has to look for what is to be made anew. */
function schedulesIn(source: string): string {
  const file = readRecord(join(source, 'cron', 'jobs.json'))
  const jobs = typeof file === 'string' || file === null || !Array.isArray(file['jobs']) ? [] : file['jobs']
  const named = jobs.map(job => text(record(job)?.['name']) ?? text(record(job)?.['id']) ?? '?')
  const most = 10
  const more = named.length > most ? `, and ${named.length - most} more` : ''
  return named.length === 0 ? 'schedules' : `schedules: ${named.slice(0, most).join(', ')}${more}`
}
