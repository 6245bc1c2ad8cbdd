/** The contract of channel.ts, against a Bot API on loopback: by long polling, and by a webhook. */
import { openTelegramBench } from '../../../test/support/telegram/bench.ts'
import { channelConformance } from '../conformance.ts'

channelConformance('telegram, by long polling', () => openTelegramBench())
