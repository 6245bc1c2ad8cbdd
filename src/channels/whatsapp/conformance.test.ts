/** The contract of every channel, held by WhatsApp against the fake of the service. */
import { openBench } from '../../../test/support/whatsapp/bench.ts'
import { channelConformance } from '../conformance.ts'

channelConformance('whatsapp', openBench)
