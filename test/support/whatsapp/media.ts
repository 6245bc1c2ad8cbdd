/**
 * Where files of messages lie: an https server on loopback with a certificate of its own, made when it opens.
 *
 * It keeps bytes that the sender has encrypted, under the path by which the message speaks of them.
 */
import { execFileSync } from 'node:child_process'
import { createCipheriv, createDecipheriv, createHash, createHmac, hkdfSync, randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setDefaultCACertificates } from 'node:tls'

export interface MediaStore {
  host: string
  /** What a client has to trust, and where it lies (NODE_EXTRA_CA_CERTS of another process). */
  certificate: string
  certificatePath: string
  files: Map<string, Buffer>
  /** Makes this process trust it. */
  trust(): void
  close(): Promise<void>
}

export async function openMediaStore(): Promise<MediaStore> {
  const dir = mkdtempSync(join(tmpdir(), 'deputy-media-'))
  const [key, certificatePath] = [join(dir, 'key.pem'), join(dir, 'certificate.pem')]
  const form = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  const name = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
  execFileSync('openssl', ['req', ...form, ...name, '-keyout', key, '-out', certificatePath], { stdio: 'ignore' })
  const certificate = readFileSync(certificatePath, 'utf8')
  const files = new Map<string, Buffer>()
  const server = createServer({ key: readFileSync(key), cert: certificate }, (request, response) => {
    const path = new URL(request.url ?? '/', 'https://none').pathname
    if (request.method === 'POST') {
      const chunks: Buffer[] = []
      request.on('data', chunk => chunks.push(chunk))
      request.on('end', () => {
        files.set(path, Buffer.concat(chunks))
        response.setHeader('content-type', 'application/json')
        response.end(JSON.stringify({ url: `https://${store.host}${path}`, direct_path: path }))
      })
      return
    }
    const found = files.get(path)
    response.statusCode = found ? 200 : 404
    response.end(found)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const store: MediaStore = {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    certificate,
    certificatePath,
    files,
    trust: () => setDefaultCACertificates([certificate]),
    async close() {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
      rmSync(dir, { recursive: true, force: true })
    },
  }
  return store
}

const kinds = { image: 'Image', video: 'Video', audio: 'Audio', document: 'Document', sticker: 'Image' } as const
export type SealedKind = keyof typeof kinds

/** The keys of one file, as phones derive them (WhatsApp Encryption Overview, "Transmitting Media and Other Attachments"). */
function keysOf(mediaKey: Uint8Array, kind: SealedKind) {
  const info = `WhatsApp ${kinds[kind]} Keys`
  const all = Buffer.from(hkdfSync('sha256', mediaKey, Buffer.alloc(0), info, 112))
  return { iv: all.subarray(0, 16), cipher: all.subarray(16, 48), mac: all.subarray(48, 80) }
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest()

/** A phone puts a file into the store; what it says of it in the message. */
export function putSealed(store: MediaStore, bytes: Buffer, kind: SealedKind, mimetype: string) {
  const mediaKey = randomBytes(32)
  const { iv, cipher, mac } = keysOf(mediaKey, kind)
  const sealing = createCipheriv('aes-256-cbc', cipher, iv)
  const sealed = Buffer.concat([sealing.update(bytes), sealing.final()])
  const file = Buffer.concat([sealed, createHmac('sha256', mac).update(iv).update(sealed).digest().subarray(0, 10)])
  const directPath = `/v/${sha256(file).toString('hex')}`
  store.files.set(directPath, file)
  const hashes = { fileSha256: sha256(bytes), fileEncSha256: sha256(file), fileLength: bytes.length }
  return { mediaKey, directPath, mimetype, ...hashes }
}

/** A phone fetches the file of a message and opens it. Throws when it is not what the message says. */
export function openSealed(
  store: MediaStore,
  kind: SealedKind,
  part: { mediaKey?: Uint8Array | null; directPath?: string | null; fileSha256?: Uint8Array | null },
): Buffer {
  const file = store.files.get(part.directPath ?? '')
  if (!file || !part.mediaKey) throw new Error(`there is no file ${part.directPath}`)
  const { iv, cipher, mac } = keysOf(part.mediaKey, kind)
  const sealed = file.subarray(0, -10)
  const expected = createHmac('sha256', mac).update(iv).update(sealed).digest().subarray(0, 10)
  if (!expected.equals(file.subarray(-10))) throw new Error('the file was not sealed with its key')
  const opening = createDecipheriv('aes-256-cbc', cipher, iv)
  const bytes = Buffer.concat([opening.update(sealed), opening.final()])
  if (!sha256(bytes).equals(Buffer.from(part.fileSha256 ?? []))) throw new Error('the file has another hash')
  return bytes
}
