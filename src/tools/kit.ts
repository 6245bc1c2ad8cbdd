/**
 * How a tool is made: a blueprint with a zod schema becomes a `Tool` of core/ports.ts.
 *
 * Owns: the JSON Schema a model is shown (built once per tool, on first use), the way from raw arguments to checked ones,
 * and the way from an error to words for the model. Never runs anything itself.
 * Invariants: 1 nothing a model sends throws out of parse. 2 a refusal of a tool or of the operating system
 * become a reply; anything else (a mistake of ours, a refusal of the store) is thrown on.
 */
import type { Tool, ToolAnswer, ToolContext, ToolReply, ToolView } from '../core/ports.ts'
import type { Repeat } from '../core/types.ts'
import { DeputyError, type ErrorCode } from '../protocol/errors.ts'
import type { Zod } from '../protocol/zod.ts'
import { fitArguments, type Habits, type ObjectSchema, signature } from './fit.ts'

type ZodObject = ReturnType<Zod['object']>
type Output<S> = S extends { _zod: { output: infer O } } ? O : never

export interface Blueprint<S extends ZodObject> extends Habits {
  name: string
  label: string
  /** Without `group:` (openclaw-facts.md §E5). */
  group: string
  repeat: Repeat
  description: string
  input(z: Zod): S
  /** The schema for one view; default: the same for all. */
  shown?(schema: ObjectSchema, view: ToolView): ObjectSchema
  /** Parameters that are taken and not shown: what only models that know them ask for costs no prompt. */
  unshown?(view: ToolView): readonly string[]
  /** A reason why the call is refused now, before its arguments are looked at. */
  closed?(view: ToolView): string | null
  run(args: Output<S>, context: ToolContext): Promise<ToolAnswer>
}

/** `zod` answers once the toolbox is ready (toolbox.ts). */
export function makeTool<S extends ZodObject>(blueprint: Blueprint<S>, zod: () => Zod): Tool {
  const { name, label, group, repeat, description } = blueprint
  const built: { at?: { check: S; schema: ObjectSchema } } = {}

  function schemas(): { check: S; schema: ObjectSchema } {
    if (!built.at) {
      const z = zod()
      const check = blueprint.input(z)
      built.at = { check, schema: tidy(z.toJSONSchema(check, { io: 'input' })) as ObjectSchema }
    }
    return built.at
  }

  const taken = (view: ToolView): ObjectSchema => {
    const { schema } = schemas()
    return blueprint.shown ? blueprint.shown(schema, view) : schema
  }

  const shown = (view: ToolView): ObjectSchema => {
    const schema = taken(view)
    const hidden = blueprint.unshown?.(view) ?? []
    if (hidden.length === 0) return schema
    const kept = Object.entries(schema.properties).filter(([key]) => !hidden.includes(key))
    return { ...schema, properties: Object.fromEntries(kept) }
  }

  return {
    name,
    label,
    group,
    repeat,
    spec: view => ({ name, description, schema: shown(view) as unknown as Record<string, unknown> }),
    parse(raw, view) {
      const closed = blueprint.closed?.(view)
      if (closed) return { ok: false, problem: closed }
      const problem = (what: string) => ({ ok: false as const, problem: `${name}: ${what}. ${signature(shown(view))}` })
      const fitted = fitArguments(raw, taken(view), blueprint)
      if (!fitted.ok) return problem(fitted.problem)
      const checked = schemas().check.safeParse(fitted.args)
      if (checked.success) return { ok: true, args: checked.data }
      const issues = checked.error.issues.slice(0, 3)
      return problem(
        issues.map(issue => `${issue.path.map(String).join('.') || 'arguments'}: ${issue.message}`).join('; '),
      )
    },
    async run(args, context) {
      try {
        return await blueprint.run(args as Output<S>, context)
      } catch (error) {
        return { reply: refusal(error, context.signal) }
      }
    },
  }
}

export function said(text: string, details?: Record<string, unknown>): { reply: ToolReply } {
  return { reply: { parts: [{ type: 'text', text }], isError: false, ...(details ? { details } : {}) } }
}

export function failed(code: ErrorCode, text: string, details: Record<string, unknown> = {}): { reply: ToolReply } {
  return { reply: { parts: [{ type: 'text', text }], isError: true, details: { ...details, code } } }
}

const systemWords: Record<string, string> = {
  ENOENT: 'there is no such file or folder',
  EACCES: 'permission denied',
  EPERM: 'not permitted',
  ENOTDIR: 'a part of the path is not a folder',
  EISDIR: 'it is a folder',
  EEXIST: 'it exists already',
  EROFS: 'the file system is read-only',
  ENAMETOOLONG: 'the name is too long',
  E2BIG: 'the command is too long; write it into a file and run that',
  EMFILE: 'too many open files; try again',
  ELOOP: 'the path runs through a link that is not followed',
}

/** The words for an error that a call may end in; throws on what is a mistake of ours. */
function refusal(error: unknown, signal: AbortSignal): ToolReply {
  const { name, code, syscall } = error as NodeJS.ErrnoException
  if (signal.aborted && (error === signal.reason || name === 'AbortError'))
    return failed('RUN_CANCELLED', 'Cancelled before it was finished.').reply
  if (error instanceof DeputyError && /^(TOOL|SANDBOX)_/.test(error.code))
    return failed(error.code, `${error.message} ${error.fix}`, error.details).reply
  if (!code || !syscall) throw error
  if (code === 'ENOSPC' || code === 'EDQUOT') return failed('DISK_FULL', 'The disk is full; nothing was changed.').reply
  return failed('TOOL_FAILED', `Failed: ${systemWords[code] ?? `${code} in ${syscall}`}.`).reply
}

/** Takes out what tells a model nothing: the dialect, the bounds of whole numbers, the closedness (parse says it). */
function tidy(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(tidy)
  if (typeof node !== 'object' || node === null) return node
  const kept = Object.entries(node).filter(
    ([key, value]) =>
      key !== '$schema' &&
      key !== 'additionalProperties' &&
      key !== 'propertyNames' &&
      Math.abs(value) !== Number.MAX_SAFE_INTEGER,
  )
  return Object.fromEntries(kept.map(([key, value]) => [key, tidy(value)]))
}
