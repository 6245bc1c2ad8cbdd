/**
 * The post office of the fake service: who is where, and what becomes of a message or receipt that a client sends.
 *
 * Owns the people, the groups and the form of a delivered stanza. It reads nobody's words: they are encrypted for devices.
 */
import { child, children, deviceOf, host, type Stanza, seconds, serial, stanza, userOf } from './kit.ts'
import { type Bundle, type Device, Person } from './people.ts'
import { Phone } from './phone.ts'

export interface Group {
  jid: string
  subject: string
  /** Members are named by their LIDs. */
  lids: boolean
  created: string
  members: Map<Person, 'admin' | null>
}

/** What to do with a stanza of a client; a number refuses a message with that code. */
export type Verdict = 'pass' | 'swallow' | 'cut' | 'cut after' | 'no answer' | number

interface Envelope {
  from: Device
  to: Device
  chat: string | null
  id: string
  at: string
  type: string
  content: Stanza[]
  edit?: string | undefined
  /** Addressed by LID, as the one who wrote it did. */
  lids?: boolean
}

export class Post {
  readonly people = new Map<string, Person>()
  readonly groups = new Map<string, Group>()
  /** What went wrong inside the fake itself, and what it was asked and does not know: both stay empty in a good test. */
  readonly faults: string[] = []
  readonly unknown: Stanza[] = []
  /** What clients have told: receipts by type, with the ids they are about. */
  readonly receipts: { by: string; type: string; ids: string[] }[] = []
  /** Messages as clients sent them, each time they did. */
  readonly sent: { by: string; to: string; id: string }[] = []
  readonly #showing = new Set<Promise<void>>()
  readonly refusals: { by: string; id: string; code: string }[] = []

  fault(where: string, error: unknown): void {
    this.faults.push(`${where}: ${error instanceof Error ? error.stack : String(error)}`)
  }

  person(name: string, phone: string): Person {
    const jid = `${phone.replace(/\D/g, '')}@${host}`
    const known = this.people.get(jid)
    if (known) return known
    const made = new Person(jid, name)
    made.phone = new Phone(made, this)
    this.people.set(jid, made)
    return made
  }
  /** By a number or a jid of either form, with or without a device. */
  find(jid: string): Person | undefined {
    if (!jid.includes('@')) return this.people.get(`${jid.replace(/\D/g, '')}@${host}`)
    if (jid.endsWith('@lid')) return [...this.people.values()].find(one => userOf(one.lid) === userOf(jid))
    return this.people.get(`${userOf(jid)}@${host}`)
  }
  must(jid: string): Person {
    const found = this.find(jid)
    if (!found) throw new Error(`nobody has ${jid}`)
    return found
  }
  device(jid: string): Device | undefined {
    return this.find(jid)?.devices.get(deviceOf(jid))
  }
  devicesIn(group: Group, except: Device): Device[] {
    return [...group.members.keys()].flatMap(one => [...one.devices.values()]).filter(device => device !== except)
  }

  /** Uses up one of the keys that the device has left with the service. */
  async bundle(device: Device): Promise<Bundle> {
    if (device.number === 0) return device.person.phone.bundle()
    if (!device.keys) throw new Error(`${device.jid} has left no keys`)
    const [first] = device.oneTime
    if (first) device.oneTime.delete(first[0])
    if (device.oneTime.size < 5 && device.ready) {
      const left = stanza('count', { value: String(device.oneTime.size) })
      device.post(stanza('notification', { from: host, id: serial('N'), t: seconds(), type: 'encrypt' }, [left]))
    }
    return { ...device.keys, once: first ? { id: first[0], key: first[1] } : null }
  }

