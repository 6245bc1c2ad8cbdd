/**
 * The composition root: opens the rooms in order, wires their ports, stops them in reverse.
 *
 * Owns who is handed what, and nothing else: no rule of the house is made here. A room that cannot be opened closes those
 * opened before it. Ready means: the home is held, the rows are read, what a crash left is taken up, the doors are open.
 */
import { randomUUID } from 'node:crypto'
import { openPolicies } from './agent/policy.ts'
import { recoverAll, openTimers } from './agent/recover.ts'
import type { AgentOptions, Bells } from './agent/room.ts'
import { openRunner } from './agent/runner.ts'
import { openGuides } from './agent/guide.ts'
import { modelsOptions } from './agent/providers.ts'
import { openAccounts } from './channels/accounts.ts'
import { type Channels, channels as services } from './channels/all.ts'
import { menuCommands, typingListener, wishesOf } from './gateway/chats.ts'
import { openDevices } from './gateway/devices.ts'
import { gatewayIdentity } from './gateway/identity.ts'
import { openGuests } from './gateway/guests.ts'
import { openIngest } from './gateway/ingest.ts'
import { openLogbook } from './gateway/logbook.ts'
import { gatewaySettings } from './gateway/settings.ts'
import { accountDir, ensureDir, prepareHome } from './config/home.ts'
import { firstConfig } from './config/first.ts'
import { agentOf, lanesOf, loggingOf } from './config/read.ts'
import { defaultAccountOf, policyOf, growthOf } from './config/read-channels.ts'
import { commandSendersOf } from './config/senders.ts'
import { openSecrets } from './config/secrets.ts'
import { openConfig } from './config/store.ts'
import type { Clock, HouseEvent, Tell } from './core/ports.ts'
import type { Principal } from './core/principal.ts'
import { openDeliverer } from './delivery/deliver.ts'
import { openPost } from './delivery/post.ts'
import { openEngine } from './engine/engine.ts'
import { makePace } from './engine/pace.ts'
import { type Gateway, openGateway } from './gateway/gateway.ts'
import type { Log } from './gateway/types.ts'
import { openModels } from './models/models.ts'
import type { Log as ModelsLog } from './models/options.ts'
import { DeputyError } from './protocol/errors.ts'
import { openBound } from './sessions/bound.ts'
import { openHouse } from './sessions/house.ts'
import { makeCrashPoints } from './store/crash.ts'
import { gatewayKey } from './store/key.ts'
import { takeHomeLock } from './store/lock.ts'
import { openStore, type Store } from './store/open.ts'
import { tidy } from './sessions/tidying.ts'
import { endProcess } from './tools/process.ts'
import { openTools } from './tools/toolbox.ts'

export interface AppOptions {
  home: string
  configFile?: string
  env: Readonly<Record<string, string | undefined>>
  /** Lines for the terminal; the log file gets them besides (gateway/logbook.ts). */
  log(line: string): void
  /** False: the unix socket only. */
  tcp?: boolean
  /** The chat services that there are; default: all of this version. */
  channels?: Channels
  version: string
}

export interface App {
  ready: { url: string | null; socket: string; model: string; warnings: readonly string[] }
  gateway: Gateway
  /** Breaks off what is at work, leaves the rows for the next start, closes everything. */
  stop(): Promise<void>
}

const clock: Clock = { now: () => Date.now() }
/** Whoever runs the gateway. */
const owner: Principal = { kind: 'operator', via: 'socket', user: null, scopes: ['operator.admin'] }

export async function openApp(options: AppOptions): Promise<App> {
  const closing: (() => void | Promise<void>)[] = []
  // One room that can't be closed well must not keep the others open.
  const close = async () => {
    for (const step of closing.splice(0).reverse()) {
      try {
        await step()
      } catch (error) {
        options.log(`stopping: ${error instanceof Error ? error.message : String(error)}`)
      }
    }
  }
  try {
    return await open(options, closing, close)
  } catch (error) {
    await close()
    if (!(error instanceof DeputyError) || error.code !== 'DISK_FULL') throw error
    throw new DeputyError('DISK_FULL', error.message, {
      fix: 'Free some space, then start again. Nothing that was accepted is lost.',
      cause: error,
    })
  }
}

/** Work on the way to being ready: where it would wait until the disk takes writes, the start is refused instead. */
function unlessTroubled<T>(store: Store, work: Promise<T>): Promise<T> {
  const troubled = new Promise<never>((_, refuse) =>
    store.onTrouble(trouble => trouble && refuse(new DeputyError(trouble.code, trouble.message, { fix: trouble.fix }))),
  )
  return Promise.race([work, troubled])
}

