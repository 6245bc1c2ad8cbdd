/**
 * Kysely over node:sqlite: how a compiled query reaches a DatabaseSync and how its rows come back.
 *
 * Owns the statement cache and the rules for bound values (decisions.md 26, 29). Never begins, commits or rolls back: the
 * writer does (decisions.md 10), and Kysely's own transactions are refused, since they would commit a stranger's rows.
 *
 * Invariants:
 * 1. A statement runs in the tick in which Kysely hands it over, or after the rest that the connection's owner takes before it.
 * 2. A handle that was ended runs nothing any more, whoever still holds it.
 */
import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite'
import {
  type CompiledQuery,
  type ConnectionProvider,
  type DatabaseConnection,
  DefaultQueryExecutor,
  type Dialect,
  type Driver,
  Kysely,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
} from 'kysely'
import { DeputyError } from '../protocol/errors.ts'
import { type Asks, type Bound, makeTexts } from './ask.ts'
import type { Bodies } from './bodies.ts'
import { StateCompiler } from './compiler.ts'
import type { LongText, Tables } from './tables.ts'

/** Statements kept prepared per connection; the house has far fewer texts than this unless `in` lists vary in length. */
const cachedStatements = 400

interface Prepared {
  statement: StatementSync
  /** True when it gives rows: a select, or a write with `returning`. */
  rows: boolean
}

export interface Connection {
  run(query: Bound): QueryResult<never>
  /** A wait that comes before the next statement; null for none. */
  rest(): Promise<void> | null
}

/** Kysely's builders, and queries that are kept. */
export type Db = Kysely<Tables> & Asks

/** A Kysely over a connection that can be taken away again. */
export interface Handle {
  db: Db
  /** From now on every statement of this handle is refused with the error that `why` makes. */
  end(why: () => DeputyError): void
}

export interface ConnectionOptions {
  /** Folds long texts on their way in and unfolds them on their way out; without it columns are shown as they are. */
  bodies?: Bodies
  /** Hears every statement that failed, before its caller does. */
  onError?(error: unknown): void
  /** Asked before each statement; without it none waits. */
  rest?(): Promise<void> | null
}

export function makeConnection(
  db: DatabaseSync,
  { bodies, onError, rest = () => null }: ConnectionOptions = {},
): Connection {
  const cache = new Map<string, Prepared>()

  function prepare(sql: string): Prepared {
    const known = cache.get(sql)
    if (known) {
      // The oldest goes first: a text that is used again moves to the end.
      if (cache.size === cachedStatements) {
        cache.delete(sql)
        cache.set(sql, known)
      }
      return known
    }
    const statement = db.prepare(sql)
    const made = { statement, rows: statement.columns().length > 0 }
    if (cache.size === cachedStatements) cache.delete(cache.keys().next().value!)
    cache.set(sql, made)
    return made
  }

  function run(query: Bound): QueryResult<never> {
    try {
      const values = query.parameters.map((value, i) =>
        bindable(bodies && isLong(value) ? bodies.fold(value.long) : value, i, query.sql),
      )
      const { statement, rows } = prepare(query.sql)
      if (rows) return { rows: whole(statement.all(...values)) as never[] }
      const { changes, lastInsertRowid } = statement.run(...values)
      return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) }
    } catch (error) {
      onError?.(error)
      throw error
    }
  }

  /** The one column that holds long texts has one name wherever it is read. */
  function whole(rows: Record<string, SQLOutputValue>[]): unknown[] {
    if (!bodies || typeof rows[0]?.['parts'] !== 'string') return rows
    for (const row of rows) row['parts'] = bodies.unfold(String(row['parts']))
    return rows
  }

  return { run, rest }
}

function isLong(value: unknown): value is LongText {
  return typeof value === 'object' && value !== null && 'long' in value
}

/**
 * What may be bound: null, a string, a whole number within ±(2^53 − 1). A NUL is taken out of a string and a lone surrogate
 * becomes U+FFFD: Postgres stores neither. Anything else is a mistake of the caller and is refused.
 */
export function bindable(value: unknown, index: number, sql: string): SQLInputValue {
  if (value === null) return null
  if (typeof value === 'string') {
    const formed = value.isWellFormed() ? value : value.toWellFormed()
    return formed.includes('\0') ? formed.replaceAll('\0', '') : formed
  }
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value
  const kind =
    typeof value === 'number'
      ? `the number ${value}`
      : value instanceof Date
        ? 'a Date'
        : `a value of type ${typeof value}`
  throw new DeputyError('INTERNAL', `A column takes text, whole numbers and null, not ${kind}.`, {
    details: { parameter: index + 1, sql },
  })
}

const refuse = (what: string) => async (): Promise<never> => {
  throw new DeputyError('INTERNAL', `${what} is not for the store's handles: write inside store.write().`)
}

/** Kysely asks a driver for transactions only; statements go through the connection provider. */
const driver: Driver = {
  init: async () => undefined,
  acquireConnection: refuse('A connection of its own'),
  beginTransaction: refuse("Kysely's transaction()"),
  commitTransaction: refuse("Kysely's transaction()"),
  rollbackTransaction: refuse("Kysely's transaction()"),
  releaseConnection: async () => undefined,
  destroy: async () => undefined,
}

const dialect: Dialect = {
  createDriver: () => driver,
  createQueryCompiler: () => new StateCompiler(),
  createAdapter: () => new SqliteAdapter(),
  createIntrospector: db => new SqliteIntrospector(db),
}

export function makeHandles(connection: Connection): () => Handle {
  const compiler = new StateCompiler()
  const adapter = new SqliteAdapter()
  const text = makeTexts()

  return function handle() {
    let ended: (() => DeputyError) | null = null
    const kyselyConnection: DatabaseConnection = {
      async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
        const rest = connection.rest()
        if (rest) await rest
        if (ended) throw ended()
        return connection.run(query)
      },
      streamQuery() {
        throw new DeputyError(
          'INTERNAL',
          'Rows are not streamed: a long read would hold back the checkpoint. Read pages.',
        )
      },
    }
    const provider: ConnectionProvider = { provideConnection: consumer => consumer(kyselyConnection) }
    const executor = new DefaultQueryExecutor(compiler, adapter, provider)
    const asks: Asks = {
      async ask(query, ...values) {
        const rest = connection.rest()
        if (rest) await rest
        if (ended) throw ended()
        return connection.run(text(db, query, values)).rows
      },
    }
    const db = Object.assign(new Kysely<Tables>({ config: { dialect }, dialect, driver, executor }), asks)
    return {
      db,
      end(why) {
        ended = why
      },
    }
  }
}
