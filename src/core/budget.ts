/**
 * Budgets: what a purse leaves, what a model call sets aside, what a child is lent and gives back (decisions.md 12).
 *
 * Owns the arithmetic over limits, spends and charges; never holds a balance: accounts are the run rows, charges the usage
 * rows, and every function returns new values. Amounts are whole numbers (nano-USD, tokens, calls); a `null` limit is none.
 *
 * Invariants, in each limited field:
 * B1 limit = left + spent + lent for every run, where `spent` counts the charges of its own calls, in flight included, and
 *    what ended attached children spent, and `lent` the limits of live attached children. Hence for a root:
 *    limit = free + spent + Σ live limits.
 * B2 charged ≥ really spent: a reservation counts as spent until it is settled, and for good when nobody can say.
 * B3 what a run and all its descendants really spend is at most its limit, as long as prompts are not longer than was
 *    estimated and providers keep to `max_tokens`; what goes beyond is booked as it is, and leaves nothing to spend.
 * B4 the same holds of a cap over many runs: what is set aside counts as used, so runs at work at once never pass it together.
 */
import type { ResolvedModel } from './ports.ts'
import type { Purse, Spend } from './types.ts'

/** The part of a run that is money: its limit (`grant.budget`), what it spent, what its live children hold. */
export interface Account {
  limit: Purse
  spent: Spend
  lent: Spend
}

/** A usage row. `charged` is what counts: the reservation until it is settled. */
export interface Charge {
  state: 'reserved' | 'settled' | 'unknown'
  reserved: Spend
  charged: Spend
}

/** A limit over many runs: what all of them have used or set aside counts towards it. */
export interface Cap {
  /** What it is a limit of, for people: "agent main", "this conversation". */
  of: string
  /** The configuration key that holds it. */
  key: string
  /** Whose use is counted, and since when (epoch ms; 0 = ever): what a raise of it is kept under. */
  whose: string
  since: number
  /** With what people have allowed besides. */
  limit: Purse
  used: Spend
  /** Time at work, where that is limited. Nobody knows beforehand what a call takes, so none of it is set aside. */
  seconds?: { limit: number; used: number }
  /** When its day is over; null when it has none. */
  until: number | null
}

export type Reservation =
  /** `most`: what all attempts of the call may cost together; null where nothing limits it. */
  { ok: true; account: Account; charge: Charge; maxTokens: number; most: Most } | Refused

/** What a limit is of. */
export type Field = keyof Purse | 'seconds'

/** `cap`: the one that is used up; null when it is the run's own budget. */
export interface Refused {
  ok: false
  code: 'RUN_BUDGET' | 'RUN_CAP'
  field: Field
  cap: Cap | null
  /** What is used up, and by how much it is too little for the least that this call can be. */
  limit: number
  short: number
  message: string
}

/** What one call may use up, whoever answers it, and what its prompt counts for in that. */
export interface Most extends Pick<Purse, 'nano' | 'tokens'> {
  promptTokens: number
}

const fields = ['nano', 'tokens', 'calls'] as const
const units = { nano: 'nano-USD', tokens: 'tokens', calls: 'model calls', seconds: 'seconds' }

export const unlimited: Purse = Object.freeze({ nano: null, tokens: null, calls: null })
export const nothing: Spend = Object.freeze({ nano: 0, tokens: 0, calls: 0 })

export function openAccount(limit: Purse): Account {
  return { limit, spent: nothing, lent: nothing }
}

/** What may still be reserved or lent; 0 also when a provider charged more than was reserved. */
export function left(account: Account): Purse {
  return eachLimit(account.limit, (limit, field) => Math.max(0, limit - account.spent[field] - account.lent[field]))
}

/** What counts of a charge: what was set aside until it is settled. */
export function counted(charge: Charge): Spend {
  return charge.state === 'reserved' ? charge.reserved : charge.charged
}

/** The smaller limit in each field. */
export function lesser(one: Purse, other: Purse): Purse {
  return each(field => {
    const [a, b] = [one[field], other[field]]
    if (a === null || b === null) return a ?? b
    return Math.min(a, b)
  })
}

/** A model call as far as it costs something. `promptTokens` is estimated from above, prices are nano-USD per token. */
export interface Costs {
  promptTokens: number
  maxTokens: number
  price: ResolvedModel['price']
}

/** The dearest that a call can cost: the whole prompt at the dearest input price, and `output` tokens of answer. */
function costOf({ promptTokens, price }: Costs, output: number): number {
  return Math.ceil(promptTokens * Math.max(price.input, price.cacheRead, price.cacheWrite) + output * price.output)
}

