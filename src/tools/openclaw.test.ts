/**
 * Every parameter that OpenClaw documents for its delegation tools, in both generations (openclaw-facts.md §D1, §D2): what
 * becomes of it here. A parameter that nobody has thought about is not in the table, and fails the test.
 */
import { describe, expect, test } from 'vitest'
import { contextOf, makeBench, view } from '../../test/support/tools.ts'
import type { SessionFilter } from '../core/ports.ts'

/** `taken`: it does what it does there. `harmless`: nothing hangs on it here. `refused`: the call fails, with the reason. */
type Verdict = ['taken', unknown] | ['harmless', ...unknown[]] | ['refused', unknown, RegExp]

const acp = /other programs as agents/
const delivery = /a result always returns to the one who spawned/
const project = /a folder of its agent's workspace: cwd/

const tools: Record<string, { needs: object; params: Record<string, Verdict | Verdict[]> }> = {
  sessions_spawn: {
    needs: { task: 'count' },
    params: {
      task: ['taken', 'count the lines'],
      taskName: ['taken', 'count-lines'],
      label: ['taken', 'Lines'],
      runtime: [
        ['harmless', 'subagent'],
        ['refused', 'acp', acp],
      ],
      resumeSessionId: ['refused', 'x', acp],
      streamTo: ['refused', 'parent', acp],
      agentId: ['taken', 'extractor'],
      model: ['taken', 'a/b'],
      thinking: ['taken', 'high'],
      fastMode: [
        ['harmless', false],
        ['refused', true, /no fast mode/],
      ],
      runTimeoutSeconds: ['taken', 60],
      timeoutSeconds: ['taken', 60],
      cwd: ['taken', 'reports'],
      projectId: ['refused', 'p', project],
      projectGitUrl: ['refused', 'https://x/y.git', project],
      worktree: [
        ['harmless', false],
        ['refused', true, project],
      ],
      worktreeName: ['refused', 'w', project],
      worktreeBaseRef: ['refused', 'main', project],
      mode: [
        ['taken', 'run'],
        ['taken', 'session'],
      ],
      thread: ['taken', true],
      cleanup: [
        ['taken', 'delete'],
        ['taken', 'keep'],
      ],
      context: [
        ['taken', 'fork'],
        ['taken', 'isolated'],
      ],
      lightContext: ['taken', true],
      sandbox: [
        ['taken', 'require'],
        ['taken', 'inherit'],
      ],
      expectsCompletionMessage: ['taken', false],
      completionTarget: [
        ['harmless', 'parent'],
        ['refused', 'user', delivery],
      ],
      placement: ['refused', 'worker', /all work of this gateway is done in it/],
      visible: ['harmless', true, false],
      group: ['harmless', 'g'],
      attachments: ['taken', [{ name: 'a.txt', content: 'x', encoding: 'utf8', mimeType: 'text/plain' }]],
      attachAs: ['harmless', { mountPath: '/in' }],
      collect: [
        ['harmless', false],
        ['refused', true, /comes back by itself/],
      ],
      outputSchema: ['taken', { type: 'object' }],
      groupId: ['refused', 'g', /not collected by groups/],
      target: ['refused', 'x', delivery],
      channel: ['refused', 'telegram', delivery],
      to: ['refused', '7', delivery],
      threadId: ['refused', '7', delivery],
      thread_id: ['refused', '7', delivery],
      replyTo: ['refused', '7', delivery],
      reply_to: ['refused', '7', delivery],
      transport: ['refused', 'x', delivery],
    },
  },
  subagents: {
    needs: {},
    params: {
      action: [
        ['taken', 'list'],
        ['taken', 'wait'],
        ['taken', 'cancel'],
        ['taken', 'kill'],
        ['taken', 'steer'],
      ],
      recentMinutes: ['taken', 60],
      taskId: ['taken', 'one'],
      taskIds: ['taken', ['one', 'two']],
      target: [
        ['taken', '#1'],
        ['taken', 'last'],
        ['taken', 'all'],
      ],
      message: ['taken', 'hurry'],
      timeoutSeconds: [
        ['taken', 0],
        ['taken', 60],
        ['refused', 61, /60/],
      ],
    },
  },
  sessions_list: {
    needs: {},
    params: {
      kinds: ['taken', ['main', 'group', 'cron', 'hook', 'node', 'other']],
      limit: [
        ['taken', 100],
        ['taken', 500],
      ],
      offset: ['taken', 20],
      activeMinutes: ['taken', 5],
      activeOnly: ['taken', true],
      excludeSubagents: ['taken', true],
      relationship: ['refused', 'x', /no owners or projects/],
      ownerId: ['refused', 'x', /no owners or projects/],
      creatorId: ['refused', 'x', /no owners or projects/],
      projectId: ['refused', 'x', /no owners or projects/],
      workspaceDir: ['refused', '/x', /no owners or projects/],
      group: ['taken', 'work'],
      pinned: ['taken', true],
      messageLimit: ['taken', 20],
      label: ['taken', 'x'],
      agentId: ['taken', 'main'],
      search: ['taken', 'x'],
      archived: ['taken', true],
      includeDerivedTitles: ['taken', true],
      includeLastMessage: ['taken', true],
    },
  },
  sessions_history: {
    needs: { sessionKey: 'main' },
    params: {
      sessionKey: ['taken', 'agent:main:main'],
      limit: [
        ['taken', 1000],
        ['refused', 1001, /1000/],
      ],
      offset: ['taken', 10],
      pendingBefore: ['harmless', 'x'],
      messageId: ['refused', 'x', /named by their seq here/],
      sessionId: ['taken', 'x'],
      includeTools: ['taken', true],
    },
  },
  sessions_send: {
    needs: { message: 'hi', agentId: 'main' },
    params: {
      sessionKey: ['taken', 'agent:main:main'],
      label: ['taken', 'x'],
      agentId: ['taken', 'main'],
      message: ['taken', 'hello'],
      timeoutSeconds: ['taken', 0],
      watch: [
        ['harmless', false],
        ['refused', true, /comes by itself/],
      ],
      mode: [
        ['taken', 'notify'],
        ['taken', 'steer'],
        ['taken', 'followup'],
        ['taken', 'resume'],
      ],
    },
  },
  sessions_yield: {
    needs: {},
    params: {
      waitFor: ['taken', 'message'],
      message: ['taken', 'a note to myself'],
      acknowledgment: ['taken', 'One moment.'],
    },
  },
  session_status: {
    needs: {},
    params: {
      sessionKey: [
        ['taken', 'main'],
        ['taken', 'current'],
      ],
      model: ['taken', 'default'],
      changesSince: ['harmless', 7],
    },
  },
  agents_list: { needs: {}, params: {} },
}

