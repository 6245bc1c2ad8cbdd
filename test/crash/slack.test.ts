/**
 * The whole story over Slack, while the gateway is killed and the service drops, refuses, answers late or not at all, at
 * random moments. Leave is given by button: a press is brought once, and is made again when it did not work. What may have been sent is looked up in the channel's history, so that nobody reads anything twice.
 *
 * Seeds, and how to play them again: test/support/chat-crashes.ts.
 */
import { chatCrashes } from '../support/chat-crashes.ts'
import { openSlack } from '../support/slack/service.ts'
import { stageOf } from '../support/slack/stage.ts'

chatCrashes({ open: () => openSlack(), stage: stageOf, tellsRepeats: true, kept: [15] })
