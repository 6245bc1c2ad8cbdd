/**
 * What many runs have used together, read from the ledger: the sums that caps are held against (core/budget.ts).
 * Owns the sums only. What is set aside counts as used, as `counted` has it. Reads in the transaction it is handed.
 */
import type { Spend } from '../core/types.ts'
import type { Tx } from './open.ts'

/** Whose rows are summed; nobody named is everybody. */
export type Whose = { agent: string } | { tree: string } | { sender: string } | Record<never, never>

/** Since `since`, epoch ms. */
export async function usedBy(db: Tx, whose: Whose, since: number): Promise<Spend> {
  const [row] = await db.ask(sumOf, whose, since)
  return { nano: Number(row?.nano ?? 0), tokens: Number(row?.tokens ?? 0), calls: Number(row?.calls ?? 0) }
}

const sumOf = (db: Tx, whose: Whose, since: number) => {
  let query = db
    .selectFrom('usage')
    .select(eb => {
      const of = (reserved: 'reserved_nano' | 'reserved_tokens', charged: 'charged_nano' | 'charged_tokens') =>
        eb.fn.sum<number>(eb.case().when('state', '=', 'reserved').then(eb.ref(reserved)).else(eb.ref(charged)).end())
      return [
        of('reserved_nano', 'charged_nano').as('nano'),
        of('reserved_tokens', 'charged_tokens').as('tokens'),
        eb.fn
          .sum<number>(eb.case().when('state', '=', 'reserved').then(eb.lit(1)).else(eb.ref('charged_calls')).end())
          .as('calls'),
      ]
    })
    .where('at', '>=', since)
  for (const [column, name] of Object.entries(whose))
    query = query.where(column as 'agent' | 'tree' | 'sender', '=', name)
  return query
}
