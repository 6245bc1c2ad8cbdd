/** `deputy explain`: what a refusal means, why it happened here, who can grant it and with which command; or how a run stands. */
import type { Command } from 'commander'
import { agentIds, agentOf, lanesOf } from '../../config/read.ts'
import { DeputyError, errors, fixOf } from '../../protocol/errors.ts'
import type { Reader } from '../../store/reader.ts'
import type { Context } from '../context.ts'
import { withPatient } from '../doctor/patient.ts'
import { readerOf } from '../doctor/store.ts'
import type { Patient } from '../doctor/types.ts'
import { evidenceFor } from '../explain/evidence.ts'
import { explainDevice, explainRequest } from '../explain/ids.ts'
import type { Explanation } from '../explain/explanation.ts'
import { type Recognised, recognise } from '../explain/recognise.ts'
import { findRun, runFacts } from '../explain/run-facts.ts'
import { explainRun } from '../explain/run-words.ts'
import { stories } from '../explain/words.ts'
import { plain, wrap } from '../format.ts'
import { exit } from '../host.ts'
import { pairingFacts } from '../pairing.ts'
import type { Cli } from '../program.ts'

export function register(command: Command, cli: Cli): void {
  command
    .argument('<what...>', 'a code, a line as it was shown, or the id of a run, a request or a device')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      `
Looks at this home as it is now: its devices and requests, its agents, its runs. Works with the
gateway running or stopped, and understands what OpenClaw's programs show.

Examples:
  $ deputy explain 'gateway closed (1008): pairing required'
  $ deputy explain MISSING_SCOPE
  $ deputy explain <run>              why it waits, where its result went, what it cost
  $ deputy explain <requestId>`,
    )
    .action(
      cli.action(async (context, _options: object, words) => {
        const explanation = await withPatient(context, patient => explain(patient, words.join(' ').trim()))
        if (context.json) context.document(explanation)
        else tell(context, explanation)
        return exit.done
      }),
    )
}

async function explain(patient: Patient, text: string): Promise<Explanation> {
  const reader = readerOf(patient)
  try {
    return (
      (await explainId(patient, reader?.read ?? null, text)) ??
      (await explainWords(patient, reader?.read ?? null, text))
    )
  } finally {
    reader?.close()
  }
}

/** Null when nothing here has that id. */
async function explainId(patient: Patient, read: Reader['read'] | null, text: string): Promise<Explanation | null> {
  if (read === null || !/^\S{4,}$/.test(text)) return null
  const { flags } = patient.context
  const run = await findRun(read, text)
  if (run !== null) {
    const facts = await runFacts(read, run)
    if (facts === null) return null
    const here = { limits: limitsOf(patient, facts.run), up: patient.gateway.state !== 'stopped' }
    return explainRun(facts, here, Date.now(), flags)
  }
  const pairing = await pairingFacts(read, Date.now())
  return explainRequest(pairing, text, flags) ?? explainDevice(pairing, text, flags)
}

function limitsOf({ settings }: Patient, run: { lane: 'main' | 'subagent'; agent: string }) {
  if (settings === null) return null
  const agent = agentIds(settings).includes(run.agent) ? agentOf(settings, run.agent).maxConcurrent : null
  return { lane: lanesOf(settings)[run.lane], agent }
}

async function explainWords(patient: Patient, read: Reader['read'] | null, text: string): Promise<Explanation> {
  const recognised = recognise(text)
  if (recognised === null) throw unknown(text, patient.context.flags)
  const { code, reading, request } = recognised
  const named =
    request !== null && read !== null ? explainRequest(await pairingFacts(read, Date.now()), request, '') : null
  const { here, commands, fix } = await evidenceFor(patient, recognised, read)
  const { means, who } = errors[code]
  return {
    about: code,
    code,
    reading,
    means: stories[code] ?? means,
    here: [...(named ? [`The request that the line names: ${named.means}`] : []), ...here],
    who: whoCan(recognised, who),
    fix: fix ?? fixOf(code, named && request !== null ? { requestId: request } : {}),
    commands,
  }
}

const whos: Readonly<Record<(typeof errors)[keyof typeof errors]['who'], string>> = {
  you: 'You, where it was shown.',
  operator: 'Whoever owns this home: on this host with the deputy command, which needs no device and no token.',
  nobody: 'Nobody needs to grant anything.',
  provider: 'The provider of the model.',
}

function whoCan({ code, scope }: Recognised, who: keyof typeof whos): string {
  if (code !== 'PAIRING_REQUIRED' && code !== 'MISSING_SCOPE') return whos[who]
  const asked = scope === null ? 'the scopes that are asked for' : scope
  return `${whos.operator} Or any connected operator or device that holds operator.pairing and ${asked}.`
}

function unknown(text: string, flags: string): DeputyError {
  const id = /^[0-9a-f][0-9a-f.-]{7,}$/i.test(text)
  return new DeputyError(
    'USAGE',
    id ? `Nothing here has the id ${text}.` : `No refusal was found in ${JSON.stringify(text.slice(0, 100))}.`,
    {
      fix: id
        ? `deputy runs list${flags} and deputy devices list${flags} show what there is.`
        : `Paste the whole line as it was shown, with its code; or let the gateway be examined: deputy doctor${flags}`,
    },
  )
}

function tell(context: Context, { about, reading, means, here, who, fix, commands }: Explanation): void {
  const { paint: p, columns } = context
  context.say(p.bold(about))
  if (reading !== null) context.say(p.dim(wrap(`read as: ${reading}`, columns, '  ')))
  context.say(`\n${wrap(plain(means), columns, '  ')}`)
  if (here.length > 0) context.say(`\n${p.bold('Here, now')}`)
  for (const each of here) context.say(`  · ${wrap(plain(each), columns, '    ').slice(4)}`)
  context.say(`\n${p.bold('Who can')}\n${wrap(plain(who), columns, '  ')}`)
  context.say(`\n${p.bold('What to do')}\n${wrap(plain(fix), columns, '  ')}`)
  for (const command of commands) context.say(`  ${p.cyan('$')} ${plain(command)}`)
}
