/**
 * Doctor: devices and what waits for an approval. Nothing here ever stands between the gateway and its own work; a request
 * that nobody answers is told because somebody outside waits for it.
 */
import { ago, line } from '../format.ts'
import { pairingFacts, pendingOf, type RequestFact } from '../pairing.ts'
import { readerOf } from './store.ts'
import { type Check, type Finding, finding } from './types.ts'

export const devicesCheck: Check = {
  id: 'devices',
  title: 'devices',
  async run(patient) {
    const reader = readerOf(patient)
    if (reader === null) return { says: ['none yet'], findings: [] }
    try {
      const facts = await pairingFacts(reader.read, Date.now())
      const paired = facts.devices.filter(device => device.paired)
      const says = [
        paired.length === 0
          ? 'no device is paired; commands on this host and delegation need none'
          : `${paired.length} paired`,
      ]
      const { flags } = patient.context
      return { says, findings: pendingOf(facts).map(request => waiting(request, flags)) }
    } finally {
      reader.close()
    }
  },
}

function waiting(request: RequestFact, flags: string): Finding {
  const { id, name, added, held, scopes, device, refreshedAt } = request
  const asks = `asks for ${scopes.join(', ') || 'no scope'}; holds ${held.join(', ') || 'nothing'}`
  return finding('devices.pending', 'warning', {
    what: `${line(name)} waits for an approval.`,
    why:
      held.length === 0
        ? 'It is not let in until somebody approves it.'
        : `It works with what it holds; a call that needs ${added.join(', ')} is refused.`,
    evidence: `request ${id}, device ${device.slice(0, 12)}…: ${asks}; last asked ${ago(refreshedAt, Date.now())}`,
    fix: `deputy devices approve ${id}${flags} — or: deputy devices reject ${id}${flags}`,
  })
}
