/**
 * A directory that is gone when the test is over.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { onTestFinished } from 'vitest'

/** An empty directory (0700), removed when the running test ends. */
export function tempDir(): string {
  const path = mkdtempSync(join(tmpdir(), 'deputy-test-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** Writes a file with its directories, 0600 unless said otherwise, whatever the umask. */
export function put(path: string, text: string, mode = 0o600): string {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  writeFileSync(path, text)
  chmodSync(path, mode)
  return path
}
