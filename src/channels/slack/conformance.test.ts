/** The contract of channel.ts, against a Slack on loopback. */
import { openSlackBench } from '../../../test/support/slack/bench.ts'
import { channelConformance } from '../conformance.ts'

channelConformance('slack', () => openSlackBench())
