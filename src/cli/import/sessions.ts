/**
 * Conversations of an OpenClaw home that become conversations here, under the same keys.
 *
 * Owns which are taken: those that an index names, whose key is an agent's own, and which nobody has begun here. What ran by
 * itself (sub-agents, schedules, hooks) is over and is left. What is written is src/store/bring.ts.
 */
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { basename, join } from 'node:path'
import { bringSession } from '../../store/bring.ts'
import type { Store } from '../../store/open.ts'
import { type Importing, type Item, item, names, readRecord, record, text } from './item.ts'
import { readTranscript } from './transcripts.ts'

const ownKey = /^agent:([a-z0-9][a-z0-9_-]{0,63}):(?!subagent:|cron:|hook:|acp:)[^\n]{1,400}$/

/** `store` is null when nothing is to be written. */
export async function bringSessions({ source }: Importing, store: Store | null): Promise<Item[]> {
  const items: Item[] = []
  for (const agent of names(join(source, 'agents'))) {
    const folder = join(source, 'agents', agent, 'sessions')
    if (existsSync(folder)) items.push(...(await ofAgent(agent, folder, store)))
  }
  return items
}

async function ofAgent(agent: string, folder: string, store: Store | null): Promise<Item[]> {
  const what = `conversations of ${agent}`
  const index = join(folder, 'sessions.json')
  const file = readRecord(index)
  if (file === null) return [item('left', what, folder, 'no sessions.json says which they are')]
  if (typeof file === 'string') return [item('failed', what, index, file, 'Mend it, then import again.')]
  const items: Item[] = []
  const counts = { taken: 0, there: 0, left: 0 }
  for (const [raw, value] of Object.entries(file)) {
    const key = raw.toLowerCase()
    const entry = record(value)
    const id = text(entry?.['sessionId'])
    if (entry === null || ownKey.exec(key)?.[1] !== agent.toLowerCase() || id === null) {
      counts.left++
      continue
    }
    // Only the name counts: an index that was copied along speaks of places on another machine.
    const path = join(folder, basename(text(entry['sessionFile']) ?? `${id}.jsonl`))
    const said = readTranscript(path)
    if (typeof said === 'string') {
      items.push(item('failed', `conversation ${key}`, path, said, 'It begins anew here.'))
      continue
    }
    if (said.length === 0) {
      counts.left++
      continue
    }
    const label = text(entry['label']) ?? text(entry['displayName'])
    const updated = entry['updatedAt']
    const at = typeof updated === 'number' && Number.isSafeInteger(updated) ? updated : Date.now()
    const messages = said.map(one => ({ ...one, id: randomUUID(), at: one.at || at }))
    const row = { id: randomUUID(), agent: agent.toLowerCase(), key, label, at, messages }
    const fresh = store ? await store.write('accept', tx => bringSession(tx, row, Date.now())) : true
    counts[fresh ? 'taken' : 'there']++
  }
  const { taken, there, left } = counts
  if (taken > 0) items.push(item('taken', what, folder, `${taken}, with what was said in them; tools are named only`))
  if (there > 0) items.push(item('there', what, folder, `${there} were begun here already`))
  if (left > 0) items.push(item('left', what, folder, `${left} of sub-agents, schedules and hooks, or empty`))
  return items
}
