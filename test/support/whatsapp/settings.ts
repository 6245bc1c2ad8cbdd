/**
 * Settings that a person's devices share (app state): kept as the patches that came in, and given out again by version.
 */
import { bytes, child, children, type Stanza, stanza, wa } from './kit.ts'
import type { Person } from './people.ts'

interface Shared {
  id: Buffer
  data: Buffer
}

export class Settings {
  readonly #keys = new Map<Person, Shared>()
  readonly #patches = new Map<string, Uint8Array[]>()

  keyOf(person: Person): Shared | undefined {
    return this.#keys.get(person)
  }
  begin(person: Person, key: Shared): Shared {
    this.#keys.set(person, key)
    return key
  }

  /** The name that people see stands in these settings, and a client learns its own from there. */
  async name(person: Person): Promise<void> {
    const key = this.#keys.get(person)
    if (!key || this.#of(person, 'critical_block').length > 0) return
    const setting = {
      type: 'critical_block' as const,
      index: ['setting_pushName'],
      apiVersion: 1,
      syncAction: { timestamp: Date.now(), pushNameSetting: { name: person.name } },
      operation: wa.proto.SyncdMutation.SyncdOperation.SET,
    }
    const shared = async () => ({ keyData: key.data, fingerprint: null, timestamp: Date.now() })
    const { patch } = await wa.encodeSyncdPatch(setting, key.id.toString('base64'), wa.newLTHashState(), shared)
    this.#add(person, 'critical_block', wa.proto.SyncdPatch.encode(wa.proto.SyncdPatch.fromObject(patch)).finish())
  }

  answer(person: Person, sync: Stanza): Stanza[] {
    const collections = children(sync, 'collection').map(asked => {
      const { name = '', version = '0' } = asked.attrs
      const patch = child(asked, 'patch')
      if (patch) this.#add(person, name, bytes(patch))
      const all = this.#of(person, name)
      const attrs = { name, version: String(all.length), has_more_patches: 'false' }
      if (patch) return stanza('collection', { ...attrs, type: 'result' })
      const newer = all.slice(Number(version)).map(one => stanza('patch', {}, one))
      return stanza('collection', attrs, [stanza('patches', {}, newer)])
    })
    return [stanza('sync', {}, collections)]
  }

  #of(person: Person, name: string): Uint8Array[] {
    return this.#patches.get(`${person.jid} ${name}`) ?? []
  }
  #add(person: Person, name: string, patch: Uint8Array): void {
    const all = this.#of(person, name)
    const whole = wa.proto.SyncdPatch.decode(patch)
    whole.version = { version: all.length + 1 }
    this.#patches.set(`${person.jid} ${name}`, [...all, wa.proto.SyncdPatch.encode(whole).finish()])
  }
}
