/**
 * WhatsApp as the stories of chats use it: five people who are let in, and how the service misbehaves. There are no buttons:
 * leave is given in words, which stand behind each question.
 *
 * Owns what people do and see there, by name. What the story is: test/support/chat-story.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Stage } from '../chat-story.ts'
import { numbers } from './bench.ts'
import type { FakeWhatsApp } from './server.ts'
import { link, trusting } from './world.ts'

export function stageOf(service: FakeWhatsApp, streaming: boolean): Stage {
  service.trust()
  const owner = service.person('Olga', numbers.owner)
  const names = ['Ann', 'Bob', 'Cem', 'Dora', 'Eve']
  const phones = names.map((_, i) => `+491520000010${i}`)
  const people = names.map((name, i) => service.person(name, phones[i]!))
  const stranger = service.person('Mallory', '+4915200000199')
  const of = (name: string) => people[names.indexOf(name)]!
  const numberOf = (name: string) => phones[names.indexOf(name)]!
  /** What the service is told gets lost, and then the line: it brings the message again. */
  const lose = async (tags: string[], how: 'cut after' | 'swallow', next: () => number): Promise<void> => {
    service.judge = said => (tags.includes(said.tag) ? how : 'pass')
    await sleep(next() * 200)
    service.judge = () => 'pass'
    service.cut(owner)
  }
  return {
    channels: {
      whatsapp: { dmPolicy: 'allowlist', allowFrom: phones, streaming: { mode: streaming ? 'partial' : 'off' } },
    },
    env: trusting(service),
    link: home => link(service, owner, home),
    key: name => `agent:main:whatsapp:direct:${numberOf(name)}`,
    owner: name => `whatsapp:${numberOf(name)}`,
    sender: name => `sender:whatsapp:default:${numberOf(name)}`,
    people: names,
    write: (from, text) => of(from).phone.say(owner.jid, text),
    seen: from => of(from).texts,
    asked: name =>
      of(name).texts.flatMap(text => {
        const values = [...text.matchAll(/^\/approve [0-9a-f]{8} \S+$/gm)].map(([value]) => value)
        const id = values[0]?.split(' ')[1] ?? ''
        const told = of(name).texts.some(each => each.includes(`pproval ${id} (`))
        return values.length === 0 || told ? [] : [{ id, text, values }]
      }),
    press: (by, _question, value) => void (by === null ? stranger : of(by)).phone.say(owner.jid, value),
    waiting: () => service.waiting(owner).length,
    faulted: () => service.post.faults,
    faults: {
      cut: () => service.cut(owner),
      async down(next) {
        await service.down()
        await sleep(next() * 300)
        await service.up()
      },
      again: (_next, id) => service.again(owner, id),
      'lose receipts': next => lose(['receipt', 'ack'], 'swallow', next),
      'lose answer': next => lose(['message'], 'cut after', next),
      async freeze(next) {
        const thaw = service.freeze(owner)
        await sleep(next() * 400)
        thaw()
      },
    },
  }
}
