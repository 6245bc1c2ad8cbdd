/**
 * `deputy demo`: the main job in one go, without questions. An agent delegates three pieces of real work over example files
 * to a sub-agent, in a home that is made for it and taken away again. No key, no network, no TCP port.
 */
import { spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import type { Client } from '../../client/connect.ts'
import { homeOf } from '../../config/home.ts'
import type { AgentWait, RunRow } from '../../protocol/results.ts'
import type { Context } from '../context.ts'
import { count, plain, span, wrap } from '../format.ts'
import { exit } from '../host.ts'
import { openLive } from '../live.ts'
import type { Cli } from '../program.ts'
import { waitForEnd, withGateway } from '../reach.ts'
import { drawTree } from '../runs.ts'
import { startGateway } from '../serve.ts'

/** How often the tree is drawn, ms. */
const frameMs = 80

export function register(command: Command, cli: Cli): void {
  command
    .addHelpText(
      'after',
      `
Uses the rehearsal model, which is not a language model: it follows the commands of the task word
by word. Everything else is the real thing: the gateway, the runs, the tools, the files.

Example:
  $ deputy demo`,
    )
    .action(cli.action(demo))
}

async function demo(context: Context): Promise<number> {
  const dir = mkdtempSync(join(tmpdir(), 'deputy-demo-'))
  try {
    const home = homeOf({ home: dir, env: { HOME: context.host.env['HOME'] } })
    const workspace = home.workspace('main', true)
    cpSync(join(context.host.root, 'examples'), workspace, { recursive: true })
    writeFileSync(home.config, JSON.stringify(settings(workspace), null, 2), { mode: 0o600 })
    return await show({ ...context, home })
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

function settings(workspace: string): unknown {
  return {
    agents: {
      defaults: {
        model: 'rehearsal/rehearsal',
        skipBootstrap: true,
        subagents: { maxSpawnDepth: 2 },
      },
      entries: {
        main: { default: true, workspace, subagents: { allowAgents: ['extractor'] } },
        extractor: { description: 'Reads, searches and counts in files', workspace },
      },
    },
  }
}

/** Three tasks at once, each with a pause in it, since the work itself is over before anybody could watch it. */
function task(commands: boolean): string {
  return [
    'delegate to extractor as "errors in the logs":',
    '  sleep 900',
    '  count " ERROR " in logs/api.log',
    '  count " ERROR " in logs/worker.log',
    '  search "given up: warehouse" in logs/worker.log',
    'delegate to extractor as "orders of the week":',
    '  sleep 600',
    '  count ",shipped" in orders.csv',
    '  count ",refunded" in orders.csv',
    '  search ",failed" in orders.csv',
    ...(commands ? ['  run tail -n +2 orders.csv | cut -d, -f3 | sort | uniq -c | sort -rn | head -3'] : []),
    'delegate to extractor as "what is still to do":',
    '  sleep 1200',
    '  search TODO in notes',
  ].join('\n')
}

async function show(context: Context): Promise<number> {
  const { paint: p, columns } = context
  const message = task(sandboxWorks())
  context.say(p.bold('An agent delegates three pieces of work at once'))
  context.say(
    p.dim(
      wrap(
        'Agents main and extractor, a throw-away home, no key, no network, no TCP port. The rehearsal model stands in for a language model and carries out these commands:',
        columns,
      ),
    ),
  )
  context.say(
    `\n${message
      .split('\n')
      .map(each => `  ${p.cyan('│')} ${each}`)
      .join('\n')}\n`,
  )
  const gateway = await startGateway(context, 'nowhere', { tcp: false })
  try {
    return await withGateway(context, async client => {
      const started = performance.now()
      const { end, runs } = await watch(context, client, message)
      tell(context, end, runs, performance.now() - started)
      return end.status === 'ok' ? exit.done : exit.failed
    })
  } finally {
    await gateway.stop()
  }
}

/** Sends the task and draws the tree until its root is done. */
async function watch(
  context: Context,
  client: Client,
  message: string,
): Promise<{ end: AgentWait; runs: readonly RunRow[] }> {
  const accepted = Promise.withResolvers<string>()
  client
    .request(
      'agent',
      { message, idempotencyKey: randomUUID() },
      { onProgress: (first: { runId: string }) => accepted.resolve(first.runId) },
    )
    .then(done => accepted.resolve(done.runId), accepted.reject)
  const runId = await accepted.promise
  const live = openLive(context.host.stdout)
  let runs: readonly RunRow[] = []
  const look = async () => {
    const { runs: newest } = await client.request('runs.list', { limit: 1, state: ['queued', 'running', 'waiting'] })
    const any = newest[0]?.run ?? runs[0]?.run
    if (any === undefined) return
    runs = (await client.request('runs.tree', { run: any })).runs
    live.draw(drawTree(runs, context.columns, Date.now(), context.paint))
  }
  const over = waitForEnd(context, client, runId, Number.POSITIVE_INFINITY)
  try {
    let end: AgentWait | undefined
    while (end === undefined) {
      await look()
      end = await Promise.race([over, sleep(frameMs, undefined)])
    }
    await look()
    return { end, runs }
  } finally {
    live.done()
  }
}

function tell(context: Context, end: AgentWait, runs: readonly RunRow[], tookMs: number): void {
  const { paint: p, columns } = context
  if (end.status !== 'ok')
    context.note(`${p.red('deputy:')} ${plain(end.error ?? 'The demo did not come to its end.')}`)
  context.say(`\n${p.bold('The merged answer')}\n`)
  context.say(wrap(plain(end.text ?? ''), columns, '  '))
  const children = runs.filter(run => run.parent !== null)
  const work = children.reduce((sum, run) => sum + ((run.endedAt ?? 0) - (run.startedAt ?? 0)), 0)
  const spent = runs.reduce(
    (sum, { spent: { tokens, calls } }) => ({ tokens: sum.tokens + tokens, calls: sum.calls + calls }),
    { tokens: 0, calls: 0 },
  )
  context.say(
    `\n${p.green('✓')} ${runs.length} runs in ${p.bold(span(tookMs))}; the sub-agents' own time adds up to ${span(work)}, their pauses included.`,
  )
  context.say(`  ${spent.calls} model calls, ${count(spent.tokens)} tokens (estimated, nothing was paid).`)
  context.say(
    p.dim(
      '\n  npm start         your own gateway and a chat with it\n  docs/rehearsal.md all commands of the rehearsal model',
    ),
  )
}

/** Commands of agents run in bubblewrap; where it is missing or not permitted, the demo goes without one. */
function sandboxWorks(): boolean {
  const tried = spawnSync('bwrap', ['--ro-bind', '/', '/', '--unshare-all', 'true'], { stdio: 'ignore', timeout: 5000 })
  return tried.status === 0
}
