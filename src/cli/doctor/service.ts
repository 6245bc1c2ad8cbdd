/**
 * Doctor: the systemd service, where one is installed. Having none is no finding: other things may supervise the gateway.
 */
import { type ServiceState, serviceOf } from '../service/state.ts'
import { type Check, type Finding, finding } from './types.ts'

export const serviceCheck: Check = {
  id: 'service',
  title: 'service',
  async run({ context, gateway }) {
    const service = await serviceOf(context)
    const { unit, installed, state, unavailable } = service
    if (!installed) {
      const why = unavailable ? 'no systemd user manager here' : `deputy service install${context.flags} makes one`
      return { says: [`none installed (${why})`], findings: [] }
    }
    const findings = [...running(service, gateway.state, context.flags), ...kept(service, context.flags)]
    return { says: [`${unit} is ${state?.active ?? 'installed'}`], findings }
  },
}

function running({ unit, state, answers }: ServiceState, gateway: string, flags: string): Finding[] {
  if (state === null || (state.active === 'active' && answers)) return []
  const byHand = gateway === 'running' && !answers
  return [
    finding('service.down', byHand ? 'warning' : 'error', {
      what: byHand ? 'The gateway that answers is not the service.' : 'The service is installed and does not run.',
      why: byHand
        ? 'Somebody started it by hand; nothing starts it again when it ends, and the service cannot start beside it.'
        : 'Nobody takes messages; what was accepted waits.',
      evidence: `${unit}: ${state.active} (${state.result || state.sub}), exit status ${state.exitStatus}, ${state.restarts} restarts`,
      fix: byHand
        ? `Stop the one that was started by hand, then: systemctl --user restart ${unit}`
        : `journalctl --user -u ${unit} -n 30 says why; then: deputy service install${flags}`,
    }),
  ]
}

function kept({ unit, path, current, state, lingers }: ServiceState, flags: string): Finding[] {
  const findings: Finding[] = []
  if (!current)
    findings.push(
      finding('service.old', 'warning', {
        what: 'The unit is not what an install would write now.',
        why: 'It may start another version, another home, or without what was added since.',
        evidence: `${path} differs from: deputy service install --print${flags}`,
        fix: `deputy service install${flags}`,
      }),
    )
  if (state !== null && !state.enabled)
    findings.push(
      finding('service.disabled', 'warning', {
        what: 'The service is not enabled.',
        why: 'It does not start with the machine.',
        evidence: `systemctl --user is-enabled ${unit} says it is not`,
        fix: `systemctl --user enable ${unit}`,
      }),
    )
  if (lingers === false)
    findings.push(
      finding('service.linger', 'warning', {
        what: 'The service ends with your login.',
        why: 'Without lingering systemd stops the services of a user who logs out, and does not start them with the machine.',
        evidence: 'loginctl show-user says Linger=no',
        fix: `sudo loginctl enable-linger ${process.getuid?.() ?? ''}`.trim(),
      }),
    )
  return findings
}
