/**
 * What every file of the fake service needs: baileys (quiet), and stanzas made and read in few words.
 */
import { randomBytes } from 'node:crypto'
import type { BinaryNode, SignalDataSet, SignalDataTypeMap, SignalKeyStore } from 'baileys'
import { library } from '../../../src/channels/whatsapp/library.ts'

export const wa = await library()
export type Stanza = BinaryNode
type Attrs = Record<string, string | undefined>

export const host = 's.whatsapp.net'

/** Attributes that are undefined are left out. */
export function stanza(tag: string, attrs: Attrs = {}, content?: Stanza['content']): Stanza {
  const present = Object.entries(attrs).filter((pair): pair is [string, string] => pair[1] !== undefined)
  return { tag, attrs: Object.fromEntries(present), ...(content === undefined ? {} : { content }) }
}

export function children(of: Stanza | undefined, tag?: string): Stanza[] {
  const all = Array.isArray(of?.content) ? of.content : []
  return tag === undefined ? all : all.filter(child => child.tag === tag)
}

export function child(of: Stanza | undefined, tag: string): Stanza | undefined {
  return children(of, tag)[0]
}

/** Content that is a word of the dictionary comes as a string, everything else as bytes. */
export function bytes(of: Stanza | undefined): Buffer {
  const content = of?.content
  if (typeof content === 'string') return Buffer.from(content)
  return content instanceof Uint8Array ? Buffer.from(content) : Buffer.alloc(0)
}

export const words = (of: Stanza | undefined): string => bytes(of).toString('utf8')
export const number = (of: Stanza | undefined): number =>
  bytes(of).length > 0 ? bytes(of).readUIntBE(0, bytes(of).length) : 0
export const seconds = (): string => String(Math.floor(Date.now() / 1000))
export const serial = (prefix: string): string => prefix + randomBytes(9).toString('hex').toUpperCase()

export function bigEndian(value: number, length: number): Buffer {
  const out = Buffer.alloc(length)
  out.writeUIntBE(value, 0, length)
  return out
}

export const userOf = (jid: string): string => wa.jidDecode(jid)?.user ?? ''
export const deviceOf = (jid: string): number => wa.jidDecode(jid)?.device ?? 0

/** Jobs one after the other; one that fails does not stop the next. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve()

  take<T>(job: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(job)
    this.#last = mine.catch(() => undefined)
    return mine
  }
}

/** Signal keys of a phone, in memory. */
export function keysInMemory(): SignalKeyStore {
  const kept = new Map<string, unknown>()
  return {
    get<T extends keyof SignalDataTypeMap>(type: T, ids: string[]) {
      const found: { [id: string]: SignalDataTypeMap[T] } = {}
      for (const id of ids) {
        const value = kept.get(`${type} ${id}`)
        if (value !== undefined) found[id] = value as SignalDataTypeMap[T]
      }
      return found
    },
    set(data: SignalDataSet) {
      for (const [type, entries] of Object.entries(data)) {
        for (const [id, value] of Object.entries(entries ?? {})) {
          if (value === null || value === undefined) kept.delete(`${type} ${id}`)
          else kept.set(`${type} ${id}`, value)
        }
      }
    },
  }
}

interface Quiet {
  level: string
  child(): Quiet
  trace(): void
  debug(): void
  info(): void
  warn(): void
  error(): void
}

const nothing = () => undefined
export const quiet: Quiet = {
  level: 'silent',
  child: () => quiet,
  trace: nothing,
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
}
