/**
 * What a client asks the service (`iq` stanzas), answered from the people and the settings.
 */
import { bigEndian, bytes, child, children, host, number, type Stanza, serial, stanza, wa, words } from './kit.ts'
import type { Guest } from './linking.ts'
import type { Device } from './people.ts'
import type { Post } from './post.ts'
import type { Settings } from './settings.ts'

export interface Asked {
  /** Null before the client is linked. */
  device: Device | null
  guest: Guest | null
  iq: Stanza
  /** The first child, which says what is asked. */
  about: Stanza | undefined
}

export interface Answers {
  post: Post
  settings: Settings
  /** A client without pre-keys makes 812 of them; unless a test wants that, it is told that one is left. */
  allPreKeys: boolean
  mediaHosts(): string[]
  /** The client wants to hear of things from now on; called once it has been answered. */
  live(device: Device): void
  unlinked(device: Device): void
}

/** Children of the answer; an error; or null for a question that nobody knows. */
type Answer = Stanza[] | { code: string; text: string } | null

const missing = { code: '404', text: 'item-not-found' }

export async function answer(asked: Asked, on: Answers): Promise<{ reply: Stanza; after: () => void }> {
  const { id, xmlns = '', to } = asked.iq.attrs
  let after: () => void = () => undefined
  const found = await decide(asked, on, `${xmlns}/${asked.about?.tag ?? ''}`, later => {
    after = later
  })
  if (found === null) on.post.unknown.push(asked.iq)
  const problem =
    found === null ? { code: '501', text: 'feature-not-implemented' } : Array.isArray(found) ? null : found
  const reply = problem
    ? stanza('iq', { id, from: to ?? host, type: 'error' }, [stanza('error', problem)])
    : stanza('iq', { id, from: to ?? host, type: 'result' }, Array.isArray(found) ? found : [])
  return { reply, after }
}

async function decide(asked: Asked, on: Answers, what: string, after: (job: () => void) => void): Promise<Answer> {
  const { iq, about, device, guest } = asked
  if (what === 'w:p/ping' || what === 'w:p/') return []
  if (what === 'md/link_code_companion_reg' && guest && about) return codeFor(guest, about, after)
  if (!device) return null
  switch (what) {
    case 'passive/active':
      after(() => on.live(device))
      return []
    case 'passive/passive':
    case 'urn:xmpp:whatsapp:dirty/clean':
    case 'w:stats/add':
      return []
    case 'encrypt/count':
      return [stanza('count', { value: String(device.oneTime.size || (on.allPreKeys ? 0 : 1)) })]
    case 'encrypt/digest':
      return [stanza('digest', {}, [stanza('registration', {}, bigEndian(device.keys?.registration ?? 0, 4))])]
    case 'encrypt/rotate':
      takeSigned(device, child(about, 'skey'))
      return []
    case 'encrypt/registration':
      if (device.keys) device.keys.registration = number(child(iq, 'registration'))
      takeSigned(device, child(iq, 'skey'))
      for (const key of children(child(iq, 'list'), 'key')) {
        device.oneTime.set(number(child(key, 'id')), bytes(child(key, 'value')))
      }
      return []
    case 'encrypt/key':
      return [stanza('list', {}, await Promise.all(children(about, 'user').map(user => keysOf(user, on.post))))]
    case 'usync/usync':
      return about ? [directory(about, on.post)] : null
    case 'w:sync:app:state/sync':
      return about ? on.settings.answer(device.person, about) : null
    case 'w:m/media_conn':
      return [
        stanza(
          'media_conn',
          { auth: 'allowed', ttl: '3600', auth_ttl: '3600', max_buckets: '12' },
          on.mediaHosts().map(hostname => stanza('host', { hostname, maxContentLengthBytes: '100000000' })),
        ),
      ]
    case 'w:profile:picture/picture':
      return missing
    case 'privacy/privacy':
      return [stanza('privacy', {}, [stanza('category', { name: 'readreceipts', value: 'all' })])]
    case 'privacy/tokens':
      return [stanza('tokens', {}, [])]
    case 'md/remove-companion-device':
      after(() => on.unlinked(device))
      return []
  }
  const [space = ''] = what.split('/')
  if (space === 'w:g2') return groupAnswer(asked, on.post)
  if (space === 'abt') return [stanza('props', { protocol: '1', hash: 'none', refresh: '86400' }, [])]
  if (space === 'blocklist') return [stanza('list', {}, [])]
  if (space === 'w:mex') {
    const data = { xwa2_fetch_account_reachout_timelock: { is_active: false }, xwa2_message_capping_info: {} }
    return [stanza('result', {}, Buffer.from(JSON.stringify({ data })))]
  }
  return null
}

