/**
 * Runs as people see them: one word and one sign for how each stands, a tree, a table.
 *
 * Pure: it is handed the rows, the width and the time. Order among siblings is that of the rows.
 */
import { DeputyError } from '../protocol/errors.ts'
import type { RunRow } from '../protocol/results.ts'
import { ago, clip, count, line, money, type Paint, padEnd, padStart, span, table, width } from './format.ts'

/** What decides how a run is shown; `done` comes with its outcome. */
type Standing = Pick<RunRow, 'state' | 'outcome' | 'paused'>

const signs: Record<string, string> = {
  queued: '○',
  running: '●',
  waiting: '◔',
  paused: '‖',
  succeeded: '✓',
  failed: '✗',
  cancelled: '⊘',
  timed_out: '⧗',
  interrupted: '↯',
  budget_exhausted: '¤',
}

/** The outcome of an ended run, else its state; a paused one is that first. */
export function standing(run: Standing): string {
  if (run.state === 'done') return run.outcome ?? 'done'
  return run.paused ? 'paused' : run.state
}

export function sign(run: Standing, p: Paint): string {
  const word = standing(run)
  const drawn = signs[word] ?? '?'
  if (word === 'succeeded') return p.green(drawn)
  if (word === 'running') return p.cyan(drawn)
  if (word === 'queued' || word === 'waiting' || word === 'paused' || word === 'cancelled') return p.yellow(drawn)
  return p.red(drawn)
}

/** How long it has worked, or worked. A run that never started shows nothing. */
export function runtime(run: RunRow, now: number): string {
  if (run.startedAt === null) return ''
  return span((run.endedAt ?? now) - run.startedAt)
}

/** For people: the first eight signs of the id, and what makes a sub-agent's differ from its parent's. */
export function shortId(id: string): string {
  return id.replace(/^([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/, '$1')
}

/**
 * The run that somebody means: by its short form, or by four signs of its id's beginning at least, with what makes a
 * sub-agent's differ from its parent's behind it. Null when none is; throws USAGE when several are.
 */
export function onlyNamed(ids: readonly string[], named: string): string | null {
  if (ids.includes(named)) return named
  const [, head, tail] = /^([0-9a-f][0-9a-f-]{3,35})((?:\.\w+)*)$/.exec(named) ?? []
  if (head === undefined) return null
  const found = ids.filter(id => id.startsWith(head) && id.slice(36) === tail)
  if (found.length > 1)
    throw new DeputyError('USAGE', `${named} stands for ${found.length} runs: ${found.slice(0, 4).join(', ')}.`, {
      fix: 'Write more of the id.',
    })
  return found[0] ?? null
}

/** While a model call is open, what was set aside for it is counted as spent: it will be that much at the most. */
function atMost(run: RunRow): string {
  return run.state === 'running' ? '≤' : ''
}

function spentTokens(run: RunRow, unit = ''): string {
  return run.spent.tokens > 0 ? `${atMost(run)}${count(run.spent.tokens)}${unit}` : ''
}

function spentMoney(run: RunRow): string {
  return run.spent.nano > 0 ? `${atMost(run)}${money(run.spent.nano)}` : ''
}

export function title(run: RunRow): string {
  return line(run.label ?? run.task)
}

interface Branch {
  run: RunRow
  /** Drawn before the sign: `├─ `, `│  └─ `. */
  stem: string
}

/** Depth first, children in the order of the rows. A row whose parent is not among them is a root. */
function branches(runs: readonly RunRow[]): Branch[] {
  const known = new Set(runs.map(({ run }) => run))
  const below = new Map<string | null, RunRow[]>()
  for (const run of runs) {
    const parent = run.parent !== null && known.has(run.parent) ? run.parent : null
    below.set(parent, [...(below.get(parent) ?? []), run])
  }
  const drawn: Branch[] = []
  const visit = (run: RunRow, stem: string, next: string) => {
    drawn.push({ run, stem })
    const children = below.get(run.run) ?? []
    children.forEach((child, at) => {
      const last = at === children.length - 1
      visit(child, `${next}${last ? '└─ ' : '├─ '}`, `${next}${last ? '   ' : '│  '}`)
    })
  }
  for (const root of below.get(null) ?? []) visit(root, '', '')
  return drawn
}

/**
 * The tree, a line a run: sign, agent, task; then model, time, tokens and cost in columns. Never wider than `columns`.
 * `full`: with the step that each is at, how long it has been queued, and the newest words of those at work below them.
 */
export function drawTree(
  runs: readonly RunRow[],
  columns: number,
  now: number,
  p: Paint,
  detail: 'short' | 'full' = 'short',
): string[] {
  const all = branches(runs)
  const right = all.map(({ run }) => [
    line(run.model),
    detail === 'full' && run.steps > 0 ? `step ${run.steps}` : '',
    detail === 'full' && run.state === 'queued' ? span(now - run.createdAt) : runtime(run, now),
    spentTokens(run, ' tok'),
    spentMoney(run),
  ])
  const widths = [0, 1, 2, 3, 4].map(at => Math.max(0, ...right.map(cells => width(cells[at]!))))
  const left = () => columns - widths.reduce((sum, each) => sum + (each > 0 ? each + 2 : 0), 0)
  // A narrow terminal gives up the model first, then the step, tokens, cost and time: the tree itself is what was asked for.
  for (const at of [0, 1, 3, 4, 2]) if (left() < 36) widths[at] = 0
  const room = left()
  const names = Math.min(24, Math.max(...all.map(({ run, stem }) => width(stem) + 2 + width(line(run.agent))), 0))
  return all.flatMap(({ run, stem }, row) => {
    const agent = clip(line(run.agent), Math.max(1, room - width(stem) - 2))
    const head = padEnd(`${p.dim(stem)}${sign(run, p)} ${p.bold(agent)}`, names)
    const words = clip(title(run), room - width(head) - 2)
    const cells = right[row]!.map((cell, at) => {
      if (widths[at] === 0) return ''
      return `  ${p.dim(at === 0 ? padEnd(cell, widths[0]!) : padStart(cell, widths[at]!))}`
    })
    const said = words === '' ? head : `${head}  ${words}`
    const drawn = `${padEnd(said, room)}${cells.join('')}`.trimEnd()
    const last = detail === 'full' && run.state !== 'done' && run.lastLine !== null ? line(run.lastLine) : ''
    if (last === '') return [drawn]
    const parent = all[row + 1]?.run.parent === run.run
    const under = `${stem.replace(/├─ $/, '│  ').replace(/└─ $/, '   ')}${parent ? '│ ' : '  '}`
    return [drawn, p.dim(clip(`${under}${last}`, columns))]
  })
}

export function runTable(runs: readonly RunRow[], columns: number, now: number, p: Paint): string[] {
  const head = [
    { title: 'run' },
    { title: 'agent' },
    { title: 'state' },
    { title: 'task', elastic: true },
    { title: 'tokens', right: true },
    { title: 'cost', right: true },
    { title: 'time', right: true },
    { title: 'asked', right: true },
  ]
  const rows = runs.map(run => [
    shortId(run.run),
    line(run.agent),
    `${sign(run, p)} ${standing(run)}`,
    title(run),
    spentTokens(run),
    spentMoney(run),
    runtime(run, now),
    ago(run.createdAt, now),
  ])
  const empty = head.map((_, at) => rows.every(cells => cells[at] === ''))
  return table(
    head.filter((_, at) => !empty[at]),
    rows.map(cells => cells.filter((_, at) => !empty[at])),
    columns,
    p,
  )
}
