/**
 * What went wrong in a model call, classed: by the status, the provider's own words, or the way the line broke.
 *
 * Owns the classes and the removal of secrets from words. Never decides what happens next (call.ts does).
 */
import type { FailureClass } from '../core/ports.ts'
import type { ErrorCode } from '../protocol/errors.ts'

/** One attempt's failure, before it is known whether there will be another. */
export interface Trouble {
  class: FailureClass
  code: ErrorCode
  message: string
  fix?: string
  /** The provider's own wish. */
  retryAfterMs?: number
  /** False when the same request would fail in the same way. */
  again: boolean
}

const codes: Record<FailureClass, ErrorCode> = {
  auth: 'MODEL_AUTH',
  quota: 'MODEL_QUOTA',
  rate_limit: 'MODEL_RATE_LIMIT',
  context_length: 'MODEL_CONTEXT',
  refusal: 'MODEL_REFUSAL',
  network: 'MODEL_NETWORK',
  overloaded: 'MODEL_OVERLOADED',
  bad_answer: 'MODEL_BAD_ANSWER',
  bad_request: 'MODEL_BAD_REQUEST',
  aborted: 'RUN_CANCELLED',
}

const repeatable: ReadonlySet<FailureClass> = new Set<FailureClass>([
  'rate_limit',
  'network',
  'overloaded',
  'bad_answer',
])

export function trouble(kind: FailureClass, message: string, rest: Partial<Trouble> = {}): Trouble {
  return { class: kind, code: codes[kind], message, again: repeatable.has(kind), ...rest }
}

const words = {
  quota: /insufficient_quota|exceeded your current quota|credit balance|billing|out of credits?|payment required/i,
  context:
    /context.?(length|window|limit)|maximum (context|prompt)|prompt is too long|too many (input )?tokens|input (token count|length).*exceed|exceeds? the (maximum|limit|max).*tokens|request_too_large/i,
  refusal: /content.?(policy|filter|management)|safety system|usage polic|flagged|responsible.?ai/i,
  auth: /api key not valid|invalid.{0,12}api.?key|api_key_invalid|incorrect api key|authentication|unauthorized/i,
  overloaded: /overload|at capacity|temporarily unavailable|server_error|internal/i,
  rate: /rate.?limit|too many requests|resource_exhausted/i,
}

const brokenLine = /\b(terminated|socket|fetch failed|cannot connect|other side closed)\b/i
/** What the packages throw at an answer that they can't read; its message quotes the answer, so its words mean nothing. */
const unreadable = /^AI_(JSONParse|TypeValidation|InvalidResponseData|EmptyResponseBody)Error$/

interface Shape {
  name?: unknown
  message?: unknown
  statusCode?: unknown
  responseBody?: unknown
  responseHeaders?: Record<string, string>
  type?: unknown
  code?: unknown
  status?: unknown
  cause?: unknown
}

const string = (value: unknown): string => (typeof value === 'string' ? value : '')

/** Network codes hide in the chain of causes. */
function systemCode(error: unknown): string | null {
  for (let at = error as Shape | undefined, depth = 0; at && depth < 6; at = at.cause as Shape | undefined, depth += 1)
    if (typeof at.code === 'string' && /^(E[A-Z]{3,}|UND_ERR_\w+)$/.test(at.code)) return at.code
  return null
}

/** Milliseconds that the provider asks to wait; undefined when it doesn't say. Sources: Retry-After, retry-after-ms. */
export function retryAfter(headers: Record<string, string> | undefined, now: number): number | undefined {
  const exact = Number(headers?.['retry-after-ms'])
  if (Number.isFinite(exact) && exact > 0) return exact
  const value = headers?.['retry-after']
  if (value === undefined) return undefined
  const seconds = Number(value)
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000)
  const date = Date.parse(value)
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}

function classOf(status: number | null, said: string): FailureClass | null {
  if (status === 402 || words.quota.test(said)) return 'quota'
  if (status === 413 || ((status === null || status === 400 || status === 422) && words.context.test(said)))
    return 'context_length'
  if (status === 401 || status === 403 || (status === 400 && words.auth.test(said))) return 'auth'
  if (status === 429 || (status === null && words.rate.test(said))) return 'rate_limit'
  if (status === 408 || (status !== null && status >= 500)) return 'overloaded'
  if (words.refusal.test(said)) return 'refusal'
  if (status !== null && status >= 300) return 'bad_request'
  if (words.overloaded.test(said)) return 'overloaded'
  return null
}

/**
 * @param provider for the words.
 * @param error what the provider package threw or sent as an error part.
 */
export function classify(provider: string, error: unknown, now: number): Trouble {
  const shape: Shape = typeof error === 'object' && error !== null ? (error as Shape) : { message: error }
  const status = Number.isInteger(shape.statusCode) ? (shape.statusCode as number) : null
  const said = [shape.message, shape.type, shape.code, shape.status, shape.responseBody].map(string).join(' ')
  const text = short(string(shape.message) || said)
  if (unreadable.test(string(shape.name)))
    return trouble('bad_answer', `${provider} sent something that is not an answer: ${text}`)
  const broken = systemCode(error)
  if ((status === null || status === 200) && (broken || brokenLine.test(text)))
    return trouble('network', `The line to ${provider} broke: ${broken ? `${broken}, ` : ''}${text}`)
  const kind = status === 200 ? null : classOf(status, said)
  if (kind === null)
    return trouble('bad_answer', `${provider} sent something that is not an answer: ${text || 'nothing'}`)
  const wait = retryAfter(shape.responseHeaders, now)
  const answered = status === null ? `${provider} reported` : `${provider} answered ${status}`
  const missing = status === 404 && kind === 'bad_request'
  const wish = wait === undefined ? '' : ` (it asks to wait ${Math.ceil(wait / 1000)} s)`
  return trouble(kind, `${answered}: ${text || 'no words'}${wish}`, {
    ...(wait === undefined ? {} : { retryAfterMs: wait }),
    ...(missing ? { code: 'MODEL_UNKNOWN' as const } : {}),
  })
}

function short(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim()
  return line.length > 400 ? `${line.slice(0, 400)}…` : line
}

const shapes = [
  /\b(sk|pk|rk|xai|gsk|or)-[A-Za-z0-9_-]{8,}/g,
  /\bAIza[A-Za-z0-9_-]{10,}/g,
  /\b(Bearer\s+)[A-Za-z0-9._~+/=-]{8,}/gi,
  /([?&](?:key|api_key|access_token)=)[^&\s"']+/gi,
]

/** Words without the given secrets, and without anything else that looks like a key. */
export function scrub(text: string, secrets: readonly string[]): string {
  let clean = text
  for (const secret of secrets) if (secret.length >= 4) clean = clean.replaceAll(secret, '[secret]')
  for (const shape of shapes)
    clean = clean.replace(shape, (_, lead: unknown) =>
      typeof lead === 'string' && /^(bearer\s|[?&])/i.test(lead) ? `${lead}[secret]` : '[secret]',
    )
  return clean
}
