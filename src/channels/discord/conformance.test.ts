/** The contract of channel.ts, against a Discord on loopback. */
import { openDiscordBench } from '../../../test/support/discord/bench.ts'
import { channelConformance } from '../conformance.ts'

channelConformance('discord', () => openDiscordBench())
