/**
 * A whole Deputy inside the test's process: real store, configuration and log in a temporary home, the unix socket.
 * Owns opening it before the tests of a file and closing it after them.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll } from 'vitest'
import { type App, openApp } from '../../src/app.ts'
import { type Client, connect } from '../../src/client/connect.ts'
import type { MethodName, Params } from '../../src/protocol/methods.ts'
import type { Scope } from '../../src/protocol/scopes.ts'

/** For one test file, called at its top. */
export function useApp(config: Record<string, unknown>, options: { tcp?: true } = {}) {
  const token = 'a-token-that-nobody-may-see-0123456789'
  const parts: { dir: string; app?: App; owner?: Client } = { dir: '' }

  beforeAll(async () => {
    parts.dir = mkdtempSync(join(tmpdir(), 'deputy-app-'))
    const text = JSON.stringify({ gateway: { port: 0, auth: { token } }, ...config })
    const tcp = options.tcp === true
    writeFileSync(join(parts.dir, 'deputy.json'), text, { mode: 0o600 })
    parts.app = await openApp({ home: parts.dir, env: {}, log: () => undefined, tcp, version: '9.9.9' })
    parts.owner = await connect({ socketPath: parts.app.ready.socket })
  })
  afterAll(async () => {
    parts.owner?.close()
    await parts.app?.stop()
    rmSync(parts.dir, { recursive: true, force: true })
  })

  const call = <M extends MethodName>(method: M, params: Params<M>) => parts.owner!.request(method, params)
  return {
    token,
    call,
    dir: () => parts.dir,
    /** With `tcp` only. */
    url: () => (parts.app?.ready.url ?? '').replace('http', 'ws'),
    owner: () => parts.owner!,
    as: (...scopes: Scope[]) => connect({ socketPath: parts.app!.ready.socket, scopes }),
    /** A message to the end of its run, sub-agents included. */
    async say(key: string, message: string) {
      const { runId } = await call('sessions.send', { key, message })
      return await call('agent.wait', { runId, until: 'done', timeoutMs: 20_000 })
    },
  }
}

/** Looks until it is so; rejects with what was seen last. */
export async function until<T>(look: () => T | Promise<T>, so: (seen: T) => boolean): Promise<T> {
  for (const end = Date.now() + 10_000; ; await sleep(20)) {
    const seen = await look()
    if (so(seen)) return seen
    if (Date.now() > end) throw new Error(`it did not come; last seen: ${JSON.stringify(seen)}`)
  }
}
