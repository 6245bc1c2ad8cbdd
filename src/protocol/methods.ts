/**
 * THE table: every method that can be called, its params, its scope, the first protocol version that lists it.
 *
 * Owns the table, put together from methods/*.ts by family, and what follows from it: names, types, the scope of a call.
 * Results are in results.ts. Pinned by test/pins.test.ts. Never runs a method: gateway/methods/ does, and its type demands
 * one handler a row.
 */
import { channelMethods } from './methods/channels.ts'
import { approvalMethods } from './methods/approvals.ts'
import { chatMethods } from './methods/chat.ts'
import { configMethods } from './methods/config.ts'
import { outboxMethods } from './methods/outbox.ts'
import type { MethodRow } from './methods/row.ts'
import { deviceMethods } from './methods/devices.ts'
import { runMethods } from './methods/runs.ts'
import { sessionMethods } from './methods/sessions.ts'
import { systemMethods } from './methods/system.ts'
import type { Results } from './results.ts'
import type { Scope } from './scopes.ts'

export const methods = {
  ...systemMethods,
  ...chatMethods,
  ...sessionMethods,
  ...configMethods,
  ...runMethods,
  ...outboxMethods,
  ...deviceMethods,
  ...channelMethods,
  ...approvalMethods,
} as const

export type MethodName = keyof typeof methods

/** As checked: what a handler gets and a client sends. */
export type Params<M extends MethodName> = import('zod').z.output<ReturnType<(typeof methods)[M]['params']>>

export type Result<M extends MethodName> = Results[M]

export const methodNames = Object.keys(methods) as MethodName[]

export function isMethod(name: string): name is MethodName {
  return Object.hasOwn(methods, name)
}

/** What a call needs; an unknown method needs admin, so that a stranger can't tell which exist (openclaw-facts.md §A2). */
export function scopeOf(name: string, params: unknown): Scope | null {
  if (!isMethod(name)) return 'operator.admin'
  const { scope } = methods[name] as MethodRow<unknown>
  if (scope === null || typeof scope === 'string') return scope
  return scope.of(typeof params === 'object' && params !== null ? (params as Record<string, unknown>) : {})
}
