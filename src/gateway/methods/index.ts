/**
 * The handlers, one a row of protocol/methods.ts: the type refuses a missing one. Owns the list only.
 */
import type { Handlers } from '../dispatch.ts'
import { agent, agentWait } from './agent.ts'
import { chatAbort, chatHistory, chatSend } from './chat.ts'
import { deviceHandlers } from './devices.ts'
import type { Room } from './room.ts'
import { runsCancel, runsGet, runsList, runsLog, runsSpawn, runsTree } from './runs.ts'
import { sessionsList } from './sessions.ts'

export function makeHandlers(room: Room): Handlers {
  return {
    health: () => room.desk.health(),
    status: () => room.desk.status(room.fanout.connections.size),
    'agents.list': () => ({
      defaultId: room.facts.defaultAgent(),
      mainKey: 'main',
      scope: 'per-sender',
      agents: room.facts.agents(),
    }),
    agent: (params, call) => agent(room, params, call),
    'agent.wait': (params, call) => agentWait(room, params, call),
    'chat.send': (params, call) => chatSend(room, params, call),
    'chat.history': params => chatHistory(room, params),
    'chat.abort': (params, call) => chatAbort(room, params, call),
    'sessions.list': params => sessionsList(room, params),
    'runs.list': params => runsList(room, params),
    'runs.get': params => runsGet(room, params),
    'runs.tree': params => runsTree(room, params),
    'runs.log': params => runsLog(room, params),
    'runs.cancel': (params, call) => runsCancel(room, params, call),
    'runs.spawn': (params, call) => runsSpawn(room, params, call),
    ...deviceHandlers(room),
  }
}
