/**
 * The figures that are measured, what Deputy must reach, and what was measured of its peers before, so that a run without
 * `--peer` still has something to stand beside.
 */

export type Unit = 'ms' | 's' | 'MB' | 'kB' | ''

export interface Figure {
  id: string
  name: string
  unit: Unit
  goal: string
  /** OpenClaw 2026.4.12 and 2026.9.6, measured earlier on two cores: see docs/benchmarks.md. */
  before: readonly [string, string]
}

function figure(id: string, name: string, unit: Unit, goal: string, before: readonly [string, string]): Figure {
  return { id, name, unit, goal, before }
}

export const figures: readonly Figure[] = [
  figure('start', 'start to first hello', 's', '< 0.3', ['3.7', '8.0']),
  figure('idle-memory', 'idle resident memory, whole process tree', 'MB', '< 90', ['269', '960']),
  figure('first-turn', 'first turn after start', 's', '< 0.3', ['8.6', '6.6']),
  figure('turn', 'one turn, added by the gateway', 'ms', '< 5', ['465', '539']),
  figure('spawn-child', "spawn tool call → child's first model request", 'ms', '< 3', ['706', '2101']),
  figure('spawn-result', "spawn tool call → parent sees the child's result", 'ms', '< 8', ['1332', '3533']),
  figure('fan-20', '20 children at once, all results back', 's', '< 0.15', ['20–35', '13–15']),
  figure('handshake-token', 'handshake, token', 'ms', '< 1', ['5.6', '7.5']),
  figure('handshake-device', 'handshake, signed device', 'ms', '< 3', ['11', '21']),
  figure('cli-version', 'CLI --version', 's', '< 0.1', ['0.26', '0.15']),
  figure('cli-devices', 'CLI devices list', 's', '< 0.1', ['1.6', '1.2']),
  figure('cli-status', 'CLI status', 's', '< 0.1', ['6.0', '6.3']),
  figure('request-bytes', 'first model request (system prompt and tools)', 'kB', '< 12', ['53.7', '41.3']),
  figure('installed', 'installed size, without development packages', 'MB', '< 350', ['1071', '647']),
  figure('kill-work', 'kill -9 while a child works', '', 'resumed within 2 s', ['lost', 'failed, told after 44 s']),
  figure('kill-deliver', 'kill -9 while a result is delivered', '', 'within 2 s', ['lost', 'again after 28 s']),
  figure('status-first', 'status as the first command, then spawn', '', 'works', ['1008 pairing required', 'works']),
  figure('thousand-time', '1,000 children under one session, all results back', 's', '< 5', ['–', '–']),
  figure('thousand-memory', '1,000 children: peak resident memory', 'MB', '< 400', ['–', '–']),
  figure('thousand-p50', '1,000 children: health over the socket, p50', 'ms', '–', ['–', '–']),
  figure('thousand-p99', '1,000 children: health over the socket, p99', 'ms', '< 50', ['–', '–']),
  ...[
    { id: 'fan-100', name: '100 children, a model that takes 1 s' },
    { id: 'fan-1000', name: '1,000 children, a model that takes 1 s' },
    { id: 'fan-10000', name: '10,000 children, 1,000 at work, a model that takes 1 s' },
  ].flatMap(({ id, name }) => [
    figure(`${id}-time`, `${name}: all results back`, 's', '–', ['–', '–']),
    figure(`${id}-memory`, `${name}: peak resident memory`, 'MB', '–', ['–', '–']),
    figure(`${id}-lost`, `${name}: results lost, calls made twice`, '', '0', ['–', '–']),
    figure(`${id}-p50`, `${name}: health, p50`, 'ms', '–', ['–', '–']),
    figure(`${id}-p99`, `${name}: health, p99`, 'ms', '< 50', ['–', '–']),
  ]),
  figure('chain-5', 'a chain of five levels: first spawn → result at the top', 'ms', '–', ['–', '–']),
  figure('wait-memory', 'a parent that waits, with its child: resident memory each', 'kB', '–', ['–', '–']),
  figure('wait-cpu', '500 parents that wait: processor time in a second', 'ms', '–', ['–', '–']),
  figure('idle-sessions-memory', '10,000 silent conversations: resident memory each', 'kB', '< 100', ['–', '–']),
  figure('idle-sessions-start', '10,000 silent conversations: start to first hello', 's', '< 0.3', ['–', '–']),
  figure('idle-sessions-calls', '10,000 silent conversations: model calls', '', 'none', ['–', '–']),
  figure('whatsapp-in', 'WhatsApp: a message has left the service → model request', 'ms', '–', ['–', '–']),
  figure('whatsapp-out', 'WhatsApp: the model has answered → the answer is at the service', 'ms', '–', ['–', '–']),
  figure('whatsapp-100', 'WhatsApp: 100 chats at once, asked and answered', 's', '–', ['–', '–']),
  ...[
    { id: 'telegram', name: 'Telegram' },
    { id: 'slack', name: 'Slack' },
    { id: 'discord', name: 'Discord' },
  ].flatMap(({ id, name }) => [
    figure(`${id}-in`, `${name}: the service has a message → model request`, 'ms', '–', ['–', '–']),
    figure(`${id}-out`, `${name}: the model has answered → the answer is at the service`, 'ms', '–', ['–', '–']),
    figure(`${id}-100`, `${name}: 100 chats at once, asked and answered`, 's', '–', ['–', '–']),
  ]),
]
