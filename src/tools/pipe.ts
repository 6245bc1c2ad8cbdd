/**
 * A true pipe for a command's output. Node gives its children sockets, and a socket can't be opened as /dev/stdout or
 * /dev/stderr, which scripts do. Owns the named pipe for the moment between making it and opening both ends.
 */
import { execFile } from 'node:child_process'
import { close, constants, open } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const openFd = promisify(open)
export const closeFd = promisify(close)

/** Both ends as file descriptors, for the caller to close. */
export async function makePipe(): Promise<{ reader: number; writer: number }> {
  const folder = await mkdtemp(join(tmpdir(), 'deputy-pipe-'))
  try {
    const path = join(folder, 'output')
    await run('mkfifo', ['-m', '600', path], { env: { PATH: process.env['PATH'] } })
    const reader = await openFd(path, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      return { reader, writer: await openFd(path, constants.O_WRONLY) }
    } catch (error) {
      await closeFd(reader)
      throw error
    }
  } finally {
    await rm(folder, { recursive: true })
  }
}
