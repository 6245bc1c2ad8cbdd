/**
 * A login as a person goes through it: codes to scan or to type until the phone has linked the device.
 *
 * Owns the order of the steps. Keeps nothing: credentials are a row once the phone has agreed (login.ts).
 */
import type { ConnectionState } from 'baileys'
import type { LoginStep } from '../channel.ts'
import type { Line } from './line.ts'

const fix = 'Begin again: deputy channels login whatsapp'
/** baileys shows the first QR a minute, each further one twenty seconds; the phone takes a typed code for some minutes. */
const lives = { first: 60_000, next: 20_000, code: 160_000 }

export interface PairingOptions {
  line: Line
  phone: string | null
  signal: AbortSignal
  self(): string | null
  now(): number
}

export async function* pair(options: PairingOptions): AsyncGenerator<LoginStep> {
  const { line, signal, now } = options
  const phone = options.phone?.replace(/\D/g, '') ?? null
  const steps: LoginStep[] = []
  let shown = 0
  let linked = false
  let wake = () => undefined as undefined
  const tell = (step: LoginStep) => {
    steps.push(step)
    wake()
  }
  const forget = line.watch(({ connection, qr, isNewLogin }: Partial<ConnectionState>) => {
    if (isNewLogin) linked = true
    if (qr && phone === null) {
      tell({ show: 'qr', data: qr, expiresAt: now() + (shown++ === 0 ? lives.first : lives.next) })
    } else if (qr && shown++ === 0) {
      const asked = line.socket?.requestPairingCode(phone ?? '')
      asked?.then(
        code => tell({ show: 'code', code, expiresAt: now() + lives.code }),
        () =>
          tell({
            show: 'failed',
            code: 'CHANNEL_LOGIN_FAILED',
            message: 'WhatsApp gave no code for this number.',
            fix,
          }),
      )
    }
    if (connection === 'open') tell({ show: 'done', self: options.self() })
    if (connection === 'close' && !linked) {
      const message = shown > 0 ? 'Nobody scanned or typed the code in time.' : 'WhatsApp cannot be reached.'
      tell({ show: 'failed', code: shown > 0 ? 'CHANNEL_LOGIN_FAILED' : 'CHANNEL_UNREACHABLE', message, fix })
    }
  })
  const abort = () => wake()
  signal.addEventListener('abort', abort)
  try {
    line.begin()
    while (!signal.aborted) {
      const step = steps.shift()
      if (!step) {
        await new Promise<void>(resolve => {
          wake = () => void resolve() as undefined
        })
        continue
      }
      yield step
      if (step.show === 'done' || step.show === 'failed') return
    }
  } finally {
    forget()
    signal.removeEventListener('abort', abort)
    if (!line.ready && !linked) await line.end('login')
  }
}
