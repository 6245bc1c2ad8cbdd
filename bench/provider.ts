/**
 * The other end of stub.ts: starts the provider process, keeps what it saw, and lets a benchmark or a test wait for it.
 */
import { fork } from 'node:child_process'
import { join } from 'node:path'
import type { FromStub, Seen, ToStub } from './stub.ts'

export interface Provider {
  port: number
  /** `http://127.0.0.1:<port>/v1` */
  baseUrl: string
  /** Every request so far, in order of arrival. An answer that has been written has `sentAt` set. */
  requests: readonly Seen[]
  /** Resolves with the first request, past or to come, that fits; rejects when the time is over. */
  until(what: string, fits: (seen: Seen) => boolean, timeoutMs?: number): Promise<Seen>
  /** Lets go the answers held under a name, and those to come. */
  release(name: string): void
  /** Empties the list of requests. */
  forget(): void
  stop(): Promise<void>
}

interface Waiter {
  fits: (seen: Seen) => boolean
  resolve: (seen: Seen) => void
}

export async function startProvider(): Promise<Provider> {
  const child = fork(join(import.meta.dirname, 'stub.ts'), { serialization: 'advanced' })
  const requests = new Map<number, Seen>()
  const waiters = new Set<Waiter>()
  const list: Seen[] = []
  const port = await new Promise<number>((resolve, reject) => {
    child.once('exit', code => reject(new Error(`the provider stub ended with ${code}`)))
    child.on('message', message => {
      const told = message as FromStub
      if (told.on === 'ready') return resolve(told.port)
      const known = requests.get(told.seen.nr)
      const seen = known ? Object.assign(known, told.seen) : told.seen
      if (!known) {
        requests.set(seen.nr, seen)
        list.push(seen)
      }
      for (const waiter of waiters) {
        if (!waiter.fits(seen)) continue
        waiters.delete(waiter)
        waiter.resolve(seen)
      }
    })
  })
  const order = (message: ToStub) => child.connected && child.send(message)

  return {
    port,
    baseUrl: `http://127.0.0.1:${port}/v1`,
    requests: list,
    until(what, fits, timeoutMs = 60_000) {
      const past = list.find(fits)
      if (past) return Promise.resolve(past)
      return new Promise((resolve, reject) => {
        const waiter: Waiter = {
          fits,
          resolve: seen => {
            clearTimeout(timer)
            resolve(seen)
          },
        }
        const timer = setTimeout(() => {
          waiters.delete(waiter)
          reject(new Error(`no model request within ${timeoutMs} ms: ${what}`))
        }, timeoutMs)
        waiters.add(waiter)
      })
    },
    release: name => void order({ do: 'release', name }),
    forget() {
      for (const seen of list) if (seen.sentAt > 0) requests.delete(seen.nr)
      list.length = 0
    },
    stop() {
      return new Promise(resolve => {
        child.once('exit', () => resolve())
        child.kill('SIGTERM')
      })
    },
  }
}
