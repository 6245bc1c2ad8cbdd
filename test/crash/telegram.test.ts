/**
 * The whole story over Telegram, while the gateway is killed and the service drops, refuses, answers late or not at all, at
 * random moments. The service can neither recognise nor look up what was sent: what may be a repeat says so.
 *
 * Seeds, and how to play them again: test/support/chat-crashes.ts.
 */
import { chatCrashes } from '../support/chat-crashes.ts'
import { openTelegram } from '../support/telegram/service.ts'
import { stageOf } from '../support/telegram/stage.ts'

chatCrashes({ open: () => openTelegram(), stage: stageOf, tellsRepeats: false })
