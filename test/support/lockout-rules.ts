/**
 * Who ought to get in, written down from the rules and not from the code: the oracle of the lock-out matrix (design.md 1).
 *
 * 1. The unix socket is the owner. 2. A secret is enough alone on this machine with nothing in between; from elsewhere an
 * approved device is needed besides, and takes nothing away. 3. A user whom a trusted proxy names is enough. 4. Without
 * authentication whoever is on this machine is in, and nobody else. 5. A device alone is what was approved for it, until that is taken.
 */
import type { Shows, Transport } from './lockout-callers.ts'

export const modes = ['token', 'password', 'none', 'trusted-proxy'] as const
export type Mode = (typeof modes)[number]

export const states = ['unknown', 'waiting', 'revoked', 'older generation', 'read only', 'everything'] as const
export type State = (typeof states)[number]

export interface Who {
  mode: Mode
  transport: Transport
  shows: Shows
  /** Null without a device. */
  state: State | null
}

export type Fate = { in: true; may: 'everything' | 'read' } | { in: false; code: string }

const refused = (code: string): Fate => ({ in: false, code })
const everything: Fate = { in: true, may: 'everything' }

export function fateOf({ mode, transport, shows, state }: Who): Fate {
  if (transport === 'unix socket') return everything
  const secret = shows === 'secret' || shows === 'secret and device'
  const vouched = mode === 'trusted-proxy' && transport === 'proxy, trusted'
  const open = mode === 'none' && transport === 'loopback'
  const known = open || vouched || (secret && (mode === 'token' || mode === 'password'))
  if (known && (vouched || transport === 'loopback')) return everything
  const approved = state === 'read only' || state === 'everything' || state === 'older generation'
  if (known && state !== null) return approved ? everything : refused('PAIRING_REQUIRED')
  if (known) return refused('DEVICE_IDENTITY_REQUIRED')
  switch (state) {
    case null:
      return refused(mode === 'trusted-proxy' ? 'AUTH_IDENTITY_HEADER_REQUIRED' : 'DEVICE_IDENTITY_REQUIRED')
    case 'read only':
      return { in: true, may: 'read' }
    case 'everything':
      return everything
    case 'older generation':
      return refused('AUTH_DEVICE_TOKEN_MISMATCH')
    default:
      return refused('PAIRING_REQUIRED')
  }
}

export const actions = ['tool call', 'CLI', 'v3', 'v4', 'slash', 'probe', 'approve', 'asks for more'] as const
export type Action = (typeof actions)[number]

/** What a cell of the matrix says. */
export const done = 'yes'
export const keeps = 'yes, keeps what it has'

export function outcomeOf(who: Who, action: Action): string {
  const fate = fateOf(who)
  if (!fate.in) return fate.code
  if (action === 'probe') return done
  if (action === 'asks for more') return fate.may === 'everything' ? done : keeps
  return fate.may === 'everything' ? done : 'MISSING_SCOPE'
}

/** What a refusal tells to do, tried in each row: afterwards the same caller gets in and spawns. */
export function remedyOf(who: Who): string {
  const fate = fateOf(who)
  if (fate.in) return fate.may === 'everything' ? '' : 'approve the request; the open connection widens'
  if (fate.code === 'PAIRING_REQUIRED') return 'approve the request'
  if (fate.code === 'AUTH_DEVICE_TOKEN_MISMATCH') return 'connect without the old token'
  return 'show a device, approve its request'
}

export interface Row extends Who {
  outcomes: Record<Action, string>
  remedy: string
}

/** The matrix as a document: rows that differ in the device's state only, and come out the same, are one. */
export function report(rows: readonly Row[]): string {
  const cells = rows.flatMap(row => actions.map(action => row.outcomes[action]))
  const well = cells.filter(cell => cell === done || cell === keeps).length
  const lines = [
    '# Who gets in',
    '',
    'Every way to come, everything that can be shown, every state of a device, and what is then possible. This page is',
    'written by `test/compat/lockout.test.ts`, which tries each cell on a real gateway and holds it against the rules below.',
    `${cells.length} cells in ${rows.length} rows: ${well} times the work was authorised and done, ${cells.length - well} times it was not and was refused. After each refusal its`,
    'remedy was carried out, and the same caller got in. Nothing that was approved was lost in any row.',
    '',
    '- The unix socket is the owner of the home.',
    '- A token or password is enough alone on this machine with nothing in between. From elsewhere, or through a proxy, an',
    '  approved device is needed besides (`gateway.auth.remoteDevices`), and takes nothing away from what the secret grants.',
    '- Forwarding headers make a caller remote, whoever sends them, and never make anybody local. A user that a trusted',
    '  proxy names is enough in the mode `trusted-proxy`.',
    '- In the mode `none` whoever is on this machine with nothing in between is in, and nobody else. Such a gateway does not',
    '  start on an address that others reach (`CONFIG_UNSAFE_BIND`), so it has no rows from another machine.',
    '- A device alone is what was approved for it. Asking for more never costs it that.',
    '',
    "The first columns: a spawn by an agent's tool call, by the command line, over protocol 3 and 4, by `/subagents spawn` in a",
    'chat; a probe; approving another device; connecting again and asking for more. ✓ it is done, ✗ it is refused, ✓= what it',
    'had it keeps, and the rest waits for an approval. A waiting device has asked and was not approved yet; an older generation',
    'shows the token that it had before it was removed and approved again.',
  ]
  for (const mode of modes) {
    lines.push('', `## ${mode}`, '')
    lines.push(`| comes by | shows | device | ${actions.join(' | ')} | refused with | what helps |`)
    lines.push(`|---|---|---|${actions.map(() => ':-:').join('|')}|---|---|`)
    for (const row of merged(rows.filter(each => each.mode === mode))) lines.push(row)
  }
  return `${lines.join('\n')}\n`
}

function merged(rows: readonly Row[]): string[] {
  const groups = new Map<string, { row: Row; states: (State | null)[] }>()
  for (const row of rows) {
    const key = JSON.stringify([row.transport, row.shows, row.outcomes, row.remedy])
    const group = groups.get(key) ?? { row, states: [] }
    group.states.push(row.state)
    groups.set(key, group)
  }
  return [...groups.values()].map(({ row, states: found }) => {
    const device = found.includes(null) ? '' : found.length === states.length ? 'any' : found.join(', ')
    const outcomes = actions.map(action => row.outcomes[action])
    const cells = outcomes.map(outcome => (outcome === done ? '✓' : outcome === keeps ? '✓=' : '✗'))
    const codes = new Set(outcomes.filter(outcome => outcome !== done && outcome !== keeps).map(code => `\`${code}\``))
    return `| ${[row.transport, row.shows, device, ...cells, [...codes].join(', '), row.remedy].join(' | ')} |`
  })
}
