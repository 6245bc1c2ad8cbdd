/**
 * Doctor: whether each account of a chat service is what its configuration wants: has its token, is connected, is logged in.
 * Asks the gateway that runs; never a service.
 */
import { accountsOf } from '../../config/read-channels.ts'
import { line } from '../format.ts'
import { type Check, type Finding, finding, type Patient, type Verdict } from './types.ts'

export const channelsCheck: Check = { id: 'channels', title: 'channels', run }

async function run({ settings, gateway, context }: Patient): Promise<Verdict> {
  if (settings === null) return { says: [], findings: [] }
  const says: string[] = []
  const findings: Finding[] = []
  const wanted = accountsOf(settings).filter(({ enabled }) => enabled)
  const standing = gateway.state === 'running' ? await gateway.client.request('channels.status', {}) : null
  for (const { channel, account, configured } of wanted) {
    const where = account === 'default' ? channel : `${channel} (${line(account)})`
    const at = `${channel}${account === 'default' ? '' : ` --account ${line(account)}`}${context.flags}`
    if (!configured) {
      findings.push(
        finding('channels.no-token', 'warning', {
          what: `${where} has no token and can't connect.`,
          why: 'The service lets a bot in by its token only; a named account has none of its channel.',
          evidence: `no token under channels.${channel}, nor in the environment`,
          fix: `deputy channels add ${at} --token <token>`,
        }),
      )
      continue
    }
    const row = standing?.channelAccounts[channel]?.find(each => each.accountId === account)
    if (!row) continue
    if (row.connected) says.push(`${where} is connected${row.self === null ? '' : ` as ${line(row.self)}`}`)
    else if (row.state === 'login')
      findings.push(
        finding('channels.login', 'warning', {
          what: `${where} waits for somebody to log it in.`,
          why: 'Until then nothing comes in and nothing goes out there.',
          evidence: 'its state is "login"',
          fix: `deputy channels login ${at}`,
        }),
      )
    else if (row.problem)
      findings.push(
        finding('channels.down', 'error', {
          what: `${where} is not connected.`,
          why: 'What people write there waits at the service; what is to be said to them waits here.',
          evidence: `${line(row.problem.message)} [${row.problem.code}], state "${row.state}"`,
          fix: row.problem.fix,
        }),
      )
  }
  return { says, findings }
}
