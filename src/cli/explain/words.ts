/**
 * What the codes mean at length, in the words of somebody who has just met one. Beside the table of protocol/errors.ts, which
 * has a sentence for each: here stand those about which more is to be said.
 *
 * Owns the words. Nothing here depends on the state of a gateway; evidence.ts has that.
 */
import type { ErrorCode } from '../../protocol/errors.ts'

export const stories: Partial<Record<ErrorCode, string>> = {
  PAIRING_REQUIRED:
    'A program connected to the gateway as a device, with a key of its own, and nobody has approved that device for what it asked. The gateway told it so and closed this one connection; 1008 is WebSocket for "policy". The device leaves a request behind, which whoever owns this gateway can approve. A device that was approved for less is not closed: it works with what it holds, and only the calls that need more are refused.',
  MISSING_SCOPE:
    'Whoever made the call is known and let in, and does not hold the scope that this call needs. Scopes are what a device was approved for; operator.write is needed to send messages and to spawn, operator.pairing to approve devices, operator.admin for the configuration.',
  DEVICE_IDENTITY_REQUIRED:
    'The connection came from another machine, or through a proxy, with nothing but the shared secret, or with nothing at all. From elsewhere an approved device is asked for besides, so that a secret that leaked is not enough. On this machine, directly, the secret alone suffices, and the commands here need neither.',
  AUTH_TOKEN_MISMATCH:
    'The client sent a gateway token, and it is not the one that this gateway has. Usually it is one of before: the configuration was made anew, or the client speaks to another gateway than it is meant for.',
  AUTH_TOKEN_MISSING: 'The client connected without the gateway token, and without a device that was approved.',
  AUTH_PASSWORD_MISMATCH: 'The client sent a password, and it is not the one that this gateway has.',
  AUTH_DEVICE_TOKEN_MISMATCH:
    'The device showed a token that does not count any more: it was revoked, removed, narrowed or rotated, or it belongs to another gateway. Nothing else is wrong with the device; with the gateway token, or after a new approval, it gets a new one.',
  AUTH_REQUIRED:
    'The client showed nothing by which the gateway could know it: no token, no password, no signed device.',
  AUTH_RATE_LIMITED:
    'So many attempts failed from this address that the gateway does not look at further ones for a while. Others are not affected, and the commands on this host never are.',
  UNKNOWN_REQUEST:
    'No pairing request has that id. Requests live for five minutes after the device last asked; a device that asks for more gets a new id, and the old one is closed.',
  REQUEST_CLOSED:
    'The request was decided about, ran out, or was replaced when its device asked for something else. A closed request never opens again: what is approved is exactly what was shown.',
  SPAWN_AGENT_NOT_ALLOWED:
    'An agent asked for a sub-agent of a kind that it may not spawn. Without a list an agent may spawn its own kind only; the list is subagents.allowAgents of the agent that asks, not of the one that is asked for.',
  UNKNOWN_AGENT:
    'No agent of that name is configured. Names in allowAgents do not make agents; an entry under agents.entries does, an empty one suffices.',
  SPAWN_DEPTH:
    'A sub-agent asked for one of its own, and the levels are used up. Each level has one less than the one above it; maxSpawnDepth counts from the agent that people talk to.',
  SPAWN_CHILDREN:
    'The conversation has as many sub-agents at work as one may have at once. That is refused and not queued, so that a model that spawns in a loop is told.',
  SPAWN_AGENT_REQUIRED: 'This agent must say which agent it wants (requireAgentId), and it did not.',
  SPAWN_MODEL: 'The sub-agent would use a model that does not exist here or whose provider has no key.',
  MODEL_NO_KEY:
    'The model belongs to a provider for which no key was found: not in the auth-profiles.json of the agent or of the default agent, not in the configuration, not in the environment. A service does not see the variables of your shell.',
  HOME_LOCKED:
    'One process at a time works on a state directory, and another one does. Commands talk to it by themselves; only a second gateway, or a command that must have the home for itself, is refused.',
  PORT_IN_USE:
    'The gateway could not open its port, because another program has it. OpenClaw has the same default port. Nothing was changed.',
  GATEWAY_UNREACHABLE: 'The command asked the gateway of this home over its unix socket, and nobody answered.',
  SANDBOX_MISSING:
    "Agents' commands run in a sandbox that shows them their workspace and nothing else of yours. The program that makes it, bubblewrap, is not installed, so commands are refused. Everything else works.",
  SANDBOX_FAILED:
    'bubblewrap is there, and the kernel does not let it make a user namespace: a container, or a system that restricts them (Ubuntu 24.04 does by default). Commands are refused; everything else works.',
  RUN_CRASHED:
    'The gateway ended in the middle of the same step of this run several times. Rather than to repeat it for ever, the run was ended; its transcript and what it had done are kept.',
  TOOL_UNKNOWN_RESULT:
    'The gateway stopped while a tool was at work that must not be done twice. Whether it took effect cannot be known from here, and the model was told so.',
  RUN_LOOP:
    'The run made the same call again and again and got the same each time. It had been told so before it was ended.',
  SPAWN_FAILING:
    'A sub-agent was to do what had just failed several times in a row. It is refused until some time has passed.',
  SPAWN_RATE: 'A conversation started sub-agents faster than it may. It is refused until a minute has passed.',
  SPAWN_THREAD:
    'An agent wanted a thread of the chat for a sub-agent, and there is none to be had: the conversation is in no chat, its service has no threads, or chats of that kind have none. The sub-agent was not started.',
  SPAWN_THREADS_OFF:
    'An agent wanted a thread of the chat for a sub-agent, which the configuration does not allow there. The sub-agent was not started.',
  RUN_CAP:
    'What many runs may spend together is used up: in a day, by an agent, a conversation or a sender. The message names the key.',
  RUN_BUDGET: 'The run used up what it was given. What it had done is kept and was reported.',
  ORIGIN_NOT_ALLOWED:
    'A web page tried to connect that is neither the gateway’s own nor on its list. This keeps pages that you happen to open from talking to your gateway.',
  SERVICE_UNAVAILABLE:
    'A service of your own user needs systemd and its user manager, which starts with a login of that user, or by itself once lingering is on.',
}
