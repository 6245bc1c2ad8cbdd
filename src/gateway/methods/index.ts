/**
 * The handlers, one a row of protocol/methods.ts: the type refuses a missing one. Owns the list only.
 */
import type { Handlers } from '../dispatch.ts'
import { agent, agentWait } from './agent.ts'
import { approvalHandlers } from './approvals.ts'
import { agentIdentity, agentsList, commandsList, modelsList, toolsCatalog, toolsEffective } from './catalogues.ts'
import { channelHandlers } from './channels.ts'
import { chatAbort, chatHistory, chatInject, chatMessageGet, chatSend } from './chat.ts'
import { configApply, configGet, configPatch, configSchemaAll, configSchemaLookup } from './config.ts'
import { deviceHandlers } from './devices.ts'
import { messageAction, outboxList, outboxRetry, poll, send } from './outbox.ts'
import type { Room } from './room.ts'
import { runsFork, runsRetry, runsSteer } from './runs-again.ts'
import { runsCancel, runsGet, runsList, runsLog, runsPause, runsResume, runsSpawn, runsTree } from './runs.ts'
import * as change from './session-changes.ts'
import { sessionsDescribe, sessionsGet, sessionsList, sessionsPreview, sessionsResolve } from './sessions.ts'
import { logsTail, secretsReload } from './system.ts'
import { tasksCancel, tasksGet, tasksList } from './tasks.ts'
import { sessionsUsage, usageCost } from './usage.ts'

export function makeHandlers(room: Room): Handlers {
  return {
    health: () => room.desk.health(),
    status: () => room.desk.status(room.fanout.connections.size),
    'system-presence': () => room.presence.list(),
    'gateway.identity.get': () => room.rooms.identity,
    // Nothing beats here yet, so nothing was the last.
    'last-heartbeat': () => null,
    'secrets.reload': () => secretsReload(room),
    'logs.tail': (params, call) => logsTail(room, params, call),
    'agents.list': () => agentsList(room),
    'agent.identity.get': params => agentIdentity(room, params),
    'models.list': params => modelsList(room, params),
    'tools.catalog': params => toolsCatalog(room, params),
    'tools.effective': params => toolsEffective(room, params),
    'commands.list': () => commandsList(),
    'node.list': () => ({ ts: room.now(), nodes: [] }),
    'question.list': () => ({ questions: [] }),
    // Quotas that a provider tells of; none is asked.
    'usage.status': () => ({ updatedAt: room.now(), providers: [] }),
    'usage.cost': params => usageCost(room, params),
    'sessions.usage': params => sessionsUsage(room, params),
    send: (params, call) => send(room, params, call),
    'message.action': (params, call) => messageAction(room, params, call),
    poll: (params, call) => poll(room, params, call),
    'outbox.list': params => outboxList(room, params),
    'outbox.retry': params => outboxRetry(room, params),
    'tasks.list': (params, call) => tasksList(room, params, call),
    'tasks.get': params => tasksGet(room, params),
    'tasks.cancel': (params, call) => tasksCancel(room, params, call),
    agent: (params, call) => agent(room, params, call),
    'agent.wait': (params, call) => agentWait(room, params, call),
    'chat.send': (params, call) => chatSend(room, params, call),
    'chat.history': params => chatHistory(room, params),
    'chat.startup': params => chatHistory(room, params),
    'chat.message.get': params => chatMessageGet(room, params),
    'chat.inject': (params, call) => chatInject(room, params, call),
    'chat.abort': (params, call) => chatAbort(room, params, call),
    'sessions.list': params => sessionsList(room, params),
    'sessions.describe': params => sessionsDescribe(room, params),
    'sessions.resolve': params => sessionsResolve(room, params),
    'sessions.preview': params => sessionsPreview(room, params),
    'sessions.get': params => sessionsGet(room, params),
    'sessions.create': (params, call) => change.sessionsCreate(room, params, call),
    'sessions.send': (params, call) => change.sessionsSend(room, params, call),
    'sessions.steer': (params, call) => change.sessionsSend(room, params, call, 'interrupt'),
    'sessions.abort': (params, call) => change.sessionsAbort(room, params, call),
    'sessions.patch': (params, call) => change.sessionsPatch(room, params, call),
    'sessions.reset': (params, call) => change.sessionsReset(room, params, call),
    'sessions.delete': (params, call) => change.sessionsDelete(room, params, call),
    'sessions.compact': (params, call) => change.sessionsCompact(room, params, call),
    'sessions.subscribe': (params, call) => change.sessionsSubscribe(room, params, call),
    'sessions.unsubscribe': (_, call) => change.sessionsUnsubscribe(call),
    'sessions.messages.subscribe': (params, call) => change.messagesSubscribe(room, params, call),
    'sessions.messages.unsubscribe': (params, call) => change.messagesUnsubscribe(room, params, call),
    'config.get': () => configGet(room),
    'config.set': params => configApply(room, params),
    'config.patch': params => configPatch(room, params),
    'config.apply': params => configApply(room, params),
    'config.schema': () => configSchemaAll(room),
    'config.schema.lookup': params => configSchemaLookup(params),
    'runs.list': params => runsList(room, params),
    'runs.get': params => runsGet(room, params),
    'runs.tree': params => runsTree(room, params),
    'runs.log': params => runsLog(room, params),
    'runs.cancel': (params, call) => runsCancel(room, params, call),
    'runs.pause': (params, call) => runsPause(room, params, call),
    'runs.resume': (params, call) => runsResume(room, params, call),
    'runs.steer': (params, call) => runsSteer(room, params, call),
    'runs.retry': (params, call) => runsRetry(room, params, call),
    'runs.fork': (params, call) => runsFork(room, params, call),
    'runs.spawn': (params, call) => runsSpawn(room, params, call),
    ...deviceHandlers(room),
    ...channelHandlers(room),
    ...approvalHandlers(room),
  }
}
