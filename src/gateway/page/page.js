/**
 * The page that the gateway gives out: pairs this browser, then shows how the house stands.
 *
 * Owns the browser's key, which never leaves it: an Ed25519 key that no script can read, in IndexedDB. A code stands in the
 * fragment of the address, which is taken off before anything else happens. Without a code and a key nothing is asked of
 * the gateway until somebody presses the button. Every word of the gateway is put in as text.
 */
const at = id => document.getElementById(id)
const code = new URLSearchParams(location.hash.slice(1)).get('bootstrapToken')
history.replaceState(null, '', location.pathname)

const client = { id: 'deputy-page', version: '1', platform: 'web', mode: 'ui', displayName: `Browser on ${system()}` }
const firstPauseMs = 1_000
const longestPauseMs = 30_000
const askMs = 2_000
const lookMs = 3_000
let pauseMs = firstPauseMs

function system() {
  const names = { Windows: 'Windows', Android: 'Android', 'Mac OS': 'macOS', 'iPhone|iPad': 'iOS', Linux: 'Linux' }
  return Object.entries(names).find(([word]) => new RegExp(word).test(navigator.userAgent))?.[1] ?? 'another system'
}

function show(state, more = '', command = '') {
  at('state').textContent = state
  at('more').textContent = more
  at('command').textContent = command
  at('command').hidden = command === ''
  at('ask').hidden = true
}

// ------------------------------------------------------------------------------------------------------------ the key

const result = request =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })

async function keys(mode) {
  const open = indexedDB.open('deputy', 1)
  open.onupgradeneeded = () => open.result.createObjectStore('device')
  return (await result(open)).transaction('device', mode).objectStore('device')
}

/** `{ id, publicKey, privateKey, paired }` of this browser at this address; made when there is none. */
async function deviceOf() {
  const known = await result((await keys('readonly')).get('own'))
  if (known) return known
  const pair = await crypto.subtle.generateKey('Ed25519', false, ['sign', 'verify'])
  const raw = new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey))
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', raw))
  const id = [...digest].map(byte => byte.toString(16).padStart(2, '0')).join('')
  return await keep({ id, publicKey: base64url(raw), privateKey: pair.privateKey, paired: false })
}

async function keep(device) {
  await result((await keys('readwrite')).put(device, 'own'))
  return device
}

function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '')
}

async function proof(device, { nonce, ts }, scopes, token) {
  const { id, mode, platform } = client
  const text = ['v3', device.id, id, mode, 'operator', scopes, ts, token ?? '', nonce, platform, ''].join('|')
  const signature = await crypto.subtle.sign('Ed25519', device.privateKey, new TextEncoder().encode(text))
  const shown = { id: device.id, publicKey: device.publicKey, signedAt: ts, nonce }
  return { ...shown, signature: base64url(new Uint8Array(signature)) }
}

// --------------------------------------------------------------------------------------------------------- the socket

/** One connection, to its end. Resolves with the refusal, or with null when it was let in and is over. */
function connect(device, setupCode) {
  const socket = new WebSocket(location.href.replace(/^http/, 'ws'))
  const waiting = new Map()
  let next = 1
  const call = (method, params = {}) =>
    new Promise((resolve, reject) => {
      const id = String(next++)
      waiting.set(id, { resolve, reject })
      socket.send(JSON.stringify({ type: 'req', id, method, params }))
    })

  async function enter(challenge) {
    // The link pairs this browser for all that it grants; to look, reading is enough.
    const scopes = [setupCode ? 'operator.admin' : 'operator.read']
    const params = { minProtocol: 4, maxProtocol: 4, client, role: 'operator', scopes }
    if (setupCode) params.auth = { bootstrapToken: setupCode }
    params.device = await proof(device, challenge, scopes.join(), setupCode)
    const hello = await call('connect', params)
    pauseMs = firstPauseMs
    if (!device.paired && hello.auth.method === 'device-token') await keep(Object.assign(device, { paired: true }))
    await look(hello, call, device)
  }

  return new Promise(resolve => {
    let refusal = null
    let timer = null
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(data)
      if (frame.event === 'connect.challenge') {
        enter(frame.payload).then(
          () => {
            timer = setInterval(() => again().catch(() => socket.close()), lookMs)
          },
          error => {
            refusal = error
            socket.close()
          },
        )
      }
      const asked = waiting.get(frame.id)
      waiting.delete(frame.id)
      if (frame.ok) asked?.resolve(frame.payload)
      else asked?.reject(frame.error)
    }
    const again = () => Promise.all([call('agents.list'), call('runs.list', atWork)]).then(draw)
    socket.onclose = () => {
      clearInterval(timer)
      resolve(refusal)
    }
  })
}

