/**
 * One request: known? may they? do the params fit? then the method, then the answer (design.md 4, "RPC read").
 *
 * Owns that order and the shape of every answer. Never throws: whatever goes wrong is an answer. Invariants: 1. a request
 * gets exactly one last answer. 2. authority is asked before params are looked at, from the principal's scopes as they are
 * now. 3. an error that is not of the table is logged, and told as INTERNAL without its words.
 */
import type { Principal } from '../core/principal.ts'
import type { Protocol } from '../protocol/dialect.ts'
import { DeputyError } from '../protocol/errors.ts'
import type { RequestFrame, ResponseFrame } from '../protocol/frames.ts'
import { isMethod, type MethodName, type Params, type Result, scopeOf } from '../protocol/methods.ts'
import { toWire } from '../protocol/refusal.ts'
import { covers, type Scope } from '../protocol/scopes.ts'
import type { Connection } from './connection.ts'
import { approveCommand } from './refusals.ts'
import type { Schemas } from './schemas.ts'
import type { Log } from './types.ts'

/** What a method knows of the call. */
export interface Call {
  principal: Principal
  protocol: Protocol
  /** Null when the request came without a socket. */
  connection: Connection | null
  /** Sends the first of two answers. */
  first(payload: unknown): void
}

export type Handler<M extends MethodName> = (params: Params<M>, call: Call) => Promise<Result<M>> | Result<M>

/** One handler a row of the table. */
export type Handlers = { [M in MethodName]: Handler<M> }

/** A failed answer that carries a payload too, as the second one of `agent` does (openclaw-facts.md §C4). */
export class FailedAnswer extends Error {
  readonly error: DeputyError
  readonly payload: unknown

  constructor(error: DeputyError, payload: unknown) {
    super(error.message)
    this.error = error
    this.payload = payload
  }
}

export interface Caller {
  principal: Principal
  protocol: Protocol
  connection: Connection | null
  respond(frame: ResponseFrame): void
}

export interface Dispatcher {
  dispatch(frame: RequestFrame, caller: Caller): Promise<void>
  /** Requests at work. */
  open(connection: Connection): number
  /** Whether one of them may be what changed the settings. */
  changing(connection: Connection): boolean
  /** From now on every request is refused with GATEWAY_STOPPING. */
  stop(): void
}

export function makeDispatcher(options: { handlers: Handlers; schemas: Schemas; log: Log }): Dispatcher {
  const { handlers, schemas, log } = options
  const open = new WeakMap<Connection, number>()
  const changing = new WeakMap<Connection, number>()
  const count = (counts: WeakMap<Connection, number>, connection: Connection, by: number) =>
    void counts.set(connection, (counts.get(connection) ?? 0) + by)
  let stopping = false

  async function run(frame: RequestFrame, caller: Caller): Promise<unknown> {
    const { id, method, params } = frame
    const { principal, protocol, connection } = caller
    if (stopping)
      throw new DeputyError('GATEWAY_STOPPING', 'the gateway is shutting down', { details: { retryAfterMs: 1000 } })
    const scope = scopeOf(method, params)
    if (scope !== null && !covers(principal.scopes, scope)) {
      const error = await missing(caller, method, scope)
      // A device may use what it holds, also where this connection did not ask for it at first.
      if (!covers(principal.scopes, scope)) throw error
    }
    if (!isMethod(method)) throw new DeputyError('UNKNOWN_METHOD', `unknown method: ${method}`)
    const checked = await schemas.check(method, params)
    if (!checked.ok) throw new DeputyError('INVALID_PARAMS', `invalid ${method} params: ${checked.problem}`)
    const first = (payload: unknown) => caller.respond({ type: 'res', id, ok: true, payload })
    const handler = handlers[method] as Handler<MethodName>
    return await handler(checked.params as Params<MethodName>, { principal, protocol, connection, first })
  }

  async function missing({ principal, connection }: Caller, method: string, scope: Scope): Promise<DeputyError> {
    const details: Record<string, unknown> = { missingScope: scope, requiredScopes: [scope] }
    const message = `missing scope: ${scope}`
    if (principal.kind !== 'device') {
      const fix =
        principal.kind === 'operator' && principal.via === 'proxy'
          ? `Ask for ${scope} when you connect; gateway.auth.identityScopes says what ${principal.user} may have.`
          : `Connect again and ask for ${scope}: whoever knows the secret may ask for every scope.`
      return new DeputyError('MISSING_SCOPE', message, { details, fix })
    }
    // Every caller may try what it likes, and a method that is not there is nothing to ask a person for.
    const request = isMethod(method) ? await connection?.session?.cell?.need(scope) : null
    if (!request) return new DeputyError('MISSING_SCOPE', message, { details })
    const fix = approveCommand(request.requestId)
    return new DeputyError('MISSING_SCOPE', message, { details: { ...details, ...request }, fix })
  }

  return {
    async dispatch(frame, caller) {
      const { connection } = caller
      const { id, method } = frame
      const counts = method.startsWith('config.') || method === 'secrets.reload' ? [open, changing] : [open]
      if (connection) for (const each of counts) count(each, connection, 1)
      try {
        caller.respond({ type: 'res', id, ok: true, payload: await run(frame, caller) })
      } catch (thrown) {
        if (thrown instanceof FailedAnswer) {
          caller.respond({ type: 'res', id, ok: false, payload: thrown.payload, error: toWire(thrown.error.shape()) })
        } else {
          caller.respond({ type: 'res', id, ok: false, error: toWire(shown(thrown, method).shape()) })
        }
      } finally {
        if (connection) for (const each of counts) count(each, connection, -1)
      }
    },
    open: connection => open.get(connection) ?? 0,
    changing: connection => (changing.get(connection) ?? 0) > 0,
    stop() {
      stopping = true
    },
  }

  function shown(thrown: unknown, method: string): DeputyError {
    if (thrown instanceof DeputyError) return thrown
    const cause = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)
    log('error', 'a method failed', { method, cause })
    return new DeputyError('INTERNAL', `${method} failed inside the gateway`)
  }
}
