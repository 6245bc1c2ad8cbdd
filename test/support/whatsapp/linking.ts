/**
 * How a client becomes a linked device: by a QR that the phone scans or a code that the person types, and what the phone
 * tells it the first time it is online.
 */
import { randomBytes } from 'node:crypto'
import { deflateSync } from 'node:zlib'
import type { proto } from 'baileys'
import { bytes, child, host, number, type Stanza, seconds, serial, stanza, wa } from './kit.ts'
import type { Line } from './line.ts'
import { Device, type Person } from './people.ts'
import { settingsKey } from './phone.ts'
import type { Settings } from './settings.ts'

/** A client that is not linked yet, with what it told about itself. */
export interface Guest {
  line: Line
  registration: proto.ClientPayload.IDevicePairingRegistrationData
  refs: string[]
  /** It asked for a code: for whom, and its wrapped key. */
  code: { jid: string; ref: string; wrapped: Buffer; finished: (request: Stanza) => void } | null
}

export function offer(line: Line, registration: Guest['registration'], refs: number): Guest {
  const guest: Guest = { line, registration, code: null, refs: [] }
  guest.refs = Array.from({ length: refs }, () => `2@${randomBytes(24).toString('base64url')}`)
  const content = guest.refs.map(ref => stanza('ref', {}, Buffer.from(ref)))
  void line.send(
    stanza('iq', { from: host, type: 'set', id: serial('P'), xmlns: 'md' }, [stanza('pair-device', {}, content)]),
  )
  return guest
}

/** What a phone reads in a QR. */
export function readQr(qr: string): { ref: string; identity: Buffer; secret: Buffer } {
  const [ref = '', , identity = '', secret = ''] = (qr.split('#').at(-1) ?? '').split(',')
  return { ref, identity: Buffer.from(identity, 'base64'), secret: Buffer.from(secret, 'base64') }
}

/** The person types the code: phone and client agree on a key that only the code reveals. */
export async function typeCode(
  guest: Guest,
  person: Person,
  code: string,
): Promise<{ identity: Buffer; secret: Buffer }> {
  const asked = guest.code
  if (!asked) throw new Error('this client has asked for no code')
  const { wrapped } = asked
  const theirs = wa.aesDecryptCTR(
    wrapped.subarray(48, 80),
    await wa.derivePairingCodeKey(code, wrapped.subarray(0, 32)),
    wrapped.subarray(32, 48),
  )
  const mine = wa.Curve.generateKeyPair()
  const [salt, iv] = [randomBytes(32), randomBytes(16)]
  const sealed = wa.aesEncryptCTR(mine.public, await wa.derivePairingCodeKey(code, salt), iv)
  const finished = new Promise<Stanza>(resolve => {
    asked.finished = resolve
  })
  const identityKey = person.phone.identity.signedIdentityKey
  const hello = stanza('link_code_companion_reg', { stage: 'primary_hello' }, [
    stanza('link_code_pairing_wrapped_primary_ephemeral_pub', {}, Buffer.concat([salt, iv, sealed])),
    stanza('primary_identity_pub', {}, identityKey.public),
    stanza('link_code_pairing_ref', {}, Buffer.from(asked.ref)),
  ])
  const attrs = { from: host, id: serial('N'), t: seconds(), type: 'link_code_companion_reg' }
  await guest.line.send(stanza('notification', attrs, [hello]))
  const bundle = bytes(child(await finished, 'link_code_pairing_wrapped_key_bundle'))
  const shared = wa.Curve.sharedKey(mine.private, theirs)
  const info = 'link_code_pairing_key_bundle_encryption_key'
  const key = wa.hkdf(shared, 32, { salt: bundle.subarray(0, 32), info })
  // A code that was typed wrong shows here: the bundle cannot be opened.
  const plain = wa.aesDecryptGCM(bundle.subarray(44), Buffer.from(key), bundle.subarray(32, 44), Buffer.alloc(0))
  const identity = plain.subarray(0, 32)
  const agreed = wa.Curve.sharedKey(identityKey.private, identity)
  const secret = wa.hkdf(Buffer.concat([shared, agreed, plain.subarray(64, 96)]), 32, { info: 'adv_secret' })
  return { identity, secret: Buffer.from(secret) }
}

