/**
 * Configuration → what the door needs to know, read at each use so that a change holds from the next connect on.
 * Owns the mapping, and which findings of the house are shown in health and status.
 */
import type { Policies } from '../agent/room.ts'
import { agentIds, agentOf, gatewayOf } from '../config/read.ts'
import type { Secrets } from '../config/secrets.ts'
import type { ConfigStore } from '../config/types.ts'
import type { ModelRoom } from '../models/options.ts'
import type { Store } from '../store/open.ts'
import { thinkingLevels } from '../protocol/thinking.ts'
import type { Facts, Settings } from './types.ts'

export function gatewaySettings(
  config: ConfigStore,
  secrets: Secrets,
  policies: Policies,
  models: ModelRoom,
  store: Store,
): { settings: Settings; facts: Facts } {
  const gateway = () => gatewayOf(config.current())
  const settings: Settings = {
    hosts: () => gateway().hosts,
    port: () => gateway().port,
    auth() {
      const { mode, token, password, trustedProxy, identityScopes } = gateway().auth
      const secret = mode === 'password' ? password : mode === 'token' ? token : null
      return {
        mode,
        secret: secret === null ? null : secrets.read(secret),
        proxy: mode === 'trusted-proxy' && trustedProxy ? { ...trustedProxy, identityScopes } : undefined,
      }
    },
    remoteDevices: () => gateway().auth.remoteDevices,
    trustedProxies: () => gateway().trustedProxies,
    allowedOrigins: () => gateway().allowedOrigins,
    publicOrigin: () => gateway().publicOrigin,
    rateLimit: () => gateway().auth.rateLimit,
    page: () => gateway().controlUi,
    hsts: () => gateway().hsts,
    watch(listener) {
      const ends = [config.onChange(listener), secrets.onLoad(listener)]
      return () => ends.forEach(end => void end())
    },
  }
  /** Models that agents would be refused at their first call; one missing key is one problem, however many agents it stops. */
  const unusableModels = () => {
    const stopped = new Map<string, { code: string; ids: string[] }>()
    for (const { id } of policies.agents()) {
      const ref = policies.model(id)
      const model = models.resolve(ref, id)
      if (model.ok) continue
      const words = `${ref} cannot be used: ${model.reason} ${model.fix}`
      const ids = stopped.get(words)?.ids ?? []
      stopped.set(words, { code: model.code ?? 'MODEL_UNKNOWN', ids: [...ids, id] })
    }
    return [...stopped].map(([words, { code, ids }]) => ({ code, message: `The model of ${ids.join(', ')}: ${words}` }))
  }
  const facts: Facts = {
    defaultAgent: () => policies.defaultAgent(),
    agents: () =>
      agentIds(config.current()).map(id => {
        const agent = agentOf(config.current(), id)
        const { allowAgents } = agent.subagents
        const { thinking } = agent
        return {
          id,
          name: agent.name,
          workspace: agent.workspace,
          model: {
            primary: policies.model(id),
            ...(agent.model.fallbacks.length > 0 ? { fallbacks: agent.model.fallbacks } : {}),
          },
          ...(Object.keys(agent.identity).length > 0 ? { identity: agent.identity } : {}),
          thinkingLevels: thinkingLevels.map(level => ({ id: level, label: level })),
          ...(thinking === null ? {} : { thinkingDefault: thinking }),
          allowAgents: allowAgents ?? [id],
        }
      }),
    defaultModel() {
      const agent = policies.defaultAgent()
      const model = models.resolve(policies.model(agent), agent)
      return model.ok
        ? { provider: model.model.provider, model: model.model.model, contextWindow: model.model.contextWindow }
        : null
    },
    problems() {
      const { trouble } = store.health()
      const sandboxOff = agentIds(config.current()).filter(id => agentOf(config.current(), id).exec.sandbox === 'off')
      return [
        ...(trouble ? [{ code: trouble.code, message: `${trouble.message} ${trouble.fix}` }] : []),
        ...config.issues.map(issue => ({ code: 'CONFIG_INVALID', message: `${issue.path}: ${issue.message}` })),
        ...(sandboxOff.length > 0
          ? [
              {
                code: 'SANDBOX_MISSING',
                message: `tools.exec.sandbox is off: every command of ${sandboxOff.join(', ')} runs as you, so these agents are the operator.`,
              },
            ]
          : []),
        ...unusableModels(),
      ]
    },
    configFails: () => config.issues.length > 0,
    failing: () => (store.health().claiming ? [] : ['store']),
    configPath: config.home.config,
    stateDir: config.home.dir,
  }
  return { settings, facts }
}
