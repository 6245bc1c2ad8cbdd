/**
 * A code against the actual state of this gateway: what of the house has to do with it, what it shows now, what to type.
 *
 * Owns which check of the doctor speaks about which codes. Starts nothing and changes nothing.
 */
import { agentIds, agentOf } from '../../config/read.ts'
import type { ErrorCode } from '../../protocol/errors.ts'
import type { Reader } from '../../store/reader.ts'
import { agentsCheck } from '../doctor/agents.ts'
import { configCheck } from '../doctor/config.ts'
import { devicesCheck } from '../doctor/devices.ts'
import { doorCheck } from '../doctor/door.ts'
import { homeCheck } from '../doctor/home.ts'
import { sandboxCheck } from '../doctor/sandbox.ts'
import { serviceCheck } from '../doctor/service.ts'
import { storeCheck } from '../doctor/store.ts'
import type { Check, Patient } from '../doctor/types.ts'
import { ago, clip, line } from '../format.ts'
import { pairingFacts } from '../pairing.ts'
import { shortId } from '../runs.ts'
import type { Evidence } from './explanation.ts'
import { pairingEvidence } from './pairing.ts'
import type { Recognised } from './recognise.ts'

const speak: readonly (readonly [codes: RegExp, checks: readonly Check[]])[] = [
  [/^(HOME|SOCKET)_/, [homeCheck]],
  [/^(STORE_|DISK_FULL|DELIVERY_)/, [storeCheck, homeCheck]],
  [/^(CONFIG_|CREDENTIAL_)/, [configCheck]],
  [/^(PORT_IN_USE|HOST_|ORIGIN_)/, [doorCheck]],
  [/^(AUTH_|DEVICE_)/, [doorCheck]],
  [/^(UNKNOWN_REQUEST|REQUEST_CLOSED|UNKNOWN_DEVICE)$/, [devicesCheck]],
  [/^(SPAWN_|UNKNOWN_AGENT)/, [agentsCheck]],
  [/^SANDBOX_/, [sandboxCheck]],
  [/^SERVICE_/, [serviceCheck]],
  [/^GATEWAY_/, [homeCheck, doorCheck, serviceCheck]],
]

/** Runs that ended with a code are the best evidence of it. */
const shownRuns = 3

export async function evidenceFor(
  patient: Patient,
  recognised: Recognised,
  read: Reader['read'] | null,
): Promise<Evidence> {
  const { code, scope } = recognised
  if (code === 'PAIRING_REQUIRED' || code === 'MISSING_SCOPE') {
    const facts = read ? await pairingFacts(read, Date.now()) : { devices: [], requests: [] }
    return pairingEvidence(patient, facts, read, code === 'MISSING_SCOPE' ? scope : null)
  }
  const here: string[] = []
  for (const [codes, checks] of speak) {
    if (!codes.test(code)) continue
    for (const check of checks) {
      const { says, findings } = await check.run(patient)
      here.push(...findings.map(found => `${found.what} ${found.evidence}.`), ...says.map(sentence))
    }
  }
  here.push(...special(patient, recognised))
  if (read) here.push(...(await endedWith(read, code)))
  return { here, commands: commandsFor(patient, recognised) }
}

function sentence(text: string): string {
  return `${text[0]!.toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`
}

/** What only one code is about. */
function special(patient: Patient, { code, agent }: Recognised): string[] {
  const { settings, gateway, config } = patient
  if (/^MODEL_/.test(code) && settings !== null) {
    const problems =
      gateway.state === 'running' ? gateway.status.problems.filter(each => each.code.startsWith('MODEL_')) : []
    const named = agentIds(settings).map(
      id => `${id} uses ${agentOf(settings, id).model.primary ?? 'the first provider that has a key'}`,
    )
    return [`${named.join('; ')}.`, ...problems.map(({ message }) => message)]
  }
  if (/^AUTH_(TOKEN|PASSWORD)/.test(code) && settings !== null) {
    const { token, password } = settings.gateway.auth
    const kind = code.startsWith('AUTH_TOKEN') ? token : password
    if (kind === undefined) return ['This gateway has none.']
    if (typeof kind === 'string') return [`It stands in ${patient.context.home.config}.`]
    return [`It is taken from ${kind.source === 'env' ? `the variable ${kind.id}` : `a ${kind.source} reference`}.`]
  }
  if (code === 'SPAWN_AGENT_NOT_ALLOWED' && agent !== null && settings !== null) {
    const may = agentIds(settings).filter(id =>
      agentOf(settings, id).subagents.allowAgents?.some(each => [agent, '*'].includes(each)),
    )
    return [may.length === 0 ? `Nobody may spawn ${agent} here.` : `${agent} may be spawned by ${may.join(', ')}.`]
  }
  if (code === 'HOME_LOCKED' && gateway.state === 'running')
    return [`Process ${gateway.status.pid} holds it and answers.`]
  if (code === 'GATEWAY_UNREACHABLE')
    return [
      gateway.state === 'running'
        ? `It answers now: process ${gateway.status.pid}, version ${gateway.status.runtimeVersion}.`
        : 'It does not answer now either.',
    ]
  if (code === 'CONFIG_SECRET_UNRESOLVED' && config.issues.length === 0)
    return ['Every reference of the file has its value here and now.']
  return []
}

async function endedWith(read: Reader['read'], code: ErrorCode): Promise<string[]> {
  const runs = await read
    .selectFrom('runs')
    .select(['id', 'agent', 'error', 'ended_at'])
    .where('ended_at', 'is not', null)
    .where('error_code', '=', code)
    .orderBy('ended_at', 'desc')
    .limit(shownRuns)
    .execute()
  return runs.map(
    run =>
      `Run ${shortId(run.id)} of ${line(run.agent)} ended with it ${ago(run.ended_at!, Date.now())}: ${clip(line(run.error ?? ''), 160)}`,
  )
}

function commandsFor({ context, settings }: Patient, { code, agent }: Recognised): string[] {
  const { flags } = context
  /** The limit as it is now and a little more: never a number that lowers it. */
  const raise = (key: 'maxSpawnDepth' | 'maxChildrenPerAgent', by: number) => {
    const now = settings === null ? [] : agentIds(settings).map(id => agentOf(settings, id).subagents[key])
    const higher = now.length === 0 ? '<n>' : String(Math.max(...now) + by)
    return `deputy config set agents.defaults.subagents.${key} ${higher}${flags}`
  }
  if (code === 'SPAWN_AGENT_NOT_ALLOWED' && settings !== null) {
    const asker = agentIds(settings).find(id => agentOf(settings, id).isDefault)!
    const { allowAgents } = agentOf(settings, asker).subagents
    const list = JSON.stringify([...(allowAgents ?? [asker]), agent ?? '<agent>'])
    return [`deputy config set agents.entries.${asker}.subagents.allowAgents '${list}'${flags}`]
  }
  if (code === 'UNKNOWN_AGENT')
    return [`deputy agents list${flags}`, `deputy config set agents.entries.${agent ?? '<agent>'} '{}'${flags}`]
  if (code === 'SPAWN_DEPTH') return [raise('maxSpawnDepth', 1)]
  if (code === 'SPAWN_CHILDREN') return [`deputy runs tree${flags}`, raise('maxChildrenPerAgent', 5)]
  if (code === 'GATEWAY_UNREACHABLE') return [`deputy gateway run${flags}`, `deputy service install${flags}`]
  if (/^(UNKNOWN_REQUEST|REQUEST_CLOSED|UNKNOWN_DEVICE)$/.test(code)) return [`deputy devices list${flags}`]
  return []
}
