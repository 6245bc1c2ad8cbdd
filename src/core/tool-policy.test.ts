import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type ToolPolicy, toolsOf, toolsOfSubagent } from './tool-policy.ts'

const catalogue = [
  { name: 'read', group: 'fs' },
  { name: 'write', group: 'fs' },
  { name: 'exec', group: 'runtime' },
  { name: 'agents_list', group: 'agents' },
  { name: 'sessions_spawn', group: 'sessions' },
  { name: 'sessions_send', group: 'sessions' },
  { name: 'session_status', group: 'sessions' },
  { name: 'subagents', group: 'sessions' },
  { name: 'message', group: 'messaging' },
  { name: 'linear__search', group: 'mcp' },
]
const all = catalogue.map(tool => tool.name)

describe('the tools that policies leave', () => {
  const cases: [string, ToolPolicy[], string[]][] = [
    ['no policy leaves everything', [{}], all],
    ['an empty allow restricts nothing', [{ allow: [] }], all],
    ['deny * leaves nothing', [{ deny: ['*'] }], []],
    ['a name', [{ allow: ['read'] }], ['read']],
    ['case and blanks do not matter', [{ allow: [' READ '] }], ['read']],
    ['a glob', [{ allow: ['session*_s*'] }], ['sessions_spawn', 'sessions_send', 'session_status']],
    ['a glob at both ends', [{ allow: ['*e*d*'] }], ['read', 'sessions_send']],
    ['pieces of a glob do not overlap', [{ allow: ['read*read'] }], []],
    ['a group', [{ allow: ['group:fs'] }], ['read', 'write']],
    ['all built-ins', [{ deny: ['group:openclaw'] }], ['linear__search']],
    ['deny wins over allow', [{ allow: ['group:fs'], deny: ['write'] }], ['read']],
    ['what fits nothing adds nothing', [{ allow: ['reed', 'group:nope'] }], []],
    ['a profile', [{ profile: 'minimal' }], ['session_status']],
    ['alsoAllow adds to a profile', [{ profile: 'minimal', alsoAllow: ['exec'] }], ['exec', 'session_status']],
    ['deny wins over alsoAllow', [{ profile: 'minimal', alsoAllow: ['exec'], deny: ['exec'] }], ['session_status']],
    [
      'the coding profile can delegate',
      [{ profile: 'coding' }],
      all.filter(n => n !== 'message' && n !== 'linear__search'),
    ],
    ["the agent's profile wins", [{ profile: 'minimal' }, { profile: 'full', allow: ['exec'] }], ['exec']],
    ['every allow list must agree', [{ allow: ['read', 'write'] }, { allow: ['write', 'exec'] }], ['write']],
    ['every deny list counts', [{ deny: ['exec'] }, { allow: ['exec', 'read'] }], ['read']],
    ["a global alsoAllow does not open the agent's allow", [{ alsoAllow: ['exec'] }, { allow: ['read'] }], ['read']],
  ]
  test.each(cases)('%s', (_, layers, expected) => {
    expect(toolsOf(layers, catalogue)).toEqual(expected)
  })

  test('another layer never adds a tool, except by its profile or alsoAllow', () => {
    const pattern = fc.constantFrom('*', 'group:fs', 'group:sessions', 's*', 'exec', 'nothing', ...all)
    const patterns = fc.option(fc.array(pattern, { maxLength: 3 }), { nil: undefined })
    const layer = fc.record({ allow: patterns, deny: patterns }, { requiredKeys: [] }) as fc.Arbitrary<ToolPolicy>
    fc.assert(
      fc.property(layer, layer, (one, other) => {
        const wide = toolsOf([one], catalogue)
        expect(wide).toEqual(expect.arrayContaining(toolsOf([one, other], catalogue)))
      }),
    )
  })
})

describe('the tools of a sub-agent', () => {
  test('some are withheld from every sub-agent, more from one that may not spawn', () => {
    const orchestrator = ['read', 'write', 'exec', 'sessions_spawn', 'subagents', 'linear__search']
    expect(toolsOfSubagent({}, catalogue, false)).toEqual(orchestrator)
    expect(toolsOfSubagent({}, catalogue, true)).toEqual(['read', 'write', 'exec', 'linear__search'])
  })

  test('alsoAllow gives back, allow gives back and restricts, deny wins', () => {
    expect(toolsOfSubagent({ alsoAllow: ['message'] }, catalogue, true)).toContain('message')
    expect(toolsOfSubagent({ alsoAllow: ['message'] }, catalogue, true)).toContain('read')
    expect(toolsOfSubagent({ allow: ['message', 'read'] }, catalogue, true)).toEqual(['read', 'message'])
    expect(toolsOfSubagent({ allow: ['message'], alsoAllow: ['exec'], deny: ['message'] }, catalogue, true)).toEqual([
      'exec',
    ])
  })
})