async function open(
  options: AppOptions,
  closing: (() => void | Promise<void>)[],
  close: () => Promise<void>,
): Promise<App> {
  const config = openConfig({ home: options.home, file: options.configFile, env: options.env })
  const warnings = [...prepareHome(config.home)]
  const lock = takeHomeLock(config.home.dir)
  closing.push(() => lock.release())
  if (firstConfig(config.home)) config.reload()
  config.current()
  await config.ensureToken()
  warnings.push(...config.warnings.map(finding => `${finding.path}: ${finding.message}`))

  const secrets = openSecrets(config)
  const book = openLogbook({
    file: loggingOf(config.current()).file,
    clock,
    settings: () => loggingOf(config.current()),
    hide: value => secrets.hide(value),
    console: options.log,
  })
  closing.push(() => book.close())
  const log = (line: string) => book.write('info', 'gateway', line)
  // A mistake of ours that nobody caught: it is told, and ends nothing.
  const stray = (reason: unknown) =>
    book.write(
      'error',
      'gateway',
      `INTERNAL ${reason instanceof Error ? (reason.stack ?? reason.message) : String(reason)}`,
    )
  process.on('unhandledRejection', stray)
  closing.push(() => void process.off('unhandledRejection', stray))

  const crash = makeCrashPoints(options.env['DEPUTY_CRASH'])
  const pace = makePace()
  const store = await openStore({ dir: config.home.dir, clock, crash, pace, log })
  closing.push(() => store.close())
  closing.push(tidy(store, clock, () => config.current(), log))
  warnings.push(...(await secrets.load()).map(finding => `${finding.path}: ${finding.message}`))

  const key = await gatewayKey(config.home.dir)
  const modelsLog: ModelsLog = (level, message, fields) => book.write(level, 'models', message, fields)
  const models = openModels({ ...modelsOptions(config, secrets, clock, modelsLog), markKey: key, pace })
  const tools = openTools({
    stateDir: config.home.dir,
    exec: agent => ({ pathPrepend: [], ...agentOf(config.current(), agent).exec }),
  })
  const policies = openPolicies({
    config: () => config.current(),
    catalogue: tools.list().map(({ name, group }) => ({ name, group })),
    defaultModel: agent => models.defaultRef(agent),
  })

  // A newcomer puts files there before the first message.
  for (const { id } of policies.agents()) ensureDir(policies.prompt(id).workspace)

  const listeners = new Set<Tell>()
  const tell = (event: HouseEvent) => {
    for (const listener of listeners) {
      try {
        listener(event)
      } catch (error) {
        log(`a listener failed on ${event.on}: ${error instanceof Error ? error.message : String(error)}`)
      }
    }
  }
  const agent: AgentOptions = {
    store,
    models,
    tools,
    policies,
    secrets,
    chats: {
      any: () => accounts.list().some(({ enabled }) => enabled),
      capabilities: place => accounts.capabilities(place),
    },
    clock,
    pace,
    crash,
    tell,
    log,
    uuid: randomUUID,
    guide: openGuides(config.home.dir),
    endProcess,
  }
  // Bells ring between rooms that are opened one after the other; each is wired before the first run is claimed.
  const bells: Bells = {
    queued: runs => engine.queued(runs),
    ended: runs => runner.ended(runs),
    timer: at => timers.arm(at),
    outbox: () => deliverer.ring(),
  }
  const runner = openRunner(agent, bells, run => engine.reserve(run))
  const timers = openTimers(agent, bells)
  const engine = openEngine({
    store,
    drive: run => runner.drive(run),
    limits: () => ({ ...lanesOf(config.current()), agent: id => policies.agent(id).maxConcurrent }),
    log,
  })
  const deliverer = openDeliverer({
    store,
    outbound: route => accounts.outbound(route),
    grows: route => (accounts.capabilities(route)?.edit === true ? growthOf(config.current(), route) : 'off'),
    clock,
    crash,
    log,
  })
  const senders = () => commandSendersOf(config.current())
  const house = openHouse({ options: agent, bells, runner, senders })
  const bound = openBound(agent, () => deliverer.ring())
  listeners.add(house.hear)
  listeners.add(bound.hear)
  listeners.add(deliverer.hear)
  closing.push(async () => {
    bound.stop()
    timers.stop()
    engine.stop()
    await runner.stop()
    await deliverer.stop()
    await tools.endAll()
  })

  const ingest = openIngest({
    store,
    house,
    config: () => config.current(),
    bound: bound.at,
    workspace: id => policies.prompt(id).workspace,
    clock,
    uuid: randomUUID,
    outbox: () => deliverer.ring(),
    log: (level, message, fields) => book.write(level, 'channels', message, fields),
  })
  const accounts = openAccounts({
    channels: options.channels ?? services,
    wishes: () => wishesOf(config.current(), secrets),
    stateDir: (channel, account) => accountDir(config.home.dir, channel, account),
    ingest: message => ingest.take(message),
    commands: menuCommands,
    changed: ({ status }) => void (status.state === 'connected' && deliverer.ring()),
    clock,
    log: (level, message, fields) => book.write(level, 'channels', message, fields),
  })
  listeners.add(typingListener(ingest.routeOf, accounts.typing))

  const doorLog: Log = (level, message, fields) => book.write(level, 'gateway', message, fields)
  const devices = openDevices({
    store,
    key,
    clock,
    uuid: randomUUID,
    async endRuns({ device, at, by }) {
      const target = { device, before: at }
      return (await house.cancel({ principal: owner, target, reason: `the device was revoked by ${by}` })).runs.length
    },
    log: doorLog,
  })
  const gateway = openGateway({
    house,
    ...gatewaySettings(config, secrets, policies, models, store),
    devices,
    rooms: {
      config,
      models,
      tools: {
        ready: () => tools.ready(),
        list: () => tools.list(),
        policy: id => ({
          names: policies.rootGrant(id, owner.scopes).tools,
          profile: agentOf(config.current(), id).tools.findLast(layer => layer.profile)?.profile ?? 'full',
        }),
      },
      chats: {
        ...accounts,
        defaultAccount: channel => defaultAccountOf(config.current(), channel),
        policy: (channel, account) => policyOf(config.current(), channel, account),
        guests: openGuests({ store, config, clock, outbox: () => deliverer.ring() }),
      },
      post: openPost({ store, chats: agent.chats, deliverer, clock }),
      files: id => ({
        workspace: policies.prompt(id ?? policies.defaultAgent()).workspace,
        stateDir: config.home.dir,
      }),
      log: book,
      identity: gatewayIdentity(key),
      reloadSecrets: () => secrets.load(),
    },
    socketPath: config.home.socket,
    subscribe(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    clock,
    log: doorLog,
    version: options.version,
  })
  const recovered = await unlessTroubled(store, recoverAll(agent, bells))
  if (recovered.requeued + recovered.ended > 0) log(`recovered ${recovered.requeued} runs, ended ${recovered.ended}`)
  closing.push(() => devices.stop())
  await devices.start()
  const listening = await gateway.listen({ tcp: options.tcp !== false })
  closing.push(() => gateway.close())
  await timers.start()
  await engine.start()
  await deliverer.start()
  closing.push(lookAfter(store, log))
  // Nobody waits for a chat service; its messages stop coming before anything else stops.
  void accounts.sync()
  closing.push(async () => {
    await accounts.close()
    ingest.stop()
  })
  await config.markGood()
  closing.push(config.watch())
  closing.push(
    config.onIssues(issues =>
      log(
        `the changed configuration is not taken: ${issues.map(issue => `${issue.path}: ${issue.message}`).join('; ')}`,
      ),
    ),
  )
  closing.push(
    config.onChange(change => {
      log(
        `configuration changed: ${change.changed.join(', ')}${change.restart.length > 0 ? `; after a restart: ${change.restart.join(', ')}` : ''}`,
      )
      secrets
        .load()
        .catch(error => log(`secrets: ${error instanceof Error ? error.message : String(error)}`))
        .then(() => accounts.sync())
    }),
  )
  // Nothing waits for an Ollama; it is used once it has been found.
  models.discover().then(
    found => found.length > 0 && log(`Ollama: ${found.length} models found`),
    error => log(`Ollama: ${error instanceof Error ? error.message : String(error)}`),
  )

  const model = policies.model(policies.defaultAgent())
  const url = listening.tcp ? `http://${listening.tcp.host}:${listening.tcp.port}` : null
  book.note('gateway', 'started', { version: options.version, url, pid: process.pid })
  closing.push(() => book.note('gateway', 'stopping'))
  return { ready: { url, socket: listening.socketPath, model, warnings }, gateway, stop: close }
}

/** What nobody waits for: the log's size, and a look for damage after an unclean stop. Returns how to end it. */
function lookAfter(store: Store, log: (line: string) => void): () => void {
  const soon = setTimeout(() => {
    void store.grow()
    if (!store.health().unclean) return
    store.check().catch((error: Error) => log(`store: the file could not be looked through: ${error.message}`))
  }, 200)
  soon.unref()
  return () => clearTimeout(soon)
}