/** So many tokens of answer may be asked for that the call stays within `free` at its dearest; below 1 when it can't. */
export function outputWithin(free: Pick<Purse, 'nano' | 'tokens'>, call: Costs): number {
  let output = call.maxTokens
  if (free.tokens !== null) output = Math.min(output, free.tokens - call.promptTokens)
  if (free.nano === null || costOf(call, output) <= free.nano) return output
  if (call.price.output === 0) return 0
  output = Math.min(output, Math.floor((free.nano - costOf(call, 0)) / call.price.output))
  return costOf(call, output) <= free.nano ? output : output - 1
}

/**
 * Sets aside the dearest that a model call can cost, whichever of the models that may answer does: `max_tokens` is what the
 * first gives and what budget and caps leave; when not even one token is left the call is refused, and the run ends
 * `budget_exhausted`. A dearer model in its place has what is set aside and no more (`most`), and says less for it.
 */
export function reserve(
  account: Account,
  call: Costs & { inPlace?: readonly ResolvedModel['price'][] },
  caps: readonly Cap[] = [],
): Reservation {
  const free = caps.reduce((rest, cap) => lesser(rest, leftOf(cap)), left(account))
  const late = caps.find(({ seconds }) => seconds !== undefined && seconds.used >= seconds.limit)
  if (late?.seconds) return outOfTime(late, late.seconds)
  const least = { nano: costOf(call, 1), tokens: call.promptTokens + 1, calls: 1 }
  const exhausted = (field: keyof Purse) => refusedBy(field, least[field], account, caps)
  if (free.calls !== null && free.calls < 1) return exhausted('calls')
  if (outputWithin({ ...free, nano: null }, call) < 1) return exhausted('tokens')
  const maxTokens = outputWithin(free, call)
  if (maxTokens < 1) return exhausted('nano')
  const dearest = [call.price, ...(call.inPlace ?? [])].map(price => costOf({ ...call, price }, maxTokens))
  const nano = Math.min(free.nano ?? Number.POSITIVE_INFINITY, Math.max(...dearest))
  const reserved = { nano, tokens: call.promptTokens + maxTokens, calls: 1 }
  return {
    ok: true,
    account: { ...account, spent: plus(account.spent, reserved) },
    charge: { state: 'reserved', reserved, charged: reserved },
    maxTokens,
    most: {
      promptTokens: call.promptTokens,
      nano: free.nano === null ? null : nano,
      tokens: free.tokens === null ? null : reserved.tokens,
    },
  }
}

/**
 * Puts what a call really cost in place of its reservation. A charge that was given up as unknown is mended in the ledger
 * only, since its run may have ended and given back the rest; a settled one stays as it is, so that a repeat is harmless.
 */
export function settle(account: Account, charge: Charge, actual: Spend): { account: Account; charge: Charge } {
  if (charge.state === 'settled') return { account, charge }
  const settled: Charge = { ...charge, state: 'settled', charged: actual }
  if (charge.state === 'unknown') return { account, charge: settled }
  return { account: { ...account, spent: plus(minus(account.spent, charge.charged), actual) }, charge: settled }
}

/** A call that was in flight at a crash, a cancel or a deadline: charged in full. The account counts it already. */
export function giveUp(charge: Charge): Charge {
  return charge.state === 'reserved' ? { ...charge, state: 'unknown' } : charge
}

/**
 * The limit of a child: what was asked, at most what the target agent's policy and the caller's purse leave. A field that
 * was not asked takes an equal share of what is left, and no more than the policy's: one share for each child that may still
 * be spawned (`openSlots`), one for the caller itself, so that the first child does not starve the others.
 */
export function carve(
  free: Purse,
  cap: Purse,
  asked: Purse | null,
  openSlots: number,
): { ok: true; purse: Purse } | { ok: false; left: number | null; message: string } {
  for (const field of fields) {
    const want = asked?.[field] ?? null
    if (want !== null && (!Number.isSafeInteger(want) || want < 1)) {
      return { ok: false, left: free[field], message: `budget.${field} must be a whole number of at least 1` }
    }
    const rest = free[field]
    if (rest === null) continue
    if (rest < 1) return { ok: false, left: 0, message: `the caller has no ${units[field]} left to hand on` }
    if (want !== null && want > rest) {
      return { ok: false, left: rest, message: `${want} ${units[field]} were asked for, but only ${rest} are left` }
    }
  }
  const purse = each(field => {
    const limit = lesser(cap, asked ?? unlimited)[field]
    const rest = free[field]
    if (rest === null) return limit
    const share = asked?.[field] == null ? Math.max(1, Math.floor(rest / (openSlots + 1))) : rest
    return Math.min(rest, share, limit ?? share)
  })
  return { ok: true, purse }
}

