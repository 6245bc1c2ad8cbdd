/**
 * `config.*` (openclaw-facts.md §C4). Owns the answers' shapes and the walk through the schema; the configuration room owns
 * what is written and what may be seen of it: no secret is ever in an answer.
 */
import type { ConfigSchema } from '../../config/jsonschema.ts'
import { restartNeeded } from '../../config/restart.ts'
import type { Change } from '../../config/types.ts'
import { DeputyError } from '../../protocol/errors.ts'
import type { Params, Result } from '../../protocol/methods.ts'
import type { ConfigChange } from '../../protocol/results.ts'
import type { Room } from './room.ts'

export function configGet(room: Room): Result<'config.get'> {
  const { path, exists, raw, hash, valid, parsed, config, issues, warnings } = room.rooms.config.view()
  return {
    path,
    exists,
    raw,
    parsed,
    sourceConfig: parsed,
    resolved: parsed,
    valid,
    config: parsed,
    runtimeConfig: config,
    hash,
    configRevisionHash: hash,
    appliedConfigHash: hash,
    issues: issues.map(({ path: at, message }) => ({ path: at, message })),
    warnings: warnings.map(({ path: at, message }) => ({ path: at, message })),
    legacyIssues: [],
  }
}

/** `config.set` and `config.apply`: the whole text. */
export async function configApply(room: Room, params: Params<'config.apply'>): Promise<ConfigChange> {
  return changed(room, await room.rooms.config.apply(params.raw, params.baseHash))
}

export async function configPatch(room: Room, params: Params<'config.patch'>): Promise<ConfigChange> {
  return changed(room, await room.rooms.config.patch(params.raw, params.baseHash, params.replacePaths))
}

function changed(room: Room, change: Change): ConfigChange {
  const { path, parsed } = room.rooms.config.view()
  return {
    ok: true,
    path,
    hash: change.hash,
    config: parsed,
    changedPaths: change.changed,
    restartRequired: change.restart,
  }
}

async function schemaOf(): Promise<ConfigSchema> {
  const { configSchema } = await import('../../config/jsonschema.ts')
  return configSchema()
}

export async function configSchemaAll(room: Room): Promise<Result<'config.schema'>> {
  const { schema, uiHints } = await schemaOf()
  return { schema, uiHints, version: room.version, generatedAt: new Date(room.now()).toISOString() }
}

type Schema = Readonly<Record<string, unknown>>

export async function configSchemaLookup(
  params: Params<'config.schema.lookup'>,
): Promise<Result<'config.schema.lookup'>> {
  const { schema, uiHints } = await schemaOf()
  const names = params.path.split('.').filter(name => name !== '')
  let here: Schema = schema
  const at: string[] = []
  for (const name of names) {
    const next = below(here, name)
    if (!next)
      throw new DeputyError('INVALID_REQUEST', `config schema path not found: ${params.path.slice(0, 200)}`, {
        fix: 'Ask for a shorter path; each answer lists what is below.',
      })
    here = next.schema
    at.push(next.wild ? '*' : name)
  }
  const { properties: _, additionalProperties: _more, items: _items, ...shown } = here
  const hint = uiHints[at.join('.')]
  return {
    path: names.join('.') || '.',
    schema: shown,
    reloadKind: restartNeeded(names.join('.')) ? 'restart' : 'hot',
    ...(hint ? { hint, hintPath: at.join('.') } : {}),
    children: membersOf(here).map(([key, child]) => {
      const path = [...names, key].join('.')
      const hintPath = [...at, key].join('.')
      const { type } = child as { type?: string }
      return {
        key,
        path,
        ...(type === undefined ? {} : { type }),
        required: false,
        hasChildren: membersOf(child).length > 0,
        reloadKind: restartNeeded(path) ? ('restart' as const) : ('hot' as const),
        ...(uiHints[hintPath] ? { hint: uiHints[hintPath], hintPath } : {}),
      }
    }),
  }
}

/** The alternatives of a schema, or the schema itself: what is below is below one of them. */
function choices(schema: Schema): readonly Schema[] {
  return Array.isArray(schema['anyOf']) ? (schema['anyOf'] as Schema[]) : [schema]
}

function below(schema: Schema, name: string): { schema: Schema; wild: boolean } | null {
  for (const choice of choices(schema)) {
    const {
      properties = {},
      additionalProperties,
      items,
    } = choice as {
      properties?: Record<string, Schema>
      additionalProperties?: Schema
      items?: Schema
    }
    if (Object.hasOwn(properties, name)) return { schema: properties[name]!, wild: false }
    const rest = additionalProperties ?? items
    if (rest) return { schema: rest, wild: true }
  }
  return null
}

function membersOf(schema: Schema): [string, Schema][] {
  return choices(schema).flatMap(choice => {
    const {
      properties = {},
      additionalProperties,
      items,
    } = choice as {
      properties?: Record<string, Schema>
      additionalProperties?: Schema
      items?: Schema
    }
    const rest = additionalProperties ?? items
    return [...Object.entries(properties), ...(rest ? [['*', rest] as [string, Schema]] : [])]
  })
}
