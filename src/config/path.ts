/**
 * Names of configuration keys as people write them (`agents.list[0].model`, `models.providers["a.b"].baseUrl`) and as code
 * walks them. Pure. Reading and writing go through own properties only.
 */
import { DeputyError } from '../protocol/errors.ts'

export type Path = readonly (string | number)[]

export function joinPath(path: Path): string {
  let written = ''
  for (const part of path) {
    if (typeof part === 'number') written += `[${part}]`
    else if (/^[\w$-]+$/.test(part)) written += written === '' ? part : `.${part}`
    else written += `[${JSON.stringify(part)}]`
  }
  return written === '' ? '(the whole file)' : written
}

/** Throws `CONFIG_INVALID` for what is not a path. A bare number is an index or a key, as what it meets decides. */
export function parsePath(written: string): Path {
  const parts: (string | number)[] = []
  const piece = /(?:^|\.)([\w$:@/*+-]+)|\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]/y
  while (piece.lastIndex < written.length) {
    const match = piece.exec(written)
    if (!match) throw notAPath(written)
    if (match[1] !== undefined) parts.push(match[1])
    else if (match[2] !== undefined) parts.push(Number(match[2]))
    else parts.push(quoted(match[3]!, written))
  }
  if (parts.length === 0 || parts.includes('__proto__')) throw notAPath(written)
  return parts
}

function quoted(literal: string, written: string): string {
  try {
    return JSON.parse(literal) as string
  } catch (cause) {
    throw notAPath(written, cause)
  }
}

function notAPath(written: string, cause?: unknown): DeputyError {
  return new DeputyError('CONFIG_INVALID', `"${written.slice(0, 100)}" is not the name of a configuration key.`, {
    fix: 'Write it like gateway.port, agents.list[0].model or models.providers["my.host"].baseUrl.',
    details: { key: written.slice(0, 100) },
    cause,
  })
}

function stepInto(value: unknown, part: string | number): unknown {
  if (Array.isArray(value)) return value[Number(part)]
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined
  return (value as Record<string, unknown>)[part]
}

export function getAt(value: unknown, path: Path): unknown {
  return path.reduce(stepInto, value)
}

/** A copy of `root` with the value at `path`, objects made on the way; `undefined` takes the key away. */
export function setAt(root: unknown, path: Path, value: unknown): unknown {
  const [part, ...rest] = path
  if (part === undefined) return value
  if (Array.isArray(root)) {
    const index = Number(part)
    if (!Number.isInteger(index) || index < 0 || index > root.length)
      throw new DeputyError('CONFIG_INVALID', `A list of ${root.length} has no place ${part}.`, {
        fix: `Name a place from 0 to ${root.length}.`,
      })
    const next = setAt(root[index], rest, value)
    return next === undefined ? root.toSpliced(index, 1) : root.toSpliced(index, 1, next)
  }
  const object: Record<string, unknown> = typeof root === 'object' && root !== null ? { ...root } : {}
  const next = setAt(Object.hasOwn(object, part) ? object[part] : undefined, rest, value)
  if (next === undefined) delete object[part]
  else object[part] = next
  return object
}
