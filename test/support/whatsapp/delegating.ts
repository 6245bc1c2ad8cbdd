/**
 * A model for people who write over WhatsApp: asked to `go <n>` it delegates, says so, and tells what came of it.
 */
import { onTestFinished } from 'vitest'
import { stubConfig } from '../gateway.ts'
import { type Provider, type ProviderReply, type ProviderRequest, startProvider } from '../provider.ts'
import { seedConfig } from './world.ts'

function reply(request: ProviderRequest, latency: () => number): ProviderReply {
  const delayMs = latency()
  if (request.system.includes('You are a sub-agent')) {
    const task = /task (\w+)/.exec(JSON.stringify(request.turns))?.[1] ?? 'nothing'
    return { text: `found ${task}`, delayMs }
  }
  // What is so at the moment is shown last, as words of the user too: the newest that says either is what counts.
  const said = request.turns.map(turn => /\b(go|found) (\w+)/.exec(turn.text)).findLast(match => match !== null)
  const [asked, found] = ['go', 'found'].map(word => (said?.[1] === word ? said[2] : undefined))
  if (found) return { text: `told ${found}`, delayMs }
  if (asked && request.results.length === 0) {
    const args = { agentId: 'extractor', task: `task ${asked}`, label: `t${asked}` }
    return { toolCalls: [{ name: 'sessions_spawn', args }], delayMs }
  }
  return { text: asked ? `on it ${asked}` : `heard: ${request.user}`, delayMs }
}

export interface Delegating {
  provider: Provider
  config: Record<string, unknown>
}

/** The provider ends with the test. */
export async function delegating(latency: () => number = () => 0): Promise<Delegating> {
  const provider = await startProvider({ script: request => reply(request, latency) })
  onTestFinished(() => provider.close())
  const seed = seedConfig()
  const { models } = stubConfig(provider.baseUrl)
  const agents = seed['agents'] as { defaults: Record<string, unknown> }
  const defaults = { ...agents.defaults, model: 'stub/m' }
  return { provider, config: { ...seed, models, agents: { ...agents, defaults } } }
}
