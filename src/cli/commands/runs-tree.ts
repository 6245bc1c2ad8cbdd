/**
 * `deputy runs tree`: runs with all that they delegated, once or as it changes.
 *
 * Owns watching: the gateway tells when something changed (`run` events) and is asked for the rows then, never on a clock;
 * the clock draws what is known again, so that times go on. It ends when all that is shown has ended, or on Ctrl-C.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import type { Client } from '../../client/connect.ts'
import { DeputyError } from '../../protocol/errors.ts'
import type { RunRow } from '../../protocol/results.ts'
import type { Context } from '../context.ts'
import { type Facts, fromGateway, fullId, withFacts } from '../facts.ts'
import { exit } from '../host.ts'
import { openLive } from '../live.ts'
import { pauseCaps } from '../pauses.ts'
import type { Cli } from '../program.ts'
import { withGateway } from '../reach.ts'
import { drawTree } from '../runs.ts'
import { untilSignal } from '../signals.ts'

interface Options {
  watch?: boolean
}

/** Events of one burst are answered by one look, ms. */
const burstMs = 50
/** Times are drawn again this often, ms. */
const clockMs = 1000

export function registerTree(command: Command, cli: Cli): void {
  command
    .command('tree')
    .description('a run with all that it delegated')
    .argument('[run]', 'any run of the tree (default: all trees at work, else the newest)')
    .option('--watch', 'draw it again as it changes, until all of it has ended or Ctrl-C')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\n○ queued  ● running  ◔ waiting  ‖ paused  ✓ succeeded  ✗ failed\n⊘ cancelled  ⧗ timed out  ↯ interrupted  ¤ budget used up\n\nExamples:\n  $ deputy runs tree\n  $ deputy runs tree --watch\n  $ deputy runs tree <run> --json',
    )
    .action(cli.action<Options>((context, options, [run]) => (options.watch ? watch : tree)(context, run)))
}

async function tree(context: Context, id: string | undefined): Promise<number> {
  const runs = await withFacts(context, async facts => rows(facts, id === undefined ? id : await fullId(facts, id)))
  if (context.json) context.document({ runs })
  else for (const each of drawn(context, runs)) context.say(each)
  return exit.done
}

function drawn(context: Context, runs: readonly RunRow[]): string[] {
  return runs.length === 0 ? ['No runs yet.'] : drawTree(runs, context.columns, Date.now(), context.paint, 'full')
}

async function rows(facts: Facts, id: string | undefined): Promise<readonly RunRow[]> {
  if (id !== undefined) return await facts.tree(id)
  const live = await facts.runs({ limit: 200, state: ['queued', 'running', 'waiting'] })
  const newest = live.length > 0 ? live : await facts.runs({ limit: 1 })
  const one = new Map(newest.map(run => [run.tree, run.run]))
  const trees = await Promise.all([...one.values()].map(run => facts.tree(run)))
  return trees.flatMap(recent)
}

async function watch(context: Context, id: string | undefined): Promise<number> {
  const signals = untilSignal(['SIGINT'])
  try {
    return await withGateway(context, client => follow(context, client, id, signals.first), pauseCaps)
  } finally {
    signals.off()
  }
}

async function follow(
  context: Context,
  client: Client,
  named: string | undefined,
  stop: Promise<unknown>,
): Promise<number> {
  const facts = fromGateway(client)
  const id = named === undefined ? undefined : await fullId(facts, named)
  let changed = Promise.withResolvers<'changed'>()
  let shown: readonly RunRow[] = []
  client.on('run', ({ run, parent }: { run: string; parent?: string | null }) => {
    // Without a name whatever begins is shown too; with one, only what hangs in its tree.
    if (id === undefined || shown.length === 0 || shown.some(row => row.run === run || row.run === parent))
      changed.resolve('changed')
  })
  const stopped = stop.then(() => 'stopped' as const)
  const lost = client.closed.then(() => 'lost' as const)
  const live = openLive(context.json ? { write: () => true } : context.host.stdout)
  const draw = () => live.draw(drawn(context, shown))
  const clock = setInterval(draw, clockMs)
  let end: 'changed' | 'stopped' | 'lost' = 'changed'
  try {
    while (end === 'changed') {
      changed = Promise.withResolvers()
      shown = await rows(facts, id)
      draw()
      if (shown.every(run => run.state === 'done')) break
      end = await Promise.race([changed.promise, stopped, lost])
      if (end === 'changed') await sleep(burstMs)
    }
  } finally {
    clearInterval(clock)
    live.done()
  }
  if (end === 'lost')
    throw new DeputyError('GATEWAY_UNREACHABLE', 'The gateway went away; the runs go on when it is back.', {
      fix: `Watch again: deputy runs tree --watch${context.flags}`,
    })
  if (context.json) context.document({ runs: shown })
  return exit.done
}

/** Of a conversation with many runs, the top ones at work and what hangs below them; when none is, the newest. */
function recent(runs: readonly RunRow[]): readonly RunRow[] {
  const byId = new Map(runs.map(run => [run.run, run]))
  const top = (run: RunRow): RunRow => {
    const parent = run.parent === null ? undefined : byId.get(run.parent)
    return parent ? top(parent) : run
  }
  const live = new Set(runs.filter(run => run.state !== 'done').map(run => top(run).run))
  const newest = runs.filter(run => top(run) === run).at(-1)
  if (live.size === 0 && newest) live.add(newest.run)
  return runs.filter(run => live.has(top(run).run))
}
