/**
 * Devices and requests as tables: who, what it asks, what it holds, what is new in the request, since when, and the command
 * that approves it. Owns the drawing; every word of a device is taken as text that may be hostile.
 */
import type { DeviceList, PairedDevice, PendingDevice } from '../protocol/results.ts'
import type { Context } from './context.ts'
import { nameOf, scopeWords, shortDevice, shortRequest } from './devices.ts'
import { ago, clip, line, span, table } from './format.ts'

/** A list of scopes takes at most so many columns; `--json` has the whole of it. */
const scopesWide = 26
/** So does a name, which must not push the id out of sight. */
const nameWide = 24

export function showDevices(context: Context, all: DeviceList): void {
  const { paint: p } = context
  const now = Date.now()
  if (all.pending.length > 0) {
    context.say(p.bold('Waiting for approval'))
    for (const each of pendingTable(context, all, now)) context.say(each)
    context.say('')
  }
  if (all.paired.length === 0)
    context.say(all.pending.length === 0 ? 'No device, and none that asks.' : 'None is let in.')
  else {
    context.say(p.bold('Let in'))
    for (const each of pairedTable(context, all, now)) context.say(each)
  }
}

function pendingTable({ paint: p, columns, flags }: Context, { pending }: DeviceList, now: number): string[] {
  const head = [
    { title: 'request' },
    { title: 'device', elastic: true },
    { title: 'asks' },
    { title: 'holds' },
    { title: 'new' },
    { title: 'since' },
  ]
  const rows = pending.map(each => [
    p.cyan(shortRequest(each.requestId)),
    who(each),
    short(each.scopes),
    short(each.heldScopes),
    p.yellow(clip(whatIsNew(each), scopesWide)),
    ago(each.ts, now),
  ])
  const commands = pending.map(each => {
    const from = [each.clientId, each.platform, each.remoteIp].flatMap(word => (word ? line(word) : []))
    const about = `${from.join(', ')}; runs out in ${span(each.expiresAtMs - now)}`
    return `  deputy devices approve ${shortRequest(each.requestId)}${flags}  ${p.dim(about)}`
  })
  return [...table(head, rows, columns, p), ...commands]
}

function pairedTable({ paint: p, columns }: Context, { paired }: DeviceList, now: number): string[] {
  const head = [
    { title: 'device', elastic: true },
    { title: 'may' },
    { title: 'kind' },
    { title: 'approved' },
    { title: 'last here' },
  ]
  const rows = paired.map(each => [
    who(each),
    short(each.scopes),
    clip(line([each.clientId, each.platform].filter(Boolean).join(', ')), scopesWide),
    `${ago(each.approvedAtMs, now)} ${p.dim(`by ${each.approvedVia}`)}`,
    each.connected ? p.green('now') : each.lastSeenAtMs === undefined ? p.dim('never') : ago(each.lastSeenAtMs, now),
  ])
  return table(head, rows, columns, p)
}

/** The name is the device's own word for itself; its id is not. */
function who(device: PairedDevice | PendingDevice): string {
  return `${clip(nameOf(device), nameWide)} (${shortDevice(device.deviceId)})`
}

function short(scopes: readonly string[]): string {
  return clip(scopeWords(scopes), scopesWide)
}

/** What an approval would change. */
export function whatIsNew({ newScopes, reason, isRepair, heldScopes }: PendingDevice): string {
  if (newScopes.length > 0) return scopeWords(newScopes)
  if (reason === 'role-upgrade') return 'a role'
  return isRepair && heldScopes.length === 0 ? 'another key' : 'another platform'
}
