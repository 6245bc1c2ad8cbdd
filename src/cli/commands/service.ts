/** `deputy service`: the gateway as a systemd user service. Writes one unit file; the home stays as it is. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import { prepareHome } from '../../config/home.ts'
import { openConfig } from '../../config/store.ts'
import { DeputyError } from '../../protocol/errors.ts'
import type { Context } from '../context.ts'
import { pairs } from '../format.ts'
import { exit } from '../host.ts'
import type { Cli } from '../program.ts'
import { type Manager, openManager, type UnitState } from '../service/manager.ts'
import { lingerWords, pidOf, serviceOf, type Unit, unitOf } from '../service/state.ts'
import { unitFolder } from '../service/unit.ts'

/** From the start of the service to its first answer, ms. */
const readyMs = 30_000

export function register(command: Command, cli: Cli): void {
  command.addHelpText(
    'after',
    `
A service of your own user: no root, no other user. For another --home it has a name of its own.

Examples:
  $ deputy service install --print      the unit file, nothing is written
  $ deputy service install
  $ deputy service status`,
  )
  command
    .command('install')
    .description('write the unit, enable it, start it, and wait until it answers')
    .option('--print', 'only print the unit file')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\nInstalling again writes the unit anew and restarts the gateway; work goes on.\n\nExamples:\n  $ deputy service install --print\n  $ deputy service install --home /srv/deputy',
    )
    .action(cli.action<{ print?: boolean }>((context, options) => (options.print ? print(context) : install(context))))
  command
    .command('uninstall')
    .description('stop the service and take its unit away; the home stays')
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExample:\n  $ deputy service uninstall')
    .action(cli.action(uninstall))
  command
    .command('status')
    .description('whether it is installed, runs and answers; ends with 0 when it does all three')
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExamples:\n  $ deputy service status\n  $ deputy service status --json')
    .action(cli.action(status))
}

async function print(context: Context): Promise<number> {
  const { name, path, text } = unitOf(context)
  if (context.json) context.document({ unit: name, path, text })
  else context.say(text.trimEnd())
  return exit.done
}

async function install(context: Context): Promise<number> {
  const { home, paint: p } = context
  const manager = await openManager(context)
  const unit = unitOf(context)
  // Said now, and not by a service that fails in the background.
  openConfig({ home: home.dir, file: home.config, env: context.host.env }).current()
  await refuseForeign(context, manager, unit)
  prepareHome(home)
  const keys = keysFile(context)
  mkdirSync(unitFolder(context.host.env, home.user), { recursive: true })
  writeFileSync(unit.path, unit.text, { mode: 0o644 })
  await manager.run('daemon-reload')
  await manager.run('enable', unit.name)
  await manager.run('restart', unit.name)
  const state = await ready(context, manager, unit)
  const lingers = await manager.lingers()
  if (context.json) {
    context.document({ unit: unit.name, path: unit.path, pid: state.pid, lingers, keysFile: home.envFile })
    return exit.done
  }
  context.say(`${p.green('●')} ${p.bold(unit.name)} runs and answers, process ${state.pid}.`)
  const facts: [string, string][] = [
    ['unit', unit.path],
    ['home', home.dir],
    ['keys', `${home.envFile} (mode 0600)`],
    ['log', `journalctl --user -u ${unit.name} -f`],
  ]
  for (const each of pairs(facts, p)) context.say(`  ${each}`)
  for (const each of [...keys, ...lingerWords(lingers, context)]) context.note(p.yellow(`  ! ${each}`))
  return exit.done
}

/** A gateway that somebody started by hand holds the home: the service would fail for ever. */
async function refuseForeign(context: Context, manager: Manager, unit: Unit): Promise<void> {
  const answers = await pidOf(context)
  if (answers === null) return
  const { active, pid } = await manager.show(unit.name)
  if (active === 'active' && pid === answers) return
  throw new DeputyError('HOME_LOCKED', `A gateway runs for ${context.home.dir} already, outside of the service.`, {
    fix: `Stop it first: kill ${answers}. Then: deputy service install${context.flags}`,
    details: { pid: answers },
  })
}

