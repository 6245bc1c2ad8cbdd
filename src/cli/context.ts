/**
 * What a command works with: where to write, which home, how to reach the gateway.
 *
 * Owns the rules of output: with --json exactly one document goes to standard output and nothing else; people's words go
 * to standard output when they were asked for and to standard error when they are about the command itself. Colours only
 * on a terminal and never with NO_COLOR; nothing is drawn wider than 100 columns.
 */
import type { Home } from '../config/home.ts'
import { type ErrorCode, isErrorCode } from '../protocol/errors.ts'
import { type Paint, paint, plain } from './format.ts'
import { exit, type Host, type Stream } from './host.ts'

export interface Context {
  host: Host
  home: Home
  /** `--home` and `--config` as given, to be repeated in commands that are suggested; empty without them. */
  flags: string
  json: boolean
  /** Width to draw in: the terminal's, at most 100. */
  columns: number
  paint: Paint
  say(text: string): void
  /** About the command: hints, progress, errors. */
  note(text: string): void
  /** The one document of --json. */
  document(value: unknown): void
}

export const widest = 100

export function colourful(stream: Stream, env: Host['env']): boolean {
  return Boolean(stream.isTTY) && !env['NO_COLOR'] && env['TERM'] !== 'dumb'
}

export function openContext(host: Host, options: { home: Home; flags: string; json: boolean }): Context {
  return {
    host,
    ...options,
    columns: Math.min(host.stdout.columns ?? widest, widest),
    paint: paint(colourful(host.stdout, host.env)),
    say: text => void host.stdout.write(`${text}\n`),
    note: text => void host.stderr.write(`${text}\n`),
    document: value => void host.stdout.write(`${JSON.stringify(value, null, 2)}\n`),
  }
}

export interface Problem {
  code: ErrorCode
  message: string
  fix: string
}

/** Any thrown thing as the table's code, a sentence and what to do. An error of the wire keeps what the gateway said. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Error) {
    const { code, fix } = error as { code?: unknown; fix?: unknown }
    if (typeof code === 'string' && isErrorCode(code))
      return { code, message: error.message, fix: typeof fix === 'string' ? fix : '' }
    return { code: 'INTERNAL', message: error.message, fix: '' }
  }
  return { code: 'INTERNAL', message: String(error), fix: '' }
}

export function exitOf(code: ErrorCode): number {
  if (code === 'USAGE') return exit.usage
  return code === 'GATEWAY_UNREACHABLE' ? exit.unreachable : exit.failed
}

/** `deputy: what was wrong` and, below it, what to do. */
export function problemText(problem: Problem, p: Paint): string {
  const said = `${p.red('deputy:')} ${plain(problem.message)} ${p.dim(`[${problem.code}]`)}`
  return problem.fix === '' ? said : `${said}\n  ${plain(problem.fix)}`
}
