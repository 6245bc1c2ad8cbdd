import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { conformance } from './conformance.ts'
import { openStore } from './open.ts'

conformance('SQLite', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'deputy-store-'))
  const store = await openStore({ dir, log: () => undefined })
  const pages = (most: number | null) =>
    store.write('config', async tx => {
      const { rows } = await sql<{ page_count: number }>`pragma page_count`.execute(tx)
      await sql`pragma max_page_count = ${sql.raw(String(most ?? rows[0]!.page_count))}`.execute(tx)
    })
  return {
    store,
    full: () => pages(null),
    room: () => pages(1_000_000),
    async close() {
      await store.close()
      rmSync(dir, { recursive: true })
    },
  }
})