// ---------------------------------------------------------------------------------------------------------- the words

const atWork = { state: ['running', 'waiting', 'queued'], limit: 50 }

async function look(hello, call, device) {
  const { method, scopes, pending } = hello.auth
  const open = method !== 'device-token'
  show(
    open ? 'Connected. This gateway asks nobody here who they are.' : 'This browser is paired.',
    pending ? `More was asked for and waits: ${pending.scopes.join(', ')}.` : '',
    pending?.command,
  )
  fill('facts', [
    ...pair('gateway', `Deputy ${hello.server.version}`),
    ...(open ? [] : pair('this browser', `${device.id.slice(0, 16)}…`)),
    ...pair('may', scopes.join(', ')),
  ])
  at('house').hidden = false
  draw(await Promise.all([call('agents.list'), call('runs.list', atWork)]))
}

function draw([{ agents, defaultId }, { runs }]) {
  const name = agent => (agent.name && agent.name !== agent.id ? `${agent.id} (${agent.name})` : agent.id)
  fill(
    'agents',
    agents.map(agent => node('li', `${name(agent)}${agent.id === defaultId ? ', the default' : ''}`)),
  )
  const row = ({ agent, state, label, task, createdAt }) =>
    node('tr', '', [agent, state, label ?? task.slice(0, 200), new Date(createdAt).toLocaleTimeString()])
  fill('runs', runs.map(row))
  at('idle').hidden = runs.length > 0
  at('runs').parentElement.hidden = runs.length === 0
}

function node(tag, text, cells = []) {
  const made = document.createElement(tag)
  made.textContent = text
  made.append(...cells.map(cell => node('td', cell)))
  return made
}

const pair = (name, value) => [node('dt', name), node('dd', value)]
const fill = (id, nodes) => at(id).replaceChildren(...nodes)

/** What a refusal means to whoever sits here. True when trying again by itself may help. */
function tell(error, device) {
  at('house').hidden = true
  const { code: name, requestId, fix } = error.details ?? {}
  if (name === 'PAIRING_REQUIRED' && requestId) {
    show(
      'This browser waits for an approval.',
      'On the machine of the gateway; this page goes on by itself:',
      `deputy devices approve ${requestId}`,
    )
    pauseMs = askMs
    return true
  }
  // Its key alone lets it in.
  if (name === 'AUTH_BOOTSTRAP_TOKEN_INVALID' && device.paired) return true
  if (name === 'AUTH_BOOTSTRAP_TOKEN_INVALID') {
    show(
      'The link was used before, or is too old.',
      'Make a new one on the machine of the gateway:',
      'deputy dashboard',
    )
    return false
  }
  show(`The gateway refused: ${error.message ?? error}`, fix ?? '')
  return name === 'AUTH_RATE_LIMITED'
}

const pause = ms => new Promise(resolve => setTimeout(resolve, ms))
const pressed = () => new Promise(resolve => at('ask').addEventListener('click', resolve, { once: true }))

async function run() {
  if (!globalThis.isSecureContext || !crypto.subtle) {
    const tunnel = `ssh -N -L ${location.port}:127.0.0.1:${location.port} you@${location.hostname}`
    show('A browser makes keys only on https:// and on localhost.', 'Through a tunnel, for instance:', tunnel)
    return
  }
  const device = await deviceOf()
  if (!code && !device.paired) {
    show(
      'This browser is not paired.',
      'Open the link that the command deputy dashboard prints, or ask here and approve it there.',
    )
    at('ask').hidden = false
    await pressed()
  }
  show('Connecting…')
  for (let given = code; ; given = null) {
    const refusal = await connect(device, given)
    if (refusal && !tell(refusal, device)) return
    if (!refusal) show('The gateway does not answer.', 'Trying again.')
    await pause(pauseMs)
    pauseMs = Math.min(pauseMs * 2, longestPauseMs)
  }
}

run().catch(error => show('This browser cannot make or keep a key.', String(error)))