function codeFor(guest: Guest, about: Stanza, after: (job: () => void) => void): Answer {
  if (about.attrs['stage'] === 'companion_finish') {
    after(() => guest.code?.finished(about))
    return []
  }
  const wrapped = bytes(child(about, 'link_code_pairing_wrapped_companion_ephemeral_pub'))
  guest.code = { jid: about.attrs['jid'] ?? '', ref: serial('L'), wrapped, finished: () => undefined }
  const ref = stanza('link_code_pairing_ref', {}, Buffer.from(guest.code.ref))
  return [stanza('link_code_companion_reg', {}, [ref])]
}

function takeSigned(device: Device, key: Stanza | undefined): void {
  if (!device.keys || !key) return
  const signature = bytes(child(key, 'signature'))
  device.keys.signed = { id: number(child(key, 'id')), key: bytes(child(key, 'value')), signature }
}

async function keysOf(user: Stanza, post: Post): Promise<Stanza> {
  const { jid = '' } = user.attrs
  const device = post.device(jid)
  if (!device) return stanza('user', { jid }, [stanza('error', missing)])
  const { registration, identity, signed, once } = await post.bundle(device)
  const key = (tag: string, id: number, value: Uint8Array, more: Stanza[] = []) =>
    stanza(tag, {}, [stanza('id', {}, bigEndian(id, 3)), stanza('value', {}, value), ...more])
  return stanza('user', { jid }, [
    stanza('registration', {}, bigEndian(registration, 4)),
    stanza('type', {}, wa.KEY_BUNDLE_TYPE),
    stanza('identity', {}, identity),
    key('skey', signed.id, signed.key, [stanza('signature', {}, signed.signature)]),
    ...(once ? [key('key', once.id, once.key)] : []),
  ])
}

/** Who has which number, which devices, which LID. */
function directory(usync: Stanza, post: Post): Stanza {
  const protocols = children(child(usync, 'query')).map(one => one.tag)
  const users = children(child(usync, 'list'), 'user').map(user => {
    const contact = words(child(user, 'contact'))
    const jid = user.attrs['jid'] ?? `${contact.replace(/\D/g, '')}@${host}`
    const person = post.find(jid)
    const facts: Stanza[] = []
    if (protocols.includes('contact')) {
      facts.push(stanza('contact', { type: person ? 'in' : 'out' }, contact ? Buffer.from(contact) : undefined))
    }
    if (person && protocols.includes('devices')) {
      const list = [...person.devices.keys()].map(id =>
        stanza('device', { id: String(id), 'key-index': id ? String(id) : undefined }),
      )
      facts.push(stanza('devices', {}, [stanza('device-list', {}, list)]))
    }
    if (person && protocols.includes('lid') && !jid.endsWith('@lid')) facts.push(stanza('lid', { val: person.lid }))
    return stanza('user', { jid }, facts)
  })
  const result = protocols.map(one => stanza(one, {}))
  return stanza('usync', {}, [stanza('result', {}, result), stanza('list', {}, users)])
}

function groupAnswer({ iq, about, device }: Asked, post: Post): Answer {
  if (about?.tag === 'participating') {
    const mine = [...post.groups.values()].filter(group => device && group.members.has(device.person))
    return [
      stanza(
        'groups',
        {},
        mine.map(group => post.describe(group)),
      ),
    ]
  }
  if (about?.tag !== 'query') return null
  const group = post.groups.get(iq.attrs['to'] ?? '')
  if (!group) return missing
  if (!device || !group.members.has(device.person)) return { code: '403', text: 'forbidden' }
  return [post.describe(group)]
}
