/**
 * Files that had their time: copies that were made to go out (`media/outbound`), and what people sent (`inbox` of a workspace).
 *
 * Owns the removing; core/retention.ts has the rules. Invariants: what a message that is still to be said names, or one that
 * could be tried again, stays; a file is looked at once more in the very tick in which it goes, since whoever names it anew
 * has made it young before that is a row. Nothing but plain files of these folders is touched, and no link is followed.
 */
import { lstatSync, unlinkSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Content } from '../core/chat.ts'
import type { Clock } from '../core/ports.ts'
import { copyGoes, receivedGoes, type RetentionRules } from '../core/retention.ts'
import type { Store } from '../store/open.ts'
import { outboundFolder } from '../tools/media.ts'

export interface OldFilesOptions {
  store: Pick<Store, 'read'>
  clock: Clock
  stateDir: string
  /** Absolute; of every agent. */
  workspaces(): readonly string[]
  rules(): Pick<RetentionRules, 'transcripts'>
}

const page = 200
/** As gateway/inbox.ts names what somebody sent. */
const received = /^[0-9a-f]{24}\.\w+(\.part)?$/

/** Returns how many went. */
export async function sweepFiles(options: OldFilesOptions): Promise<number> {
  const { clock, stateDir } = options
  const folder = outboundFolder(stateDir)
  const copies = (await names(folder))
    .map(name => join(folder, name))
    .filter(path => goes(path, age => copyGoes(age, false)))
  let removed = 0
  if (copies.length > 0) {
    const needed = await owed(options.store)
    for (const path of copies) removed += remove(path, age => copyGoes(age, needed.has(path)))
  }
  const rules = options.rules()
  if (rules.transcripts === null) return removed
  for (const workspace of options.workspaces()) {
    const inbox = join(workspace, 'inbox')
    const files = (await names(inbox)).filter(name => received.test(name))
    for (const name of files) removed += remove(join(inbox, name), age => receivedGoes(age, rules))
  }
  return removed

  function goes(path: string, rule: (age: number) => boolean): boolean {
    const found = lstatSync(path, { throwIfNoEntry: false })
    return found?.isFile() === true && rule(clock.now() - found.mtimeMs)
  }

  function remove(path: string, rule: (age: number) => boolean): number {
    if (!goes(path, rule)) return 0
    unlinkSync(path)
    return 1
  }
}

/** The files of all that is still to be said or could be tried again. */
async function owed(store: Pick<Store, 'read'>): Promise<Set<string>> {
  const paths = new Set<string>()
  for (let last = 0; ; ) {
    const rows = await store.read
      .selectFrom('outbox')
      .select(['id', 'payload'])
      .where('state', '<>', 'sent')
      .where('id', '>', last)
      .orderBy('id')
      .limit(page)
      .execute()
    for (const { payload } of rows) for (const { path } of (JSON.parse(payload) as Content).media ?? []) paths.add(path)
    if (rows.length < page) return paths
    last = rows.at(-1)!.id
  }
}

async function names(folder: string): Promise<string[]> {
  return await readdir(folder).catch(error => {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return []
    throw error
  })
}
