/**
 * Runs a script in a process of its own, for tests that kill one. Only tests import this.
 */
import { spawn } from 'node:child_process'

export interface ChildEnd {
  code: number | null
  signal: NodeJS.Signals | null
  /** Lines of its output. */
  lines: string[]
  errors: string
}

export interface Child {
  pid: number
  /** Resolves with the next line that it prints. */
  line(): Promise<string>
  kill(): void
  send(text: string): void
  end: Promise<ChildEnd>
}

/** `script` is a JavaScript module; `store('open.ts')` in it is the address of a file beside this one. */
export function startChild(script: string, env: Record<string, string> = {}, command = [process.execPath]): Child {
  const prelude = `const store = name => ${JSON.stringify(`file://${import.meta.dirname}/`)} + name\n`
  const args = ['--input-type=module', '-e', prelude + script]
  const child = spawn(command[0]!, [...command.slice(1), ...args], { env: { ...process.env, ...env } })
  const lines: string[] = []
  const readers: { next(line: string): void; none(error: Error): void }[] = []
  let given = 0
  let rest = ''
  let errors = ''
  child.stderr.on('data', chunk => {
    errors += chunk
  })
  child.stdout.on('data', chunk => {
    const parts = (rest + chunk).split('\n')
    rest = parts.pop()!
    lines.push(...parts)
    while (readers.length > 0 && given < lines.length) readers.shift()!.next(lines[given++]!)
  })
  return {
    pid: child.pid!,
    line: () =>
      given < lines.length
        ? Promise.resolve(lines[given++]!)
        : new Promise((next, none) => readers.push({ next, none })),
    kill: () => void child.kill('SIGKILL'),
    send: text => void child.stdin.write(`${text}\n`),
    end: new Promise((resolve, reject) => {
      child.on('error', reject)
      child.on('close', (code, signal) => {
        resolve({ code, signal, lines, errors })
        for (const reader of readers) reader.none(new Error(`the process ended: ${errors}`))
      })
    }),
  }
}
