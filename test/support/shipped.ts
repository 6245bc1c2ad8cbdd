/**
 * The program as it is shipped, built from the sources of this moment into a folder of its own: the launcher, the bundle,
 * and the packages that npm brings beside it: Node and baileys. A test that starts it neither finds an old build nor disturbs anybody else's.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '../..')

export interface Shipped {
  /** bin/deputy of the copy. */
  program: string
  remove(): void
}

export function ship(): Shipped {
  const dir = mkdtempSync(join(tmpdir(), 'deputy-shipped-'))
  execFileSync(process.execPath, [join(root, 'scripts/build.mjs'), '--out', join(dir, 'dist')])
  for (const part of ['bin', 'package.json']) cpSync(join(root, part), join(dir, part), { recursive: true })
  const node = `node-${process.platform}-${process.arch}`
  mkdirSync(join(dir, 'node_modules'))
  for (const name of [node, 'baileys']) symlinkSync(join(root, 'node_modules', name), join(dir, 'node_modules', name))
  return { program: join(dir, 'bin/deputy'), remove: () => rmSync(dir, { recursive: true, force: true }) }
}
