/**
 * A program in a terminal that nobody sits at: tmux holds it, keys go in, the screen is read as text.
 * Owns its own tmux server, so that nobody else's is touched.
 */
import { execFileSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from './lab.ts'

export interface Terminal {
  screen(): string
  /** Waits until the screen fits; rejects with the screen as it is. */
  shows(what: RegExp, ms?: number): Promise<string>
  /** Types a line and sends it off. */
  say(line: string): Promise<void>
  key(name: string): void
  close(): void
}

export function openTerminal(argv: readonly string[], env: Readonly<Record<string, string>>, cwd: string): Terminal {
  const server = `deputy-${process.pid}-${Math.random().toString(36).slice(2, 8)}`
  const tmux = (...args: string[]) =>
    execFileSync('tmux', ['-L', server, '-f', '/dev/null', ...args], { encoding: 'utf8' })
  const set = Object.entries(env).flatMap(([name, value]) => ['-e', `${name}=${value}`])
  tmux('new-session', '-d', '-s', 'tui', '-x', '120', '-y', '50', '-c', cwd, ...set, ...argv)

  const screen = () => tmux('capture-pane', '-p', '-t', 'tui')
  return {
    screen,
    shows: (what, ms = 60_000) => until(screen, text => what.test(text), ms),
    async say(line) {
      tmux('send-keys', '-t', 'tui', '-l', '--', line)
      await until(screen, text => text.includes(line.slice(0, 60)))
      await sleep(500)
      tmux('send-keys', '-t', 'tui', 'Enter')
      // The first Enter may have taken a suggestion only.
      if (!line.startsWith('/')) return
      await sleep(700)
      const typed = screen().trimEnd().split('\n').slice(-3).join('\n')
      if (typed.includes(line)) tmux('send-keys', '-t', 'tui', 'Enter')
    },
    key: name => void tmux('send-keys', '-t', 'tui', name),
    close() {
      tmux('kill-server')
    },
  }
}
