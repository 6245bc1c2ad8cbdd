/**
 * `npm run bench`: measures Deputy, and with `--peer DIR` an installed OpenClaw beside it, row by row in the same run.
 *
 *   npm run bench -- [--only id,id] [--peer DIR]... [--peers-only] [--quick] [--json]
 *
 * A table goes to standard output, or one JSON document with `--json`; progress goes to standard error.
 */
import { execFileSync } from 'node:child_process'
import { cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { chatServices } from './chats.ts'
import { crowds } from './crowds.ts'
import { failures } from './failures.ts'
import { figures } from './figures.ts'
import type { Bench, Measure } from './measure.ts'
import { others } from './others.ts'
import { startProvider } from './provider.ts'
import { type Result, words } from './stats.ts'
import { report, type Row } from './report.ts'
import { deputy, openclaw } from './targets.ts'
import { turns } from './turns.ts'
import { whatsapp } from './whatsapp.ts'

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    peer: { type: 'string', multiple: true },
    'peers-only': { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})

const wanted = values.only?.split(',') ?? figures.map(figure => figure.id)
const unknown = wanted.filter(id => !figures.some(figure => figure.id === id))
if (unknown.length > 0) {
  console.error(`no such row: ${unknown.join(', ')}; there are: ${figures.map(figure => figure.id).join(', ')}`)
  process.exit(2)
}

// What is measured is the bundle of these sources.
if (!values['peers-only'])
  execFileSync(process.execPath, [join(import.meta.dirname, '../scripts/build.mjs'), '--if-changed'], {
    stdio: 'ignore',
  })
const targets = [...(values['peers-only'] ? [] : [deputy()]), ...(values.peer ?? []).map(openclaw)]
const measures: readonly Measure[] = [...turns, ...others, ...failures, ...crowds, ...whatsapp, ...chatServices]
const results = new Map<string, Map<string, Result>>(targets.map(target => [target.name, new Map()]))
const startedAt = new Date()
const load = loadavg()[0]!

for (const measure of measures.filter(one => one.figures.some(id => wanted.includes(id)))) {
  for (const target of targets) {
    if (!target.ours && !measure.peers) continue
    process.stderr.write(`${target.name}: ${measure.figures.join(', ')} …`)
    const since = performance.now()
    const provider = await startProvider()
    const bench: Bench = { target, provider, quick: values.quick }
    const measured = await measure.run(bench).catch((error: unknown) => {
      process.stderr.write(` ${String(error)}\n`)
      return Object.fromEntries(measure.figures.map(id => [id, words('failed', 0)]))
    })
    await provider.stop()
    for (const [id, result] of Object.entries(measured)) results.get(target.name)!.set(id, result)
    process.stderr.write(` ${((performance.now() - since) / 1000).toFixed(0)} s\n`)
  }
}

const rows: Row[] = figures
  .filter(figure => wanted.includes(figure.id))
  .map(figure => ({
    figure,
    results: Object.fromEntries(targets.map(target => [target.name, results.get(target.name)!.get(figure.id) ?? null])),
  }))
const host = {
  cores: cpus().length,
  node: process.version,
  at: startedAt.toISOString(),
  loadBefore: load,
  loadAfter: loadavg()[0]!,
}
if (values.json) console.log(JSON.stringify({ host, rows }, null, 2))
else
  console.log(
    report(
      host,
      targets.map(target => target.name),
      rows,
    ),
  )
