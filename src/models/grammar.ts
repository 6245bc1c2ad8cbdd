/**
 * The rehearsal model's language: lines of commands, and tasks inside tasks. Documented in docs/rehearsal.md.
 *
 * Owns the grammar; pure. A text is a program only if every line of it is understood, so nothing is ever half done.
 */

export type Command =
  | { do: 'delegate'; agent: string | null; label: string; model: string | null; task: string }
  | { do: 'read'; path: string }
  | { do: 'list'; path: string }
  | { do: 'search'; pattern: string; path: string }
  | { do: 'count'; pattern: string; path: string }
  | { do: 'write'; path: string; text: string }
  | { do: 'run'; command: string }
  | { do: 'call'; tool: string; args: Record<string, unknown> }
  | { do: 'say'; text: string }
  | { do: 'wait' }
  | { do: 'sleep'; ms: number }
  | { do: 'fail'; reason: string }

export type Parsed = { ok: true; commands: readonly Command[] } | { ok: false; line: string }

export const forms: readonly string[] = [
  'delegate to <agent>: <task>',
  'read <file>',
  'list <folder>',
  'search <pattern> in <path>',
  'count <pattern> in <file>',
  'write <file>: <text>',
  'run <command>',
  'call <tool> {<arguments>}',
  'say <text>',
  'wait',
  'sleep <milliseconds>',
  'fail <reason>',
]

const verb = /^(delegate|read|list|search|count|write|run|call|say|wait|sleep|fail)\b/i
const longestSleep = 600_000

export function parse(text: string): Parsed {
  const commands: Command[] = []
  const labels = new Map<string, number>()
  for (const { line, block } of statements(text)) {
    const command = one(line, block)
    if (!command) return { ok: false, line }
    if (command.do === 'delegate') command.label = unique(labels, command.label)
    commands.push(command)
  }
  return commands.length > 0 ? { ok: true, commands } : { ok: false, line: text.trim() }
}

interface Statement {
  line: string
  /** What stands below it, indented: its task. */
  block: string
}

/** Lines with the indented lines below them; blank lines and # comments between statements go. */
function statements(text: string): Statement[] {
  const found: { line: string; below: string[] }[] = []
  for (const raw of text.replace(/\r/g, '').split('\n')) {
    const last = found.at(-1)
    if (last && (/^[ \t]+\S/.test(raw) || (raw.trim() === '' && last.below.length > 0))) {
      last.below.push(raw)
      continue
    }
    if (raw.trim() === '' || raw.trim().startsWith('#')) continue
    for (const line of pieces(raw.trim())) found.push({ line, below: [] })
  }
  return found.map(({ line, below }) => ({ line, block: dedent(below) }))
}

function dedent(lines: readonly string[]): string {
  const depth = Math.min(...lines.filter(line => line.trim()).map(line => line.length - line.trimStart().length))
  return lines
    .map(line => line.slice(depth))
    .join('\n')
    .trimEnd()
}

/** One line may hold several commands: `;` and a verb begin a new one, except inside double quotes. */
function pieces(line: string): string[] {
  const found: string[] = []
  let quoted = false
  let from = 0
  for (let at = 0; at < line.length; at += 1) {
    if (line[at] === '"') quoted = !quoted
    if (line[at] !== ';' || quoted || !verb.test(line.slice(at + 1).trimStart())) continue
    found.push(line.slice(from, at).trim())
    from = at + 1
  }
  found.push(line.slice(from).trim())
  return found.filter(piece => piece !== '')
}

function unquoted(text: string): string {
  const trimmed = text.trim()
  return /^"[\s\S]*"$/.test(trimmed) && trimmed.length > 1 ? trimmed.slice(1, -1) : trimmed
}

function one(line: string, block: string): Command | null {
  const [, name = '', rest = ''] = /^(\w+)\s*([\s\S]*)$/.exec(line) ?? []
  const word = name.toLowerCase()
  if (word === 'delegate') return delegate(rest, block)
  if (word === 'write') return write(rest, block)
  if (word === 'call') return call([rest, block].filter(part => part !== '').join('\n'))
  if (block) return null
  switch (word) {
    case 'read':
    case 'list': {
      const path = unquoted(rest)
      if (word === 'list') return { do: 'list', path: path || '.' }
      return path ? { do: 'read', path } : null
    }
    case 'search':
    case 'count': {
      // The last " in " separates, so that a pattern may hold the word.
      const [, pattern = '', path = ''] = /^([\s\S]+)\s+in\s+(\S[\s\S]*)$/i.exec(rest) ?? []
      return pattern ? { do: word, pattern: unquoted(pattern), path: unquoted(path) } : null
    }
    case 'run':
      return rest.trim() ? { do: 'run', command: unquoted(rest) } : null
    case 'say':
      return rest.trim() ? { do: 'say', text: unquoted(rest) } : null
    case 'fail':
      return { do: 'fail', reason: unquoted(rest) || 'no reason given' }
    case 'wait':
      return rest.trim() === '' ? { do: 'wait' } : null
    case 'sleep': {
      const ms = /^\d+(\s*ms)?$/i.test(rest.trim()) ? Number.parseInt(rest, 10) : Number.NaN
      return Number.isNaN(ms) ? null : { do: 'sleep', ms: Math.min(ms, longestSleep) }
    }
    default:
      return null
  }
}

/** `delegate to <agent> as "<label>" with <model>: <task>`; each part may be left out, the task may stand below. */
function delegate(rest: string, block: string): Command | null {
  const head =
    /^(?:to\s+([\w.-]+)\s*)?(?:as\s+("[^"]+"|[\w.-]+)\s*)?(?:with\s+("[^"]+"|[\w./-]+)\s*)?:\s*([\s\S]*)$/i.exec(rest)
  if (!head) return null
  const [, agent = null, name, model, inline = ''] = head
  const task = [unquoted(inline), block].filter(part => part !== '').join('\n')
  if (!task) return null
  const firstLine = task.split('\n')[0]!.trim()
  const label = name ? unquoted(name) : firstLine.slice(0, 60).trim()
  return { do: 'delegate', agent, label, model: model ? unquoted(model) : null, task }
}

function write(rest: string, block: string): Command | null {
  const [, path = '', inline = ''] = /^("[^"]+"|[^:]+):\s*([\s\S]*)$/.exec(rest) ?? []
  const text = [unquoted(inline), block].filter(part => part !== '').join('\n')
  return path.trim() && text ? { do: 'write', path: unquoted(path), text: `${text}\n` } : null
}

/** Any tool with any arguments; they may stand below the line, too. */
function call(rest: string): Command | null {
  const [, tool = '', json = ''] = /^(\w+)\s*([\s\S]*)$/.exec(rest) ?? []
  try {
    const args: unknown = json.trim() === '' ? {} : JSON.parse(json)
    const object = typeof args === 'object' && args !== null && !Array.isArray(args)
    return tool && object ? { do: 'call', tool, args: args as Record<string, unknown> } : null
  } catch {
    return null
  }
}

function unique(labels: Map<string, number>, label: string): string {
  const seen = (labels.get(label) ?? 0) + 1
  labels.set(label, seen)
  return seen === 1 ? label : `${label} (${seen})`
}
