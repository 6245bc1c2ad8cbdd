/**
 * What a model call has cost, as the ledger counts it. Owns that arithmetic, and the charge of a call whose run is gone.
 */
import type { Spend, Step, TokenUsage } from '../core/types.ts'
import type { Tx } from '../store/open.ts'

export function chargeOf(usage: TokenUsage, nano: number): Spend {
  return { nano, tokens: usage.input + usage.output + usage.cacheRead + usage.cacheWrite, calls: 1 }
}

/** The run is somebody else's by now, or ended: what the call cost goes to the ledger, nothing to the run (decisions.md 7). */
export async function chargeLate(tx: Tx, step: Step, charged: Spend, usage: TokenUsage): Promise<void> {
  const attempt = step.intent.kind === 'tool' ? 1 : step.intent.attempt
  await tx
    .updateTable('usage')
    .set({
      charged_nano: charged.nano,
      charged_tokens: charged.tokens,
      charged_calls: charged.calls,
      input: usage.input,
      output: usage.output,
      cache_read: usage.cacheRead,
      cache_write: usage.cacheWrite,
      state: 'settled',
    })
    .where('run', '=', step.run)
    .where('step', '=', step.n)
    .where('attempt', '=', attempt)
    .where('state', '=', 'unknown')
    .execute()
}
