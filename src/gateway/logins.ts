/**
 * Logging accounts in, for callers who come back for each thing that is to be shown: one login of an account at a time.
 *
 * Owns the newest thing to show of each login. A QR and a code are shown to whoever asks with the scope for it, and are in no
 * row and no log.
 */
import type { LoginStep } from '../core/chat.ts'
import type { LoginView } from '../protocol/results.ts'
import type { ChatRoom } from './rooms.ts'

export interface Logins {
  /** The first thing to show; goes on with a login that is at work unless `force`. */
  start(
    at: { channel: string; account: string; phone: string | null },
    how: { force: boolean; timeoutMs: number },
  ): Promise<LoginView>
  /** What is to be shown once it is something else than `seen`. Null when no login is at work. */
  wait(at: { channel: string; account: string }, seen: number | null, timeoutMs: number): Promise<LoginView | null>
  close(): void
}

interface Login {
  n: number
  step: LoginStep | null
  error: unknown
  over: boolean
  changed: PromiseWithResolvers<void>
  stop: AbortController
}

export function openLogins(chats: Pick<ChatRoom, 'login'>): Logins {
  const logins = new Map<string, Login>()
  const keyOf = (at: { channel: string; account: string }) => `${at.channel}\n${at.account}`

  async function drive(login: Login, steps: AsyncIterable<LoginStep>): Promise<void> {
    try {
      for await (const step of steps) {
        if (login.stop.signal.aborted) break
        login.step = step
        login.n += 1
        login.over = step.show === 'done' || step.show === 'failed'
        ring(login)
        if (login.over) break
      }
    } catch (error) {
      login.error = error
    }
    login.over = true
    ring(login)
  }

  function ring(login: Login): void {
    login.changed.resolve()
    login.changed = Promise.withResolvers()
  }

  async function after(login: Login, seen: number, timeoutMs: number): Promise<LoginView> {
    const end = performance.now() + timeoutMs
    while (login.n <= seen && !login.over) {
      const left = end - performance.now()
      if (left <= 0) break
      const { promise, resolve } = Promise.withResolvers<void>()
      const timer = setTimeout(resolve, left)
      await Promise.race([login.changed.promise, promise])
      clearTimeout(timer)
    }
    if (login.error !== null && login.n <= seen) throw login.error
    return viewOf(login)
  }

  return {
    async start(at, { force, timeoutMs }) {
      const key = keyOf(at)
      const before = logins.get(key)
      if (before && !before.over && !force) return after(before, 0, timeoutMs)
      before?.stop.abort()
      const stop = new AbortController()
      const login: Login = { n: 0, step: null, error: null, over: false, changed: Promise.withResolvers(), stop }
      logins.set(key, login)
      void drive(login, chats.login(at.channel, at.account, { phone: at.phone, signal: stop.signal }))
      return after(login, 0, timeoutMs)
    },
    async wait(at, seen, timeoutMs) {
      const login = logins.get(keyOf(at))
      return login ? after(login, seen ?? login.n, timeoutMs) : null
    },
    close() {
      for (const { stop } of logins.values()) stop.abort()
    },
  }
}

async function viewOf({ n, step, over }: Login): Promise<LoginView> {
  const base = { n, connected: false, done: over }
  switch (step?.show) {
    case 'qr': {
      const { toDataURL } = await import('qrcode')
      const { data, expiresAt } = step
      return {
        ...base,
        message: 'Scan this QR with the app on the phone: linked devices, link a device.',
        qr: data,
        qrDataUrl: await toDataURL(data),
        expiresAtMs: expiresAt,
      }
    }
    case 'code':
      return { ...base, message: 'Type this code on the phone.', code: step.code, expiresAtMs: step.expiresAt }
    case 'done':
      return { ...base, connected: true, message: `Logged in${step.self === null ? '' : ` as ${step.self}`}.` }
    case 'failed':
      return { ...base, message: `${step.message} ${step.fix}` }
    default:
      return { ...base, message: 'The service has not shown anything yet.' }
  }
}