  deliver(device: Device, message: Stanza): void {
    if (device.number > 0) device.post(message)
    else {
      const shown = device.person.phone.receive(message)
      this.#showing.add(shown)
      shown
        .catch(error => this.fault(`phone of ${device.person.name}`, error))
        .finally(() => this.#showing.delete(shown))
    }
  }

  /** Resolves when the phones have shown what was sent to them so far. */
  async shown(): Promise<void> {
    await Promise.allSettled(this.#showing)
  }

  envelope(of: Envelope): Stanza {
    const { from, to, chat } = of
    const group = chat ? this.groups.get(chat) : undefined
    const lids = group ? group.lids : (of.lids ?? chat?.endsWith('@lid') ?? false)
    const me = lids ? from.lid : from.jid
    const alternative = lids ? 'pn' : 'lid'
    const other = lids ? from.person.jid : from.person.lid
    const mode = lids ? 'lid' : 'pn'
    const base = { id: of.id, t: of.at, type: of.type, edit: of.edit, notify: chat ? from.person.name : undefined }
    if (group) {
      const attrs = {
        ...base,
        from: group.jid,
        participant: me,
        addressing_mode: mode,
        [`participant_${alternative}`]: other,
      }
      return stanza('message', attrs, of.content)
    }
    if (!chat) return stanza('message', { ...base, from: me, category: 'peer' }, of.content)
    if (to.person === from.person) {
      const about = this.must(chat)
      return stanza('message', { ...base, from: me, recipient: lids ? about.lid : about.jid }, of.content)
    }
    const attrs = { ...base, from: me, addressing_mode: mode, [`sender_${alternative}`]: other }
    return stanza('message', attrs, of.content)
  }

  /** A phone says that a message has come. */
  receipt(by: Person, to: Person, message: Stanza, type?: string): void {
    const { from = '', id } = message.attrs
    const group = this.groups.get(from)
    const me = (group ? group.lids : from.endsWith('@lid')) ? by.lid : by.jid
    for (const device of to.clients) {
      device.post(
        stanza('receipt', { id, t: seconds(), type, from: group ? from : me, participant: group ? me : undefined }),
      )
    }
  }

  askAgain(author: Device, request: Stanza, by: Device): void {
    if (author.number > 0) author.post(request)
    else author.person.phone.again(by, request).catch(error => this.fault('writing again', error))
  }

  /** A client's message: to whom it goes, and what the client is answered. */
  relay(from: Device, message: Stanza, verdict: Verdict): Stanza | null {
    const { id = '', to = '', type = 'text', participant, recipient, edit, category } = message.attrs
    this.sent.push({ by: from.jid, to, id })
    const answer = (error?: string) => {
      if (error) this.refusals.push({ by: from.jid, id, code: error })
      return stanza('ack', { class: 'message', id, from: to, t: seconds(), participant, error })
    }
    if (typeof verdict === 'number') return answer(String(verdict))
    const direct = children(message, 'enc')
    const each = children(child(message, 'participants'), 'to')
    const identity = children(message, 'device-identity')
    const about = recipient ?? to
    const post = (device: Device | undefined, sealed: Stanza[]) => {
      if (!device || sealed.length === 0) return
      const content = [...sealed, ...identity]
      const chat = category === 'peer' ? null : about
      this.deliver(device, this.envelope({ from, to: device, chat, id, at: seconds(), type, edit, content }))
    }
    const group = this.groups.get(to)
    if (group) {
      if (!group.members.has(from.person)) return answer('403')
      if (participant) post(this.device(participant), direct)
      else {
        const own = new Map(each.map(one => [this.device(one.attrs['jid'] ?? ''), children(one, 'enc')]))
        for (const device of this.devicesIn(group, from)) post(device, [...(own.get(device) ?? []), ...direct])
      }
    } else if (!this.find(about)) return answer('404')
    // Sealed for one device, it answers a device that asked again; what stands under `participants` then repeats it.
    else if (direct.length > 0) post(this.device(to), direct)
    else for (const one of each) post(this.device(one.attrs['jid'] ?? ''), children(one, 'enc'))
    return verdict === 'no answer' ? null : answer()
  }

  /** A client's receipt: it has the message, or asks for it again, or its person has read it. */
  taken(by: Device, receipt: Stanza): void {
    const { id = '', to = '', type, participant, recipient } = receipt.attrs
    const ids = [id, ...children(child(receipt, 'list'), 'item').map(item => item.attrs['id'] ?? '')]
    this.receipts.push({ by: by.jid, type: type ?? 'delivered', ids })
    if (type !== 'retry') for (const one of ids) by.has('message', one)
    if (['sender', 'peer_msg', 'hist_sync', 'read-self'].includes(type ?? '')) return
    const group = this.groups.get(to)
    const author = this.device(group ? (participant ?? '') : to)
    if (!author) return
    const lids = group ? group.lids : to.endsWith('@lid')
    if (type === 'retry') {
      const me = lids ? by.lid : by.jid
      const attrs = { id, t: seconds(), type, from: group ? to : me, participant: group ? me : undefined, recipient }
      this.askAgain(author, stanza('receipt', attrs, receipt.content), by)
      return
    }
    const me = lids ? by.person.lid : by.person.jid
    const attrs = { id, t: seconds(), type: type === 'inactive' ? undefined : type, from: group ? to : me }
    for (const device of author.person.clients) {
      device.post(stanza('receipt', { ...attrs, participant: group ? me : undefined }, receipt.content))
    }
  }

  group(subject: string, members: Person[], lids = false): Group {
    const jid = `1203630${Date.now()}${this.groups.size}@g.us`
    const roles = members.map((one, at) => [one, at === 0 ? 'admin' : null] as const)
    const group: Group = { jid, subject, lids, created: seconds(), members: new Map(roles) }
    this.groups.set(jid, group)
    return group
  }
  describe(group: Group): Stanza {
    const name = (one: Person) => (group.lids ? one.lid : one.jid)
    const [owner] = group.members.keys()
    const creator = owner ? name(owner) : undefined
    const members = [...group.members].map(([one, role]) => {
      const other = group.lids ? { phone_number: one.jid } : { lid: one.lid }
      return stanza('participant', { jid: name(one), type: role ?? undefined, ...other })
    })
    const attrs = {
      id: userOf(group.jid),
      subject: group.subject,
      s_t: group.created,
      s_o: creator,
      creation: group.created,
      creator,
      addressing_mode: group.lids ? 'lid' : 'pn',
      size: String(members.length),
    }
    return stanza('group', attrs, members)
  }
}
