/**
 * OpenClaw's Control UI out of its installed package, in a browser that nobody looks at.
 *
 * Owns a small server that gives out the package's own files (never ours, never shipped) and hands every WebSocket on to the
 * gateway as it is, so that the page and the gateway have one address, and the browser. Needs Chromium.
 */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { createRequire } from 'node:module'
import { type AddressInfo, connect as dial, type Socket } from 'node:net'
import { extname, join, normalize } from 'node:path'
import { type Peer, peer } from './peers.ts'

const types: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.webp': 'image/webp',
  '.woff2': 'font/woff2',
}

const chromium = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']
const flags = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

export interface Page {
  goto(url: string): Promise<unknown>
  reload(): Promise<unknown>
  locator(selector: string): Locator
  getByText(text: string | RegExp): Locator
  innerText(selector: string): Promise<string>
  keyboard: { press(key: string): Promise<void>; type(text: string): Promise<void> }
  on(event: 'console' | 'pageerror', listener: (what: { text?(): string; message?: string }) => void): void
  screenshot(options: { path: string }): Promise<unknown>
  evaluate<T>(script: string): Promise<T>
}

export interface Locator {
  first(): Locator
  last(): Locator
  count(): Promise<number>
  click(options?: { timeout?: number }): Promise<void>
  fill(text: string): Promise<void>
  press(key: string): Promise<void>
  waitFor(options?: { timeout?: number; state?: 'visible' | 'hidden' | 'attached' }): Promise<void>
  innerText(): Promise<string>
}

export interface ControlUi {
  origin: string
  /** A new profile, as another browser would have. */
  page(): Promise<Page>
  close(): Promise<void>
}

export async function openControlUi(version: Extract<Peer, '9.6' | '4.12'>, port: () => number): Promise<ControlUi> {
  const root = join(await peer(version), 'dist', 'control-ui')
  const index = (await readFile(join(root, 'index.html'), 'utf8')).replaceAll('"./', '"/')
  const sockets = new Set<Socket>()
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent((request.url ?? '/').split('?')[0] ?? '/'))
    const file = join(root, path)
    const found = file.startsWith(root) && extname(path) !== '' && existsSync(file)
    if (!found && (extname(path) !== '' || path.startsWith('/__openclaw'))) {
      response.writeHead(404).end()
      return
    }
    const page = !found || path === '/index.html'
    response.writeHead(200, { 'content-type': types[page ? '.html' : extname(path)] ?? 'application/octet-stream' })
    response.end(page ? index : await readFile(file))
  })
  server.on('upgrade', (request, socket: Socket, head) => {
    const gateway = dial(port(), '127.0.0.1', () => {
      const headers = request.rawHeaders.reduce((text, word, i) => text + word + (i % 2 === 0 ? ': ' : '\r\n'), '')
      gateway.write(`GET ${request.url} HTTP/1.1\r\n${headers}\r\n`)
      gateway.write(head)
      socket.pipe(gateway).pipe(socket)
    })
    for (const each of [socket, gateway]) {
      sockets.add(each)
      each.on('close', () => sockets.delete(each))
    }
    gateway.on('error', () => socket.destroy())
    socket.on('error', () => gateway.destroy())
  })
  await listen(server)
  const { chromium: driver } = createRequire(import.meta.url)(await peer('playwright'))
  const executablePath = process.env['CHROMIUM'] ?? chromium.find(existsSync)
  if (!executablePath)
    throw new Error('There is no Chromium; install it (apt install chromium) or name it in CHROMIUM.')
  const browser = await driver.launch({ executablePath, args: flags })
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async page() {
      const context = await browser.newContext({ viewport: { width: 1280, height: 900 } })
      return (await context.newPage()) as Page
    },
    async close() {
      await browser.close()
      for (const socket of sockets) socket.destroy()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

function listen(server: Server): Promise<void> {
  return new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
}
