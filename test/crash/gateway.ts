/** A whole gateway over a home with chat accounts, as a process of its own that may die at a crash point. Owns its start only. */
import { type ChildProcess, spawn } from 'node:child_process'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '../..')

export function start(home: string, crash: string): ChildProcess {
  return spawn(join(root, 'node_modules/.bin/node'), [join(root, 'test/channels/gateway-child.ts'), home], {
    env: {
      PATH: process.env['PATH'],
      HOME: home,
      OLLAMA_HOST: 'http://127.0.0.1:9',
      ...(crash && { DEPUTY_CRASH: crash }),
    },
    stdio: 'ignore',
  })
}