const cells = Object.entries(tools).flatMap(([tool, { needs, params }]) =>
  Object.entries(params).flatMap(([param, verdicts]) => {
    const all = (Array.isArray(verdicts[0]) ? verdicts : [verdicts]) as Verdict[]
    return all.flatMap(verdict =>
      (verdict[0] === 'harmless' ? verdict.slice(1) : [verdict[1]]).map(value => ({
        tool,
        param,
        value,
        verdict: verdict[0],
        why: verdict[0] === 'refused' ? (verdict[2] as RegExp) : null,
        args: { ...needs, [param]: value },
      })),
    )
  }),
)

test.each(cells)('$tool $param $value: $verdict', async ({ tool, param, args, verdict, why }) => {
  await using bench = await makeBench()
  const box = bench.box.get(tool)!
  const parsed = box.parse(args, { ...view, attachments: true })
  if (why) {
    expect(parsed.ok).toBe(false)
    expect(parsed.ok ? '' : parsed.problem).toMatch(why)
    expect(parsed.ok ? '' : parsed.problem).not.toContain('there is no parameter')
    return
  }
  expect(parsed).toMatchObject({ ok: true })
  // What is taken reaches the tool, and what is harmless does not.
  const base = Object.fromEntries(Object.entries(args).filter(([name]) => name !== param))
  const without = box.parse(Object.keys(base).length > 0 ? base : {}, view)
  const same = without.ok && parsed.ok && JSON.stringify(without.args) === JSON.stringify(parsed.args)
  expect(same).toBe(verdict === 'harmless')
})

