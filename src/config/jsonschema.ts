/**
 * The table as a JSON Schema (draft 2020-12), with OpenClaw's hints for editors: the answer to `config.schema`.
 * Pure. Read on first use only. The schema is open, as unknown keys are warnings.
 */
import type { AnyRule } from './kit.ts'
import { root } from './schema.ts'

export interface ConfigSchema {
  schema: Record<string, unknown>
  /** By path with `*` for any key: `{label?, help, sensitive?}`. */
  uiHints: Record<string, { help: string; sensitive?: true }>
}

export function configSchema(): ConfigSchema {
  const uiHints: ConfigSchema['uiHints'] = {}
  const schema = { $schema: 'https://json-schema.org/draft/2020-12/schema', ...schemaOf(root, '', uiHints) }
  return { schema, uiHints }
}

function schemaOf(rule: AnyRule, path: string, hints: ConfigSchema['uiHints']): Record<string, unknown> {
  // Of alternatives the first word counts: that of the rule around them.
  if (path !== '') hints[path] ??= { help: rule.doc, ...(rule.kind === 'secret' && { sensitive: true as const }) }
  const about = { description: rule.doc }
  const below = (rule: AnyRule, key: string) => schemaOf(rule, path === '' ? key : `${path}.${key}`, hints)
  switch (rule.kind) {
    case 'open':
      return about
    case 'text':
      return {
        ...about,
        type: 'string',
        ...(rule.oneOf && { enum: rule.oneOf }),
        ...(rule.pattern && { pattern: rule.pattern.source }),
        ...(rule.default !== undefined && { default: rule.default }),
      }
    case 'number':
      return {
        ...about,
        type: rule.whole ? 'integer' : 'number',
        minimum: rule.min,
        maximum: rule.max,
        ...(rule.default !== undefined && { default: rule.default }),
      }
    case 'flag':
      return { ...about, type: 'boolean', ...(rule.default !== undefined && { default: rule.default }) }
    case 'secret':
      return { ...about, anyOf: [{ type: 'string' }, secretRef] }
    case 'list':
      return { ...about, type: 'array', items: below(rule.of, '*') }
    case 'map':
      return {
        ...about,
        type: 'object',
        additionalProperties: below(rule.of, '*'),
        ...(rule.key && { propertyNames: { pattern: rule.key.pattern.source } }),
      }
    case 'object': {
      const properties = Object.entries(rule.fields).flatMap(([key, field]) => {
        const schema = below(field, key)
        return field.was === undefined
          ? [[key, schema]]
          : [
              [key, schema],
              [field.was, { ...schema, deprecated: true }],
            ]
      })
      return { ...about, type: 'object', properties: Object.fromEntries(properties) }
    }
    case 'either':
      return { ...about, anyOf: rule.of.map(option => schemaOf(option, path, hints)) }
  }
}

const secretRef = {
  type: 'object',
  properties: {
    source: { enum: ['env', 'file', 'exec'] },
    provider: { type: 'string', pattern: '^[a-z][a-z0-9_-]{0,63}$' },
    id: { type: 'string', minLength: 1 },
  },
  required: ['source', 'provider', 'id'],
}
