/**
 * The whole story over Discord, while the gateway is killed and the service drops, refuses, answers late or not at all, at
 * random moments. The service knows what was sent by its nonce, so that nobody reads anything twice.
 *
 * Seeds, and how to play them again: test/support/chat-crashes.ts.
 */
import { chatCrashes } from '../support/chat-crashes.ts'
import { openDiscord } from '../support/discord/service.ts'
import { stageOf } from '../support/discord/stage.ts'

chatCrashes({ open: () => openDiscord(), stage: stageOf, tellsRepeats: true })
