/**
 * Changes to plain values: merge patches (RFC 7396, and lists of `{id}` by id, openclaw-facts.md §C4) and their differences.
 *
 * Pure; inputs are not changed. Values are what parse.ts lets through: no key `__proto__`.
 */
import { isDeepStrictEqual } from 'node:util'
import { isRecord } from './check.ts'
import { joinPath, type Path } from './path.ts'

/**
 * `null` deletes, objects merge, anything else replaces. Two lists whose items all have an `id` merge item by item; lists at
 * `replace` (paths as joinPath writes them) are taken as they are.
 */
export function mergePatch(target: unknown, patch: unknown, replace: readonly string[] = [], path: Path = []): unknown {
  if (
    Array.isArray(patch) &&
    Array.isArray(target) &&
    haveIds(patch) &&
    haveIds(target) &&
    !replace.includes(joinPath(path))
  )
    return mergeById(target, patch, replace, path)
  if (!isRecord(patch)) return patch
  const merged: Record<string, unknown> = isRecord(target) ? { ...target } : {}
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key]
    else merged[key] = mergePatch(Object.hasOwn(merged, key) ? merged[key] : undefined, value, replace, [...path, key])
  }
  return merged
}

type WithId = Record<string, unknown> & { id: string }

function haveIds(list: readonly unknown[]): list is WithId[] {
  return list.length > 0 && list.every(item => isRecord(item) && typeof item['id'] === 'string')
}

function mergeById(
  target: readonly WithId[],
  patch: readonly WithId[],
  replace: readonly string[],
  path: Path,
): unknown[] {
  const merged: WithId[] = [...target]
  for (const item of patch) {
    const at = merged.findIndex(({ id }) => id === item.id)
    const index = at < 0 ? merged.length : at
    merged[index] = mergePatch(merged[index], item, replace, [...path, index]) as WithId
  }
  return merged
}

/** One place where two values differ; `value` undefined = it is gone. */
export interface Difference {
  path: Path
  value: unknown
}

/** The fewest whole members that lead from `before` to `after`. Lists of another length are one difference. */
export function differences(before: unknown, after: unknown, path: Path = []): Difference[] {
  if (isRecord(before) && isRecord(after)) {
    const keys = new Set([...Object.keys(before), ...Object.keys(after)])
    return [...keys].flatMap(key => differences(own(before, key), own(after, key), [...path, key]))
  }
  if (Array.isArray(before) && Array.isArray(after) && before.length === after.length)
    return after.flatMap((item, index) => differences(before[index], item, [...path, index]))
  return isDeepStrictEqual(before, after) ? [] : [{ path, value: after }]
}

function own(object: Record<string, unknown>, key: string): unknown {
  return Object.hasOwn(object, key) ? object[key] : undefined
}