/** Makes the file for keys, and names those that this shell has and the service will not. */
function keysFile({ home, host }: Context): string[] {
  if (!existsSync(home.envFile))
    writeFileSync(home.envFile, '# Keys for the gateway, one a line: ANTHROPIC_API_KEY=…\n', {
      mode: 0o600,
      flag: 'wx',
    })
  const kept = readFileSync(home.envFile, 'utf8')
  const here = Object.keys(host.env).filter(name => /_API_KEY$/.test(name) && host.env[name])
  const lost = here.filter(name => !new RegExp(`^\\s*(export\\s+)?${name}\\s*=`, 'm').test(kept))
  return lost.map(
    name =>
      `${name} is set in this shell only; the service does not see it. Put it into ${home.envFile} and run this again.`,
  )
}

/** Waits until the gateway answers on its socket; fails with what systemd knows when the service gives up before. */
async function ready(context: Context, manager: Manager, unit: Unit): Promise<UnitState> {
  const until = performance.now() + readyMs
  for (;;) {
    const answers = await pidOf(context)
    const state = await manager.show(unit.name)
    if (answers !== null && state.pid === answers) return state
    const gaveUp = state.active === 'failed' || (state.active === 'inactive' && state.result !== 'success')
    if (gaveUp || state.restarts > 2 || performance.now() > until) {
      const how = `${state.active} (${state.result || 'no result'}, exit status ${state.exitStatus}, ${state.restarts} restarts)`
      throw new DeputyError('SERVICE_FAILED', `${unit.name} was started and does not answer: ${how}.`, {
        fix: `journalctl --user -u ${unit.name} -n 30 says why; deputy doctor${context.flags} looks for causes. To take it away: deputy service uninstall${context.flags}`,
        details: { ...state },
      })
    }
    await sleep(100)
  }
}

async function uninstall(context: Context): Promise<number> {
  const manager = await openManager(context)
  const { name, path } = unitOf(context)
  const was = existsSync(path)
  if (was) {
    await manager.run('disable', '--now', name)
    rmSync(path, { force: true })
    await manager.run('daemon-reload')
  }
  if (context.json) context.document({ unit: name, path, removed: was })
  else if (was) context.say(`${name} is stopped and taken away. ${context.home.dir} stays as it is.`)
  else context.say(`There is no ${name}.`)
  return exit.done
}

async function status(context: Context): Promise<number> {
  const service = await serviceOf(context)
  if (service.unavailable && service.installed === false) throw service.unavailable
  const { unit, path, installed, current, state, answers, lingers } = service
  const well = installed && state?.active === 'active' && answers
  if (context.json) {
    context.document({ unit, path, installed, current, ...state, answers, lingers })
    return well ? exit.done : exit.failed
  }
  const { paint: p } = context
  if (!installed) {
    context.say(`${unit} is not installed.`)
    context.note(`  deputy service install${context.flags}`)
    return exit.failed
  }
  const facts: [string, string][] = [
    ['service', `${unit}, ${state?.enabled ? 'enabled' : p.yellow('not enabled')}`],
    [
      'state',
      `${state?.active === 'active' ? p.green('active') : p.red(state?.active ?? 'unknown')} (${state?.sub ?? '?'})`,
    ],
    ['process', state?.pid ? `${state.pid}, ${answers ? 'answers' : p.red('does not answer')}` : 'none'],
    ['restarts', state && state.restarts > 0 ? String(state.restarts) : ''],
    ['unit', current ? path : `${path} ${p.yellow('(not what an install would write now)')}`],
    ['log', `journalctl --user -u ${unit} -f`],
  ]
  for (const each of pairs(
    facts.filter(([, value]) => value !== ''),
    p,
  ))
    context.say(each)
  for (const each of lingerWords(lingers, context)) context.note(p.yellow(`! ${each}`))
  return well ? exit.done : exit.failed
}
