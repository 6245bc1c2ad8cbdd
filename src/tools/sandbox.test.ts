import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, existsSync, mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type Answer, type Bench, makeBench } from '../../test/support/tools.ts'
import { findSandbox } from './sandbox.ts'

const bubblewrap = (await findSandbox()) !== undefined
const root = process.getuid?.() === 0

/** Whether an ordinary user may read this checkout at all. */
function readableByOthers(): boolean {
  const look = `require('node:fs').accessSync(${JSON.stringify(import.meta.filename)})`
  return spawnSync(process.execPath, ['-e', look], { uid: 65534, gid: 65534 }).status === 0
}

const run = (bench: Bench, command: string, more: object = {}) => bench.call('exec', { command, ...more })

describe.skipIf(!bubblewrap)('what a command sees', () => {
  test('the workspace, and of the rest nothing that is anybody’s', async () => {
    await using bench = await makeBench()
    writeFileSync(join(bench.stateDir, 'deputy.json'), 'the gateway token')
    writeFileSync(join(bench.workspace, 'mine'), 'mine')
    const { text } = await run(
      bench,
      `cat mine; echo; ls ${bench.home}; cat ${bench.stateDir}/*; ls -A /root /home /run /var /sys /opt /srv /mnt; cat /etc/shadow /etc/ssh/*; cat ../state/deputy.json`,
    )
    expect(text).toMatch(/^mine\nworkspace\n/)
    expect(text).not.toContain('token\n')
    expect(text.match(/No such file or directory/g)!.length).toBeGreaterThan(8)
  })

  test('no process, no variable and no descriptor of the gateway', async () => {
    process.env['DEPUTY_TEST_SECRET'] = 'a provider key'
    await using bench = await makeBench({ exec: { env: { GIVEN: 'by the operator' } } })
    const { text } = await run(
      bench,
      'env | sort; echo --; ls /proc | grep -c "^[0-9]"; ls /proc/self/fd; cat /proc/*/environ',
      {
        env: { LD_PRELOAD: '', MINE: 'a b\nc' },
      },
    )
    delete process.env['DEPUTY_TEST_SECRET']
    expect(text).not.toContain('a provider key')
    const names = text.slice(0, text.indexOf('--')).match(/^[A-Z_]+(?==)/gm)
    expect(names).toEqual(['GIVEN', 'HOME', 'LANG', 'LD_PRELOAD', 'MINE', 'PATH', 'PWD', 'TERM', 'TMPDIR'])
    expect(Number(/^--\n(\d+)$/m.exec(text)![1])).toBeLessThan(8)
  })

  test('no way to more: no capability, no namespace of its own, no write to the system', async () => {
    await using bench = await makeBench()
    const { text } = await run(
      bench,
      `grep -E "Cap(Prm|Eff|Bnd|Amb)|NoNewPrivs" /proc/self/status
for f in /proc/sys/kernel/core_pattern /proc/sys/vm/overcommit_memory /usr/x /x /etc/x /proc/sysrq-trigger; do (: >>$f) 2>/dev/null && echo OPENED $f; done
mount -t tmpfs none /tmp 2>/dev/null && echo MOUNTED; unshare -Ur true 2>/dev/null && echo UNSHARED; mknod /tmp/d b 8 0 2>/dev/null && echo MADE
kill -9 1 2>/dev/null; echo still here`,
    )
    expect(text).toMatch(/CapPrm:\t0+\nCapEff:\t0+\nCapBnd:\t0+\nCapAmb:\t0+\nNoNewPrivs:\t1\nstill here\n/)
  })

  test('no argument of a call becomes an argument of the sandbox', async () => {
    const env: Record<string, string> = {}
    await using bench = await makeBench({ exec: { env } })
    const smuggled = `x\0--bind\0${bench.stateDir}\0/mnt`
    expect(bench.refused('exec', { command: 'ls /mnt', env: { A: smuggled } })).toContain('has a NUL character')
    expect(bench.refused('exec', { command: 'ls\0' })).toContain('has a NUL character')
    expect((await run(bench, 'true', { cwd: `.\0--bind` })).isError).toBe(true)
    expect((await run(bench, '--bind / /mnt; ls /mnt')).text).toContain('not found')
    env['A'] = smuggled
    expect((await run(bench, 'ls /mnt')).text).toContain('NUL')
  })

  test('a network only when it is allowed', async () => {
    const server = createServer((_, response) => response.end('answer')).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const command = `exec 3<>/dev/tcp/127.0.0.1/${port} && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3`
    try {
      for (const network of [false, true]) {
        await using bench = await makeBench({ exec: { network } })
        const { text } = await run(bench, `bash -c ${JSON.stringify(command)}`)
        expect([network, text.includes('answer')]).toEqual([network, network])
        expect((await run(bench, 'cat /etc/resolv.conf')).isError).toBe(!network)
      }
    } finally {
      server.close()
    }
  })

  test('the workspace is writable at its own path, by programs as people expect them', async () => {
    await using bench = await makeBench()
    mkdirSync(join(bench.workspace, 'sub'))
    const { text, isError } = await run(
      bench,
      'pwd; echo made > f; echo e > /dev/stderr; echo o > /dev/stdout; whoami >/dev/null; mktemp >/dev/null; df /tmp >/dev/null; cat /proc/self/oom_score_adj',
      { workdir: 'sub' },
    )
    expect(text).toMatch(new RegExp(`^${bench.workspace}/sub\ne\no\n1000\n\\[exit 0, \\d+ ms\\]$`))
    expect(isError).toBe(false)
    const made = statSync(join(bench.workspace, 'sub/f'))
    expect([made.uid, made.gid]).toEqual([process.getuid!(), process.getgid!()])
    await run(bench, 'chmod 600 f; mkdir -p d/e; touch d/e/f')
    expect((await bench.call('read', { path: 'sub/f' })).text).toBe('made\n')
    await bench.call('write', { path: 'sub/by-tool', content: 'x' })
    expect((await run(bench, 'echo y >> sub/by-tool && cat sub/by-tool')).text).toMatch(/^xy\n/)
  })

  test('folders of PATH that the operator names, but never the state directory', async () => {
    const pathPrepend: string[] = []
    await using bench = await makeBench({ exec: { pathPrepend } })
    for (const folder of ['state/bin', 'tools']) {
      mkdirSync(join(bench.home, folder))
      writeFileSync(join(bench.home, folder, 'hello'), '#!/bin/sh\necho hello from "$0"\n')
      chmodSync(join(bench.home, folder, 'hello'), 0o755)
    }
    symlinkSync(join(bench.stateDir, 'bin'), join(bench.home, 'alias'))
    pathPrepend.push(...['state/bin', 'alias', 'none', 'tools'].map(name => join(bench.home, name)))
    expect((await run(bench, 'hello')).text).toContain(`hello from ${bench.home}/tools/hello`)
    pathPrepend.splice(0, 10, bench.home)
    expect((await run(bench, `ls ${bench.home}`)).text).toMatch(/^workspace\n\[/)
  })

  test('a missing folder, a file as folder and a folder outside are refused before anything runs', async () => {
    await using bench = await makeBench()
    writeFileSync(join(bench.workspace, 'f'), '')
    for (const cwd of ['none', 'f', '..', '/tmp']) {
      const answer = await run(bench, 'touch ran', { cwd })
      expect([cwd, answer.isError]).toEqual([cwd, true])
    }
    expect(existsSync(join(bench.workspace, 'ran'))).toBe(false)
  })

  test.skipIf(!root)('as root, a workspace of another user is used as that user', async () => {
    await using bench = await makeBench()
    chmodSync(bench.home, 0o755)
    chownSync(bench.workspace, 12345, 54321)
    const { text } = await run(bench, 'id -u; id -g; touch made; ls -ln made | cut -d" " -f3,4')
    expect(text).toMatch(/^12345\n54321\n12345 54321\n/)
    await bench.call('write', { path: 'deep/by-tool', content: 'x' })
    for (const name of ['made', 'deep', 'deep/by-tool']) {
      const { uid, gid } = statSync(join(bench.workspace, name))
      expect([name, uid, gid]).toEqual([name, 12345, 54321])
    }
    chmodSync(bench.home, 0o700)
    const shut: Answer = await run(bench, 'true')
    expect([shut.isError, shut.details['code']]).toEqual([true, 'SANDBOX_FAILED'])
    expect(shut.text).toMatch(/The sandbox could not be set up: bwrap: .*Permission denied/)
  })

  test.skipIf(!root)('a root of the machine without capabilities may not write its kernel settings', async () => {
    await using bench = await makeBench()
    // Opened and not written: a sandbox that lets it through must not cost this machine its settings.
    const { text } = await run(
      bench,
      'find /proc -writable -type f -not -path "/proc/[0-9]*" 2>/dev/null; (: >> /proc/sys/kernel/core_pattern) 2>&1',
    )
    expect(text).toMatch(/^\/bin\/sh: 1: cannot create .*: Read-only file system\n/)
  })
})

describe.skipIf(!bubblewrap || !root || !readableByOthers())('as an ordinary user', () => {
  test('the sandbox is the same, and a fork bomb is held by its limit', async () => {
    await using bench = await makeBench()
    chmodSync(bench.home, 0o755)
    chownSync(bench.workspace, 65534, 65534)
    const script = `
      import { makeBench } from ${JSON.stringify(join(import.meta.dirname, '../../test/support/tools.ts'))}
      import { contextOf } from ${JSON.stringify(join(import.meta.dirname, '../../test/support/tools.ts'))}
      await using bench = await makeBench()
      const call = async command => (await bench.call('exec', { command, timeoutSeconds: 30 }, { workspace: ${JSON.stringify(bench.workspace)} })).text
      const seen = await call('id -u; ls ${bench.home}; touch made; grep -c . /proc/self/environ; unshare -Ur true 2>&1')
      const bomb = await call('n=0; while [ $n -lt 3000 ]; do sleep 20 & n=$((n+1)); done; echo all')
      console.log(JSON.stringify({ seen, bomb }))`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      uid: 65534,
      gid: 65534,
      env: { PATH: process.env['PATH'], TMPDIR: '/tmp' },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const chunks: Buffer[] = []
    child.stdout.on('data', chunk => chunks.push(chunk))
    child.stderr.on('data', chunk => chunks.push(chunk))
    await once(child, 'close')
    const output = Buffer.concat(chunks).toString()
    const { seen, bomb } = JSON.parse(output.split('\n').find(line => line.startsWith('{')) ?? output)
    expect(seen).toMatch(/^65534\nworkspace\n/)
    expect(seen).toMatch(/unshare/)
    expect(statSync(join(bench.workspace, 'made')).uid).toBe(65534)
    expect(bomb).toMatch(/Cannot fork|Resource temporarily unavailable/)
    expect(bomb).not.toContain('all\n')
  })
})

describe('without bubblewrap', () => {
  test('a command is refused with what to do, and runs once it is there', async () => {
    await using bench = await makeBench()
    const path = process.env['PATH']
    process.env['PATH'] = bench.home
    try {
      const answer = await run(bench, 'touch ran')
      expect([answer.isError, answer.details['code']]).toEqual([true, 'SANDBOX_MISSING'])
      expect(answer.text).toContain('apt install bubblewrap')
      expect(existsSync(join(bench.workspace, 'ran'))).toBe(false)
    } finally {
      process.env['PATH'] = path
    }
    if (bubblewrap) expect((await run(bench, 'true')).isError).toBe(false)
  })
})