/** Signs the client's identity, makes the device, and sends the client away to come back as it. */
export async function link(guest: Guest, person: Person, identity: Buffer, secret: Buffer): Promise<Device> {
  const device = new Device(person, ++person.linked)
  const { eRegid, eSkeyId, eSkeyVal, eSkeySig } = guest.registration
  const from = (data: Uint8Array | null | undefined) => stanza('x', {}, Buffer.from(data ?? []))
  device.noiseKey = guest.line.noiseKey
  device.keys = {
    registration: number(from(eRegid)),
    identity,
    signed: { id: number(from(eSkeyId)), key: bytes(from(eSkeyVal)), signature: bytes(from(eSkeySig)) },
  }
  const { signedIdentityKey } = person.phone.identity
  const { ADVDeviceIdentity, ADVSignedDeviceIdentity, ADVSignedDeviceIdentityHMAC } = wa.proto
  const rawId = randomBytes(4).readUInt32BE()
  const details = ADVDeviceIdentity.encode({ rawId, timestamp: Number(seconds()), keyIndex: device.number }).finish()
  const vouched = Buffer.concat([wa.WA_ADV_ACCOUNT_SIG_PREFIX, details, identity])
  const accountSignature = wa.Curve.sign(signedIdentityKey.private, vouched)
  const accountSignatureKey = signedIdentityKey.public
  const signed = ADVSignedDeviceIdentity.encode({ details, accountSignatureKey, accountSignature }).finish()
  const proof = ADVSignedDeviceIdentityHMAC.encode({ details: signed, hmac: wa.hmacSign(signed, secret) }).finish()
  const success = stanza('pair-success', {}, [
    stanza('device-identity', {}, proof),
    stanza('device', { jid: device.jid, lid: device.lid }),
    stanza('platform', { name: 'android' }),
  ])
  const answer = await guest.line.ask(
    stanza('iq', { from: host, type: 'set', id: serial('P'), t: seconds(), xmlns: 'md' }, [success]),
  )
  const returned = bytes(child(child(answer ?? undefined, 'pair-device-sign'), 'device-identity'))
  const { deviceSignature } = ADVSignedDeviceIdentity.decode(returned)
  const claimed = Buffer.concat([wa.WA_ADV_DEVICE_SIG_PREFIX, details, identity, accountSignatureKey])
  if (!deviceSignature || !wa.Curve.verify(identity, claimed, deviceSignature))
    throw new Error('the device proved no key')
  person.devices.set(device.number, device)
  await guest.line.bye(stanza('stream:error', { code: '515' }))
  return device
}

/** A fresh device learns the key of the settings, the person's name in them, and a history in which there is nothing. */
export async function firstWords(device: Device, settings: Settings, everybody: readonly Person[]): Promise<void> {
  const { person } = device
  const { id, data } = settings.keyOf(person) ?? settings.begin(person, settingsKey())
  await settings.name(person)
  const Type = wa.proto.Message.ProtocolMessage.Type
  const keyId = { keyId: id }
  const keyData = {
    keyData: data,
    fingerprint: { rawId: 1, currentIndex: 0, deviceIndexes: [0] },
    timestamp: Date.now(),
  }
  const appStateSyncKeyShare = { keys: [{ keyId, keyData }] }
  await person.phone.tell(device, { type: Type.APP_STATE_SYNC_KEY_SHARE, appStateSyncKeyShare })
  const { HistorySyncType } = wa.proto.HistorySync
  const pairs = everybody.map(one => ({ pnJid: one.jid, lidJid: one.lid }))
  const parts = [
    { syncType: HistorySyncType.INITIAL_BOOTSTRAP, conversations: [], phoneNumberToLidMappings: pairs },
    { syncType: HistorySyncType.PUSH_NAME, pushnames: everybody.map(one => ({ id: one.jid, pushname: one.name })) },
    { syncType: HistorySyncType.RECENT, conversations: [] },
  ]
  for (const part of parts) {
    const whole = wa.proto.HistorySync.fromObject({ ...part, progress: 100, chunkOrder: 1 })
    const initialHistBootstrapInlinePayload = deflateSync(wa.proto.HistorySync.encode(whole).finish())
    const note = { syncType: Number(part.syncType), progress: 100, chunkOrder: 1, initialHistBootstrapInlinePayload }
    await person.phone.tell(device, { type: Type.HISTORY_SYNC_NOTIFICATION, historySyncNotification: note })
  }
}
