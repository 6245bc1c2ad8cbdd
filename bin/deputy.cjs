/**
 * The launcher for Windows, where sh and exec don't exist: node bin\deputy.cjs …
 * It runs under the system's Node, whatever its age (20 at the least, as package.json says), starts Deputy on the Node that npm brought
 * along, passes each signal on and ends the way Deputy ended.
 */
'use strict'

const { spawn } = require('node:child_process')
const { existsSync } = require('node:fs')
const path = require('node:path')

const root = path.resolve(__dirname, '..')
const built = path.join(root, 'dist', 'deputy.js')
const main = existsSync(built) ? built : path.join(root, 'src', 'main.ts')

function bundled() {
  const windows = process.platform === 'win32'
  const name = `node-${windows ? 'win' : process.platform}-${process.arch}`
  const file = path.join('bin', windows ? 'node.exe' : 'node')
  for (let above = root; ; above = path.dirname(above)) {
    const node = path.join(above, 'node_modules', name, file)
    if (existsSync(node)) return node
    if (path.dirname(above) === above) return null
  }
}

function newEnough(version) {
  const [major, minor] = version.split('.').map(Number)
  return major > 24 || (major === 24 && minor >= 15)
}

const node = bundled() || (newEnough(process.versions.node) ? process.execPath : null)
if (node === null) {
  console.error(`deputy: needs Node 24.15 or newer; this is ${process.versions.node}.`)
  console.error("Run 'npm ci' without --omit=optional: it brings Node 24 along. Or install Node 24.")
  process.exit(1)
}

const child = spawn(node, [main, ...process.argv.slice(2)], { stdio: 'inherit' })
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGBREAK']) {
  const pass = () => {
    // A terminal sends Ctrl-C to the whole group: passed on as well, it would arrive twice.
    if ((signal === 'SIGINT' || signal === 'SIGBREAK') && process.stdin.isTTY) return
    child.kill(signal)
  }
  // A name that this system does not have throws; there is nothing to pass on then.
  try {
    process.on(signal, pass)
  } catch (error) {
    if (error.code !== 'ERR_UNKNOWN_SIGNAL' && error.code !== 'EINVAL') throw error
  }
}
child.on('error', error => {
  console.error(`deputy: cannot start ${node}: ${error.message}`)
  process.exit(1)
})
child.on('exit', (code, signal) => {
  if (signal === null) process.exit(code)
  // Die of the same signal, so that whoever started us sees what happened.
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
})
