/**
 * Operator scopes and what each implies (openclaw-facts.md §B3). A closed set; pinned by test.
 * Owns the names and the order among them; never decides who holds one.
 */

export const scopes = [
  'operator.admin',
  'operator.read',
  'operator.write',
  'operator.approvals',
  'operator.questions',
  'operator.pairing',
  'operator.talk',
  'operator.talk.secrets',
  'operator.sessions.read',
  'operator.sessions.write',
] as const

export type Scope = (typeof scopes)[number]

const implied: Record<Scope, readonly Scope[]> = {
  'operator.admin': scopes,
  'operator.write': ['operator.read', 'operator.talk', 'operator.sessions.read', 'operator.sessions.write'],
  'operator.read': ['operator.sessions.read'],
  'operator.sessions.write': ['operator.sessions.read'],
  'operator.approvals': [],
  'operator.questions': [],
  'operator.pairing': [],
  'operator.talk': [],
  'operator.talk.secrets': [],
  'operator.sessions.read': [],
}

export function isScope(name: string): name is Scope {
  return (scopes as readonly string[]).includes(name)
}

/** Whether holding `held` is enough where `needed` is asked for. */
export function covers(held: readonly Scope[], needed: Scope): boolean {
  return held.some(scope => scope === needed || implied[scope].includes(needed))
}

/** The scopes of `asked` that `held` covers, in the order asked, without repeats. */
export function intersect(asked: readonly Scope[], held: readonly Scope[]): Scope[] {
  return [...new Set(asked)].filter(scope => covers(held, scope))
}

/** As stored: sorted, without repeats; admin brings read and write along, write brings read. */
export function normalise(held: readonly Scope[]): Scope[] {
  const all = new Set(held)
  if (all.has('operator.admin')) all.add('operator.read').add('operator.write')
  if (all.has('operator.write')) all.add('operator.read')
  return [...all].sort()
}
