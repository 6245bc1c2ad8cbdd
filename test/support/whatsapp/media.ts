/**
 * Where files of messages lie: an https server on loopback with a certificate of its own, made when it opens.
 *
 * It keeps bytes that the sender has encrypted, under the path by which the message speaks of them.
 */
import { execFileSync } from 'node:child_process'
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
