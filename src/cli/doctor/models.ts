/**
 * Doctor: whether each agent has a model that can be used: it exists and its provider has a key. Asked of the house, which
 * knows providers and keys; no provider is called, nothing is paid.
 */
import { agentIds, agentOf } from '../../config/read.ts'
import { isErrorCode } from '../../protocol/errors.ts'
import { line } from '../format.ts'
import type { Trial } from './house.ts'
import { type Finding, finding, type Patient, type Verdict } from './types.ts'

export async function checkModels({ settings, context }: Patient, { client }: Trial): Promise<Verdict> {
  if (settings === null) return { says: [], findings: [] }
  const { problems } = await client.request('status', {})
  const { agents } = await client.request('agents.list', {})
  const findings: Finding[] = problems
    .filter(({ code }) => code.startsWith('MODEL_'))
    .map(({ code, message }) =>
      finding('models.unusable', 'error', {
        what: 'A model that the configuration names cannot be used.',
        why: 'Each message to that agent, and each spawn of it, ends with this refusal.',
        evidence: `${line(message)} [${code}]`,
        fix: `deputy explain ${isErrorCode(code) ? code : 'MODEL_NO_KEY'}${context.flags}`,
      }),
    )
  const asked = agentIds(settings).map(id => ({ id, named: agentOf(settings, id).model.primary }))
  const fallen = asked.filter(({ id, named }) => named === null && modelOf(agents, id)?.startsWith('rehearsal/'))
  if (fallen.length > 0)
    findings.push(
      finding('models.rehearsal', 'warning', {
        what: `No provider has a key, so the rehearsal model answers for ${fallen.map(({ id }) => id).join(', ')}.`,
        why: 'It is not a language model: it follows a few commands word for word, for trying things without a key.',
        evidence: 'no model is configured, no provider key was found, no Ollama answered',
        fix: `Put a key into ${context.home.envFile} (e.g. ANTHROPIC_API_KEY=…), chmod 600 it, and start again. To keep it: deputy config set agents.defaults.model rehearsal/rehearsal${context.flags}`,
      }),
    )
  const says = agents.map(agent => `${line(agent.id)} uses ${line(agent.model?.primary ?? 'none')}`)
  return { says, findings }
}

function modelOf(agents: readonly { id: string; model?: { primary: string } }[], id: string): string | undefined {
  return agents.find(agent => agent.id === id)?.model?.primary
}
