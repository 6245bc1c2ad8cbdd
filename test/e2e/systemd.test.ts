/**
 * The service under a real systemd user manager, where one can be had: as root it is started in a mount namespace of its
 * own, with cgroups of its own, and nothing of the machine's is touched.
 */
import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, expect, onTestFinished, test } from 'vitest'
import { ship } from '../support/shipped.ts'
import { put, tempDir } from '../support/temp.ts'

const manager = ['/lib/systemd/systemd', '/usr/lib/systemd/systemd'].find(place => existsSync(place))
const group = `/sys/fs/cgroup/deputy-${process.pid}`

/** Around a command: other mounts, and cgroups in which a manager may do as it likes. */
const prepare = `
umount -R /sys/fs/cgroup 2>/dev/null
mount -t cgroup2 none /sys/fs/cgroup && mkdir -p ${group} && echo $$ > ${group}/cgroup.procs || exit 77
mkdir -p /run/systemd && mount -t tmpfs none /run/systemd && mkdir /run/systemd/system || exit 77
`
const able =
  process.getuid?.() === 0 &&
  manager !== undefined &&
  existsSync('/usr/bin/dbus-daemon') &&
  spawnSync('unshare', ['--mount', 'sh', '-c', prepare]).status === 0

/** What the service is put through; each line of its answer is a fact. */
const story = `
${prepare}
"$MANAGER" --user >/dev/null 2>&1 &
for i in $(seq 100); do [ -S "$XDG_RUNTIME_DIR/systemd/private" ] && [ -S "$XDG_RUNTIME_DIR/bus" ] && break; sleep 0.1; done
pid() { systemctl --user show --property MainPID --value deputy.service; }
"$DEPUTY" service install >&2; echo "install $?"
first=$(pid)
"$DEPUTY" health >&2; echo "health $?"
kill -9 "$first"
for i in $(seq 200); do now=$(pid); [ "$now" != 0 ] && [ "$now" != "$first" ] && "$DEPUTY" health >&2 && break; sleep 0.1; done
echo "restarts $(systemctl --user show --property NRestarts --value deputy.service)"
"$DEPUTY" health >&2; echo "health $?"
"$DEPUTY" service status --json
systemctl --user stop deputy.service; echo "stopped $(systemctl --user show --property Result --value deputy.service)"
"$DEPUTY" service uninstall >&2; echo "uninstall $?"
systemctl --user exit
wait
`

/** The groups that were made; only a namespace like the test's sees them. */
const clear = `
umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup
find ${group} -depth -type d -exec rmdir {} \\;
`

afterAll(() => {
  if (able) execFileSync('unshare', ['--mount', 'sh', '-c', clear])
})

test.skipIf(!able)(
  'installed, killed, started again by systemd, stopped, taken away',
  async () => {
    const user = tempDir()
    const shipped = ship()
    onTestFinished(() => shipped.remove())
    const home = join(user, '.deputy')
    const settings = { gateway: { port: 0 }, agents: { defaults: { model: 'rehearsal/rehearsal' } } }
    put(join(home, 'deputy.json'), JSON.stringify(settings))
    const runtime = join(user, 'run')
    mkdirSync(runtime, { mode: 0o700 })
    const env = {
      PATH: process.env['PATH'],
      HOME: user,
      XDG_RUNTIME_DIR: runtime,
      DBUS_SESSION_BUS_ADDRESS: `unix:path=${join(runtime, 'bus')}`,
      DEPUTY: shipped.program,
      MANAGER: manager,
      OLLAMA_HOST: 'http://127.0.0.1:9',
    }
    const { stdout, stderr } = await promisify(execFile)('unshare', ['--mount', 'sh', '-c', story], { env })
    const lines = stdout.split('\n')
    const facts = lines.filter(line => /^(install|health|restarts|stopped|uninstall) /.test(line))
    expect(facts, stderr).toEqual(['install 0', 'health 0', 'restarts 1', 'health 0', 'stopped success', 'uninstall 0'])
    expect(stdout).toMatch(/"active": "active"[\s\S]*"restarts": 1,[\s\S]*"answers": true/)
  },
  120_000,
)
