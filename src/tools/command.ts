/**
 * One command's life: started but held, released, ended.
 *
 * Owns the child process and its descriptors. Decides nothing: which program with which arguments, and when to end it, is
 * exec.ts's.
 * Invariants: 1 nothing of the command runs before release(): its shell waits for a line on its standard input, and ends
 * when the gateway does. 2 when `done` resolves the group is ended and every descriptor is closed. 3 a child that was
 * started is always waited for.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import { DeputyError } from '../protocol/errors.ts'
import { endGroups, type Mark, markOf, statOf, sweep } from './process.ts'
import { closeFd, makePipe } from './pipe.ts'

export interface Launch {
  /** Program and arguments. */
  argv: readonly string[]
  cwd: string
  env: Readonly<Record<string, string>>
  user: { uid: number; gid: number } | null
  /** Arguments for bwrap, handed over on descriptor 3; it reports on descriptor 4. Null outside the sandbox. */
  sandbox: readonly string[] | null
  /** Marks processes outside the sandbox; empty inside. */
  key: string
  /** The chunk is good for the time of the call only. */
  onOutput(chunk: Buffer): void
}

export interface Exit {
  code: number | null
  signal: NodeJS.Signals | null
  /** False when the sandbox could not be set up, so nothing of the command ran. */
  ran: boolean
  /** What the sandbox said about it. */
  complaint: string
}

export interface Held {
  /** Null where there is no /proc, and when the process is gone already. */
  mark: Mark | null
  pid: number
  release(): void
  /** SIGTERM, a grace, SIGKILL; within two seconds. False when something is still alive. */
  end(): Promise<boolean>
  done: Promise<Exit>
}

const complaintBytes = 4096
const readBytes = 64 * 1024
/** How long output may stay open after a command has exited. */
const lateMs = 500

interface Seen {
  released: boolean
  complaint: string
  /** First process of the sandbox's namespace, as this machine numbers it. */
  inner: number | null
  exitCode: number | null
}

/** Throws when the program can't be started at all. */
export async function hold(launch: Launch): Promise<Held> {
  const setup = launch.sandbox && words(launch.sandbox)
  const pipe = await makePipe()
  const seen: Seen = { released: false, complaint: '', inner: null, exitCode: null }
  const running = await started(launch, pipe.writer)
    .catch(async error => {
      await closeFd(pipe.reader)
      throw error
    })
    .finally(() => closeFd(pipe.writer))
  const { child, exited, pid } = running
  const output = readInto(pipe.reader, launch.onOutput)
  const streams = [output, child.stderr as Readable, ...(launch.sandbox ? [child.stdio[4] as Readable] : [])]
  const drained = Promise.all(streams.map(closed))
  for (const stream of streams) stream.on('error', error => complain(seen, error.message))
  child.stderr?.setEncoding('utf8').on('data', (piece: string) => complain(seen, piece))
  if (setup !== null) {
    follow(child.stdio[4] as Readable, seen)
    feed(child.stdio[3] as Writable, setup, seen)
  }
  const done = finish()
  const mark = await markOf(pid, launch.key)

  async function finish(): Promise<Exit> {
    const { code, signal } = await exited
    // Outside the sandbox a command may leave processes behind, and they may hold its output open.
    if (!launch.sandbox) await sweep(pid, launch.key)
    const late = setTimeout(() => {
      for (const stream of streams) stream.destroy()
    }, lateMs)
    await drained
    clearTimeout(late)
    const ran = !launch.sandbox || seen.exitCode !== null || signal !== null
    return { code: seen.exitCode ?? code, signal, ran, complaint: seen.complaint.trim() }
  }

  return {
    mark,
    pid,
    done,
    release() {
      seen.released = true
      feed(child.stdin as Writable, '\n', seen)
    },
    async end() {
      const inner = seen.inner === null ? null : ((await statOf(seen.inner))?.pgrp ?? null)
      const polite = launch.sandbox ? inner : pid
      const groups = inner === null ? [pid] : [pid, inner]
      const ended = await endGroups(groups, seen.released ? polite : null, launch.key, exited)
      if (ended) await done
      return ended
    },
  }
}

/** Reads into one buffer for ever: a chunk is good until the callback returns. A new buffer each time costs twice the time. */
function readInto(fd: number, take: (chunk: Buffer) => void): Socket {
  const buffer = Buffer.allocUnsafe(readBytes)
  const callback = (bytes: number): boolean => {
    take(buffer.subarray(0, bytes))
    return true
  }
  return new Socket({ fd, readable: true, writable: false, onread: { buffer, callback } }).resume()
}

/** Resolves once the program runs; its exit is watched from the first moment. */
async function started(launch: Launch, output: number) {
  const [file = '', ...args] = launch.argv
  const child = spawn(file, args, {
    cwd: launch.cwd,
    env: { ...launch.env },
    detached: true,
    ...(launch.user ?? {}),
    stdio: ['pipe', output, 'pipe', ...(launch.sandbox ? (['pipe', 'pipe'] as const) : [])],
  })
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>(resolve => {
    child.once('exit', (code, signal) => resolve({ code, signal }))
  })
  await once(child, 'spawn')
  return { child, exited, pid: child.pid! }
}

/** Arguments as bwrap reads them. A NUL inside one would be read as the beginning of another argument. */
function words(list: readonly string[]): string {
  if (list.some(word => word.includes('\0')))
    throw new DeputyError('TOOL_ARGUMENTS', 'An argument of the sandbox has a NUL character.', { fix: 'Leave it out.' })
  return list.map(word => `${word}\0`).join('')
}

/** Writes to a child that may be gone already: then its exit tells, and a broken pipe adds nothing to it. */
function feed(stream: Writable, text: string, seen: Seen): void {
  stream.on('error', error => complain(seen, error.message))
  stream.end(text)
}

function complain(seen: Seen, text: string): void {
  seen.complaint = (seen.complaint + text).slice(0, complaintBytes)
}

/** Reads what bwrap reports of itself: one JSON object a line. */
function follow(stream: Readable, seen: Seen): void {
  let text = ''
  stream.setEncoding('utf8').on('data', (piece: string) => {
    const lines = (text + piece).split('\n')
    text = lines.pop() ?? ''
    for (const line of lines.filter(Boolean)) {
      const news = JSON.parse(line) as { 'child-pid'?: number; 'exit-code'?: number }
      seen.inner = news['child-pid'] ?? seen.inner
      seen.exitCode = news['exit-code'] ?? seen.exitCode
    }
  })
}

function closed(stream: Readable): Promise<void> {
  return new Promise(resolve => stream.once('close', () => resolve()))
}
