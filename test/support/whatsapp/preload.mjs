/**
 * For a gateway in its own process: `node --import preload.mjs`, with the service's address and root key in the environment.
 * baileys trusts them from the moment it is loaded, which is when the gateway first needs it. The gateway's own code has no
 * way to be told another root key.
 */
import { registerHooks } from 'node:module'

const { FAKE_WHATSAPP_URL: url, FAKE_WHATSAPP_ROOT: root } = process.env
if (url && root) {
  if (!/^ws:\/\/127\.0\.0\.1:/.test(url)) throw new Error('the fake service is on loopback only')
  const defaults = /\/node_modules\/baileys\/lib\/Defaults\/index\.js$/
  registerHooks({
    load(address, context, next) {
      const loaded = next(address, context)
      if (!defaults.test(address)) return loaded
      const trusted = `
        WA_CERT_DETAILS.PUBLIC_KEY = Buffer.from(${JSON.stringify(root)}, 'hex')
        DEFAULT_CONNECTION_CONFIG.waWebSocketUrl = ${JSON.stringify(url)}`
      return { ...loaded, source: `${loaded.source}${trusted}` }
    },
  })
}
