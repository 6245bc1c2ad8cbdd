/**
 * The launcher for Windows, where sh and exec don't exist: node bin\deputy.cjs …
 * It runs under the system's Node, whatever its age (so: old syntax only), starts Deputy on the Node that npm brought
 * along, passes each signal on and ends the way Deputy ended.
 */
'use strict'

var spawn = require('child_process').spawn
var existsSync = require('fs').existsSync
var path = require('path')

var root = path.resolve(__dirname, '..')
var built = path.join(root, 'dist', 'deputy.js')
var main = existsSync(built) ? built : path.join(root, 'src', 'main.ts')

function bundled() {
  var name = 'node-' + (process.platform === 'win32' ? 'win' : process.platform) + '-' + process.arch
  var file = path.join('bin', process.platform === 'win32' ? 'node.exe' : 'node')
  for (var above = root; ; above = path.dirname(above)) {
    var node = path.join(above, 'node_modules', name, file)
    if (existsSync(node)) return node
    if (path.dirname(above) === above) return null
  }
}

function newEnough(version) {
  var parts = version.split('.').map(Number)
  return parts[0] > 24 || (parts[0] === 24 && parts[1] >= 15)
}

var node = bundled() || (newEnough(process.versions.node) ? process.execPath : null)
if (node === null) {
  console.error('deputy: needs Node 24.15 or newer; this is ' + process.versions.node + '.')
  console.error("Run 'npm ci' without --omit=optional: it brings Node 24 along. Or install Node 24.")
  process.exit(1)
}

var child = spawn(node, [main].concat(process.argv.slice(2)), { stdio: 'inherit' })
var signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGBREAK']
signals.forEach(function (signal) {
  function pass() {
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
})
child.on('error', function (error) {
  console.error('deputy: cannot start ' + node + ': ' + error.message)
  process.exit(1)
})
child.on('exit', function (code, signal) {
  if (signal === null) process.exit(code)
  // Die of the same signal, so that whoever started us sees what happened.
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
})
