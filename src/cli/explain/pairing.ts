/**
 * Refusals of devices against the devices and requests of this home: who asks, what it holds, who may grant it, or why the
 * line cannot come from here.
 */
import { portOwner } from '../../config/port-owner.ts'
import { covers, type Scope } from '../../protocol/scopes.ts'
import type { Reader } from '../../store/reader.ts'
import { isLoopback } from '../doctor/door.ts'
import type { Patient } from '../doctor/types.ts'
import { ago, line, span } from '../format.ts'
import { type DeviceFact, type PairingFacts, pendingOf, type RequestFact } from '../pairing.ts'
import { shortId } from '../runs.ts'
import type { Evidence } from './explanation.ts'

/** Where OpenClaw's gateway listens unless it is told otherwise. */
const peerPort = 18_789

export async function pairingEvidence(
  patient: Patient,
  facts: PairingFacts,
  read: Reader['read'] | null,
  wanted: Scope | null,
): Promise<Evidence> {
  const now = Date.now()
  const { flags } = patient.context
  const pending = pendingOf(facts).filter(({ scopes }) => wanted === null || covers(scopes, wanted))
  const here: string[] = pending.map(request => describeRequest(request, now))
  const commands = pending.map(({ id }) => `deputy devices approve ${id}${flags}`)
  if (pending.length === 0) {
    here.push(wanted === null ? 'No request is pending here now.' : `No pending request asks for ${wanted}.`)
    here.push(...lastClosed(facts, now))
    here.push(
      'A request lives for five minutes after its device last asked. Let the program connect again, then look at once.',
    )
    commands.push(`deputy devices list${flags}`)
  }
  here.push(...holders(facts, wanted))
  here.push(...(await notASpawn(read, now)), ...proxies(patient), ...peer(patient))
  const fix =
    pending.length === 0
      ? nothingPending(wanted, facts)
      : 'Approve it if you know the device: that grants exactly what it asks, and a connection that is open widens at once. Else reject it.'
  return { here, commands, fix }
}

function nothingPending(wanted: Scope | null, { devices }: PairingFacts): string {
  if (wanted === null)
    return 'Let the program connect again; deputy devices list then shows its request with the command that approves it.'
  const lacking = devices.some(device => device.paired && !covers(device.scopes, wanted))
  return `${lacking ? 'Let the device connect again and ask' : 'Let the caller connect as a device that asks'} for ${wanted}; deputy devices list then shows its request. The deputy command on this host holds every scope already.`
}

/** Who, what it asks, what it holds, what is new in it, since when, until when. */
export function describeRequest(request: RequestFact, now: number): string {
  const { id, name, clientId, platform, address, scopes, held, added, refreshedAt, expiresAt, reason } = request
  const about = [clientId, platform, address === null ? null : `from ${address}`].filter(each => each !== null)
  const who = about.length > 0 ? `${line(name)} (${line(about.join(', '))})` : line(name)
  const asks = `asks for ${scopes.join(', ') || 'no scope'}`
  const fresh = added.length > 0 && held.length > 0 ? `; new is ${added.join(', ')}` : ''
  const why =
    reason === 'metadata-upgrade' ? '; it shows another key or another platform than it was approved with' : ''
  return `${who} ${asks}; it holds ${held.join(', ') || 'nothing'}${fresh}${why}. Request ${id}, last asked ${ago(refreshedAt, now)}, runs out in ${span(Math.max(0, expiresAt - now))}.`
}

function lastClosed({ requests }: PairingFacts, now: number): string[] {
  const newest = requests[0]
  return newest ? [`The newest request: ${line(newest.name)}, ${whatBecame(newest, now)} (${newest.id}).`] : []
}

/** What became of a closed request, in a few words. */
export function whatBecame(request: RequestFact, now: number): string {
  const { state, decidedBy, decidedAt, expiresAt, supersededBy } = request
  const when = ago(decidedAt ?? expiresAt, now)
  const by = decidedBy === null ? '' : ` by ${decidedBy}`
  if (state === 'superseded')
    return `replaced ${when}${supersededBy === null ? '' : ` by ${supersededBy}, which asks for something else`}`
  if (state === 'expired') return `ran out ${ago(expiresAt, now)} without an answer`
  return `${state} ${when}${by}`
}

function holders({ devices }: PairingFacts, wanted: Scope | null): string[] {
  const paired = devices.filter(device => device.paired)
  if (paired.length === 0)
    return ['No device is paired. The commands on this host need none: who owns the home is the operator.']
  const lacking = wanted === null ? [] : paired.filter(({ scopes }) => !covers(scopes, wanted))
  if (wanted !== null && lacking.length > 0) return [`Paired and without ${wanted}: ${lacking.map(named).join('; ')}.`]
  return [`Paired: ${paired.map(named).join('; ')}.`]
}

function named({ name, id, scopes }: DeviceFact): string {
  return `${line(name)} (${id.slice(0, 8)}…) holds ${scopes.join(', ') || 'nothing'}`
}

/** The line is known from delegation; here delegation has no connection that could be refused. */
async function notASpawn(read: Reader['read'] | null, now: number): Promise<string[]> {
  const child = read
    ? await read
        .selectFrom('runs')
        .select(['id', 'agent', 'state', 'outcome', 'created_at'])
        .where('lane', '=', 'subagent')
        .orderBy('created_at', 'desc')
        .limit(1)
        .executeTakeFirst()
    : undefined
  const last = child
    ? ` The newest sub-agent here: ${line(child.agent)}, ${child.outcome ?? child.state}, ${ago(child.created_at, now)} (deputy explain ${shortId(child.id)}).`
    : ' deputy doctor proves it by a spawn.'
  return [
    `It cannot come from delegation in Deputy. sessions_spawn, /subagents spawn and deputy spawn open no connection, have no device and never pair: the sub-agent is a row, written together with the call that asked for it.${last}`,
  ]
}

function proxies({ settings }: Patient): string[] {
  if (settings === null) return []
  const local = settings.gateway.trustedProxies.filter(isLoopback)
  if (local.length === 0) return []
  return [
    `${local.join(', ')} in gateway.trustedProxies changes nothing about this: such an entry makes nobody local and grants nothing.`,
  ]
}

/** Another gateway on the usual port is a likelier speaker of the line than this one. */
function peer({ settings, gateway, context }: Patient): string[] {
  const own = settings === null ? peerPort : settings.gateway.port
  for (const port of new Set([own, peerPort])) {
    const owner = portOwner(port)
    const ours = gateway.state === 'running' && owner?.pid === gateway.status.pid
    if (owner && !ours && /openclaw/i.test(owner.command))
      return [
        `Port ${port} belongs to an OpenClaw gateway (process ${owner.pid}): a program that shows this line talks to that one, not to the Deputy of ${context.home.dir}.`,
      ]
  }
  return gateway.state === 'running'
    ? []
    : [`The gateway of ${context.home.dir} is not running, so it said nothing now.`]
}
