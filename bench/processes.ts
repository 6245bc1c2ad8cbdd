/**
 * Processes as Linux shows them: the tree below a pid, its resident memory, its processor time. Owns no process but those
 * it is told to start; ends process groups by number only.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs'

interface Stat {
  ppid: number
  /** User and system time, clock ticks. */
  ticks: number
}

/** Null for a process that has gone. */
function statOf(pid: number): Stat | null {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
    return { ppid: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) }
  } catch {
    return null
  }
}

/** The pid and everything below it that is alive now. */
export function treeOf(root: number): number[] {
  const parents = new Map<number, number[]>()
  for (const name of readdirSync('/proc')) {
    const stat = /^\d+$/.test(name) ? statOf(Number(name)) : null
    if (stat) parents.set(stat.ppid, [...(parents.get(stat.ppid) ?? []), Number(name)])
  }
  const below = (pid: number): number[] => [pid, ...(parents.get(pid) ?? []).flatMap(below)]
  return below(root)
}

/** Resident memory of a whole tree in megabytes of 2^20 bytes. Shared pages count in each process that maps them. */
export function residentMb(root: number): number {
  let kilobytes = 0
  for (const pid of treeOf(root)) {
    try {
      kilobytes += Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0)
    } catch {
      // The process ended while we looked: it holds no memory.
    }
  }
  return kilobytes / 1024
}

/** Processor time of a whole tree, in clock ticks (100 a second). */
export function ticksOf(root: number): number {
  return treeOf(root).reduce((sum, pid) => sum + (statOf(pid)?.ticks ?? 0), 0)
}

export interface Command {
  file: string
  args: readonly string[]
  env: Record<string, string>
  cwd: string
}

/** Starts a program as the leader of its own process group, its output in a file. */
export function launch(command: Command, log: string): ChildProcess {
  const out = openSync(log, 'a')
  const { file, args, env, cwd } = command
  const child = spawn(file, args, { env, cwd, stdio: ['ignore', out, out], detached: true })
  closeSync(out)
  return child
}

export interface Ran {
  code: number | null
  /** From start to exit. */
  ms: number
  output: string
}

/** Runs a program to its end and times the whole of it. */
export function run(command: Command, timeoutMs = 120_000): Promise<Ran> {
  const { file, args, env, cwd } = command
  const startedAt = performance.now()
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { env, cwd, stdio: ['ignore', 'pipe', 'pipe'], timeout: timeoutMs })
    let output = ''
    child.stdout.on('data', data => {
      output += data
    })
    child.stderr.on('data', data => {
      output += data
    })
    child.on('error', reject)
    child.on('exit', code => resolve({ code, ms: performance.now() - startedAt, output }))
  })
}

export function sleep(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}

/** Signals a process group; true when it was there. */
export function signalGroup(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(-pid, signal)
    return true
  } catch {
    return false
  }
}
