/**
 * The login of an account as baileys wants it: credentials and Signal keys, from what is kept on disk.
 *
 * Owns which kinds are kept and how long. Credentials become a row only once the phone has linked the device: a login that
 * nobody finished leaves nothing behind. They are on disk before the phone is answered.
 */
import type { AuthenticationCreds, AuthenticationState, proto, SignalDataSet, SignalDataTypeMap } from 'baileys'
import type { Keep } from './keep.ts'
import type { Library } from './library.ts'

export interface Login {
  state: AuthenticationState
  linked(): boolean
  /** baileys has changed the credentials. */
  changed(update: Partial<AuthenticationCreds>): void
}

/** What was sent and can be asked for again, and what came and can be answered: that many of each. */
const remembered = 1_000

export function openLogin(keep: Keep, lib: Library, fresh: boolean): Login {
  if (fresh) keep.clear()
  const kept = keep.get('creds', 'me') as AuthenticationCreds | undefined
  const creds = kept ?? lib.initAuthCreds()
  const linked = () => creds.account !== undefined
  return {
    linked,
    changed(update) {
      Object.assign(creds, update)
      if (linked()) keep.writeNow({ creds: { me: creds } })
    },
    state: {
      creds,
      keys: {
        get<T extends keyof SignalDataTypeMap>(type: T, ids: string[]) {
          const found: { [id: string]: SignalDataTypeMap[T] } = {}
          for (const id of ids) {
            const value = keep.get(type, id)
            if (value !== undefined) found[id] = typed(lib, type, value) as SignalDataTypeMap[T]
          }
          return found
        },
        set: (data: SignalDataSet) => keep.write(data),
      },
    },
  }
}

/** baileys wants these as its own objects. */
function typed(lib: Library, type: string, value: unknown): unknown {
  if (type !== 'app-state-sync-key') return value
  return lib.proto.Message.AppStateSyncKeyData.fromObject(value as Record<string, unknown>)
}

/** A message that came, as far as an answer to it must know. */
export interface Heard {
  chat: string
  participant: string | null
  mine: boolean
  text: string
}

/** Kept with the keys, so that the session is never ahead of what is known to have been read. */
export function hear(keep: Keep, id: string, heard: Heard): Record<string, Record<string, unknown>> {
  return { heard: { ...outdated(keep, 'heard'), [id]: heard } }
}

export function heardOf(keep: Keep, id: string): Heard | null {
  return (keep.get('heard', id) as Heard | undefined) ?? null
}

export async function rememberSent(keep: Keep, id: string, message: Uint8Array): Promise<void> {
  await keep.write({ sent: { ...outdated(keep, 'sent'), [id]: message } })
}

/** By its id alone: a device that asks again names the chat in a form of its own. */
export function sentBefore(keep: Keep, lib: Library, id: string): proto.IMessage | undefined {
  const bytes = keep.get('sent', id)
  return bytes instanceof Uint8Array ? lib.proto.Message.decode(bytes) : undefined
}

function outdated(keep: Keep, kind: string): Record<string, null> {
  const old = keep.ids(kind).slice(0, -remembered)
  return Object.fromEntries(old.map(id => [id, null]))
}
