/**
 * The law of the house (design.md 3), read from the sources so that no lint setting can weaken it:
 * ranks, leaves, purity of protocol and core, file sizes, one way to open a transaction.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'

const root = resolve(import.meta.dirname, '..')
const src = join(root, 'src')
const rank: Record<string, number> = {
  protocol: 0,
  core: 1,
  config: 2,
  store: 2,
  models: 2,
  tools: 2,
  engine: 3,
  delivery: 3,
  agent: 4,
  sessions: 5,
  router: 6,
  gateway: 7,
}
const leaf: Record<string, string[]> = {
  channels: ['protocol', 'core'],
  client: ['protocol'],
  cli: ['protocol', 'client', 'config', 'store'],
}
/** Only these import everything: the composition root and the program's entry. */
const roots = new Set(['app.ts', 'main.ts'])

function files(folder: string): string[] {
  return readdirSync(folder).flatMap(name => {
    const path = join(folder, name)
    if (statSync(path).isDirectory()) return files(path)
    return /\.tsx?$/.test(name) ? [path] : []
  })
}

/** Comments go first, so that an example in a header is not an import. */
function code(path: string): string {
  return readFileSync(path, 'utf8')
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/^\s*\/\/.*$/gm, '')
}

function imports(path: string): string[] {
  return [...code(path).matchAll(/(?:from|import)\s*\(?\s*['"]([^'"]+)['"]/g)].map(match => match[1]!)
}

function roomOf(path: string): string {
  const parts = relative(src, path).split('/')
  return parts.length === 1 ? parts[0]! : parts[0]!
}

function allowed(from: string, to: string): boolean {
  if (roots.has(from) || from === to) return true
  if (leaf[from]) return leaf[from].includes(to)
  return rank[from] !== undefined && rank[to] !== undefined && rank[to] < rank[from]
}

const all = files(src)
const sources = all.filter(path => !path.endsWith('.test.ts'))

describe('the law of the house', () => {
  test('every folder under src is a room with a rank or a leaf', () => {
    const unknown = all.map(roomOf).filter(room => !(room in rank) && !(room in leaf) && !roots.has(room))
    expect([...new Set(unknown)]).toEqual([])
  })

  test('a file imports its own room or a lower rank', () => {
    const broken: string[] = []
    for (const path of sources) {
      for (const target of imports(path).filter(name => name.startsWith('.'))) {
        const to = roomOf(resolve(dirname(path), target))
        if (!allowed(roomOf(path), to)) broken.push(`${relative(root, path)} → ${target}`)
      }
    }
    expect(broken).toEqual([])
  })

  test('protocol and core are pure: no node modules, no clock, no chance, no await', () => {
    const broken: string[] = []
    for (const path of sources.filter(path => ['protocol', 'core'].includes(roomOf(path)))) {
      const text = code(path)
      for (const name of imports(path)) {
        if (name.startsWith('.') || (roomOf(path) === 'protocol' && name === 'zod')) continue
        broken.push(`${relative(root, path)} imports ${name}`)
      }
      for (const impure of [
        /\bDate\.now\b/,
        /\bnew Date\(\)/,
        /\bMath\.random\b/,
        /\bawait\b/,
        /\bprocess\./,
        /\bset(Timeout|Interval|Immediate)\b/,
        /\bcrypto\./,
        /\bperformance\./,
      ]) {
        if (impure.test(text)) broken.push(`${relative(root, path)} has ${impure}`)
      }
    }
    expect(broken).toEqual([])
  })

  test('files stay under 400 lines', () => {
    const long = [...sources, ...files(join(root, 'test')), ...files(join(root, 'bench'))]
      .map(path => [relative(root, path), readFileSync(path, 'utf8').split('\n').length - 1] as const)
      .filter(([, lines]) => lines >= 400)
    expect(long).toEqual([])
  })

  test('every source file says in a header what it owns', () => {
    const bare = sources.filter(path => !/^(#!.*\n)?\/\*\*/.test(readFileSync(path, 'utf8')))
    expect(bare.map(path => relative(root, path))).toEqual([])
  })

  test('nothing is mutable at module level', () => {
    const broken: string[] = []
    for (const path of sources) {
      for (const line of code(path).split('\n')) {
        if (/^(export )?(let|var)\s/.test(line)) broken.push(`${relative(root, path)}: ${line}`)
        if (/^(export )?const \w+(: [^=]+)? = new (Map|Set|WeakMap|WeakSet)(<[^(]*>)?\(\)/.test(line))
          broken.push(`${relative(root, path)}: ${line}`)
      }
    }
    expect(broken).toEqual([])
  })

  test('only the store opens transactions, only the store imports a database', () => {
    const broken: string[] = []
    for (const path of sources.filter(path => roomOf(path) !== 'store')) {
      if (/\.transaction\(\)|\bsql`/.test(code(path))) broken.push(relative(root, path))
      for (const name of imports(path))
        if (['node:sqlite', 'pg'].includes(name)) broken.push(`${relative(root, path)} imports ${name}`)
    }
    expect(broken).toEqual([])
  })

  test('only main.ts exits the process', () => {
    const broken = sources.filter(path => roomOf(path) !== 'main.ts' && /\bprocess\.exit\(/.test(code(path)))
    expect(broken.map(path => relative(root, path))).toEqual([])
  })

  test('the rule itself: what it must refuse and what it must allow', () => {
    expect(allowed('core', 'store')).toBe(false)
    expect(allowed('models', 'config')).toBe(false)
    expect(allowed('channels', 'store')).toBe(false)
    expect(allowed('gateway', 'channels')).toBe(false)
    expect(allowed('agent', 'store')).toBe(true)
    expect(allowed('cli', 'store')).toBe(true)
    expect(allowed('app.ts', 'channels')).toBe(true)
  })
})