/** The payer's account once an attached child with this limit is live. */
export function lend(payer: Account, limit: Purse): Account {
  return { ...payer, lent: plus(payer.lent, amount(limit)) }
}

/** The payer's account once that child has ended: the limit comes back, what the child spent stays spent. */
export function giveBack(payer: Account, child: Account): Account {
  return {
    limit: payer.limit,
    lent: minus(payer.lent, amount(child.limit)),
    spent: plus(payer.spent, child.spent),
  }
}

/**
 * A detached child takes its limit out of its whole ancestry, for the session's account. `ancestry` is the spawning run,
 * its payer, its payer's payer and so on; returned in the same order. Nothing of it ever comes back to them.
 */
export function leave(ancestry: readonly Account[], limit: Purse): Account[] {
  return ancestry.map((account, i) => ({
    limit: eachLimit(account.limit, (own, field) => own - (limit[field] ?? 0)),
    spent: account.spent,
    // The one below held its limit as a loan from this one, and that limit has just shrunk.
    lent:
      i === 0 ? account.lent : minus(account.lent, amount(eachLimit(ancestry[i - 1]!.limit, (_, f) => limit[f] ?? 0))),
  }))
}

/** A limit with what was allowed besides; none stays none. */
export function raisedBy(limit: Purse, raises: Spend): Purse {
  return eachLimit(limit, (own, field) => own + raises[field])
}

/** What a cap leaves to be set aside. */
export function leftOf(cap: Pick<Cap, 'limit' | 'used'>): Purse {
  return left({ limit: cap.limit, spent: cap.used, lent: nothing })
}

function outOfTime(cap: Cap, { limit, used }: { limit: number; used: number }): Refused {
  const message = `the budget of ${amountWords('seconds', limit)} of ${cap.of} (${cap.key}) is used up`
  const short = Math.max(1, Math.floor(used - limit) + 1)
  return { ok: false, code: 'RUN_CAP', field: 'seconds', cap, limit, short, message }
}

/** Whichever leaves the least refused. */
function refusedBy(field: keyof Purse, needed: number, account: Account, caps: readonly Cap[]): Refused {
  const least = (rest: Purse) => rest[field] ?? Number.POSITIVE_INFINITY
  const cap = caps.reduce<Cap | null>(
    (worst, one) => (least(leftOf(one)) < least(worst ? leftOf(worst) : left(account)) ? one : worst),
    null,
  )
  const { limit, rest } = cap ? { limit: cap.limit, rest: leftOf(cap) } : { limit: account.limit, rest: left(account) }
  const whose = cap ? `${cap.of} (${cap.key})` : 'this run'
  const [most, free] = [limit[field] ?? 0, rest[field] ?? 0]
  const message = `the budget of ${amountWords(field, most)} of ${whose} is used up: ${amountWords(field, free)} left, too little for the next model call`
  const code = cap ? ('RUN_CAP' as const) : ('RUN_BUDGET' as const)
  // More than was left may have been used: a provider that charged beyond what was set aside is made good too.
  const used = cap ? cap.used[field] : account.spent[field] + account.lent[field]
  return { ok: false, code, field, cap, limit: most, short: Math.max(1, needed + used - most), message }
}

/** `$1.50`, `3 model calls`. */
export function amountWords(field: Field, amount: number): string {
  if (field === 'calls' && amount === 1) return '1 model call'
  if (field === 'seconds' && amount === 1) return '1 second'
  if (field !== 'nano') return `${amount} ${units[field]}`
  return `$${(amount / 1e9).toFixed(amount > 0 && amount < 1e7 ? 6 : 2)}`
}

/** A limit as an amount; "no limit" holds nothing of anybody's. */
function amount(limit: Purse): Spend {
  return each(field => limit[field] ?? 0)
}

export function plus(one: Spend, other: Spend): Spend {
  return each(field => one[field] + other[field])
}

function minus(one: Spend, other: Spend): Spend {
  return each(field => one[field] - other[field])
}

function each<T>(of: (field: keyof Purse) => T): Record<keyof Purse, T> {
  return { nano: of('nano'), tokens: of('tokens'), calls: of('calls') }
}

function eachLimit(limit: Purse, of: (own: number, field: keyof Purse) => number): Purse {
  return each(field => {
    const own = limit[field]
    return own === null ? null : of(own, field)
  })
}