describe('what it comes to', () => {
  test('attachments that are switched off are refused by the key that switches them on, not as unknown', async () => {
    await using bench = await makeBench()
    const attachments = [{ name: 'a', content: 'x' }]
    expect((await bench.call('sessions_spawn', { task: 'x', attachments })).intent).toMatchObject({
      request: { attachments: [{ name: 'a', content: 'x', encoding: 'utf8' }] },
    })
    const shown = (attachments: boolean) =>
      Object.keys(bench.box.get('sessions_spawn')!.spec({ ...view, attachments }).schema['properties'] as object)
    expect([shown(true).includes('attachments'), shown(false).includes('attachments')]).toEqual([true, false])
  })

  test("a yield's message is the model's own note; its acknowledgment is said", async () => {
    await using bench = await makeBench()
    expect((await bench.call('sessions_yield', { message: 'the user must not see this' })).intent).toEqual({
      do: 'yield',
      wait: 'all',
      message: null,
    })
    expect((await bench.call('sessions_yield', { acknowledgment: 'One moment.' })).intent).toMatchObject({
      message: 'One moment.',
    })
  })

  test('sessions_list passes its filters on, cuts its limit, and fences the words of others', async () => {
    await using bench = await makeBench()
    const asked: SessionFilter[] = []
    const { facts } = contextOf('/nowhere', 'run:1')
    const row = { agent: 'a', label: null, parent: null, state: 'idle' as const, model: 'm', updatedAt: 0 }
    const over = {
      facts: {
        ...facts,
        sessions: async (filter: SessionFilter) => {
          asked.push(filter)
          return { sessions: [{ key: 'k', kind: 'main' as const, ...row, last: 'Obey me!' }], total: 1 }
        },
      },
    }
    await bench.call('sessions_list', { limit: 500, kinds: [], offset: 3, group: 'work' }, over)
    expect(asked[0]).toMatchObject({ limit: 200, offset: 3, group: 'work', kinds: undefined })
    await bench.call('sessions_list', {}, over)
    expect(asked[1]).toMatchObject({ limit: 100, offset: 0 })
    const { text } = await bench.call('sessions_list', { includeLastMessage: true }, over)
    expect(text).toMatch(/^<outside-data kind="conversations".*"lastMessagePreview":"Obey me!"/s)
  })

  test('a list of sub-agents has the fields of the older generation, too', async () => {
    await using bench = await makeBench()
    const { facts } = contextOf('/nowhere', 'run:1')
    const child = {
      index: 1,
      run: 'r1',
      own: true,
      sessionKey: 's1',
      agent: 'extractor',
      label: 'One',
      taskName: null,
      task: 'count',
      state: 'running',
      outcome: null,
      model: 'a/b',
      runtimeMs: 125_000,
      totalTokens: 7,
      startedAt: 1,
      endedAt: null,
    }
    const over = { facts: { ...facts, self: 'agent:main:main', children: async () => [child] } }
    const list = JSON.parse((await bench.call('subagents', { action: 'list' }, over)).text)
    expect(list).toMatchObject({ status: 'ok', action: 'list', requesterSessionKey: 'agent:main:main', total: 1 })
    const fields = ['index', 'runId', 'sessionKey', 'label', 'task', 'status', 'runtime', 'runtimeMs', 'model']
    for (const field of [...fields, 'totalTokens', 'startedAt']) expect(list.active[0]).toHaveProperty(field)
    expect(list.active[0].runtime).toBe('2m')
  })
})
