/**
 * The params of a call against the table. Owns the loaded zod and the schemas made so far, one a method, on first use.
 * Until the first connect nothing of zod is in memory.
 */
import { type ConnectParams, connectParams } from '../protocol/connect.ts'
import { type MethodName, methods, type Params } from '../protocol/methods.ts'
import { type Issue, problemOf, type Zod } from '../protocol/zod.ts'

export type Checked<P> = { ok: true; params: P } | { ok: false; problem: string }

export interface Schemas {
  connect(params: unknown): Promise<Checked<ConnectParams>>
  /** No params counts as none given: `{}`. */
  check<M extends MethodName>(method: M, params: unknown): Promise<Checked<Params<M>>>
}

interface Schema {
  safeParse(
    value: unknown,
  ): { success: true; data: unknown } | { success: false; error: { issues: readonly unknown[] } }
}

export function openSchemas(): Schemas {
  const made = new Map<string, Schema>()
  let zod: Zod | null = null

  async function schemaOf(name: string, make: (z: Zod) => unknown): Promise<Schema> {
    zod ??= (await import('zod')).z
    const schema = made.get(name) ?? (make(zod) as Schema)
    made.set(name, schema)
    return schema
  }

  function check<P>(schema: Schema, params: unknown): Checked<P> {
    const result = schema.safeParse(params)
    if (result.success) return { ok: true, params: result.data as P }
    return { ok: false, problem: problemOf(result.error.issues as readonly Issue[]) }
  }

  return {
    async connect(params) {
      return check(await schemaOf('connect', connectParams), params)
    },
    async check(method, params) {
      return check(await schemaOf(method, methods[method].params), params ?? {})
    },
  }
}
