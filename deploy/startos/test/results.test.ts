import assert from 'node:assert/strict'
import { test } from 'node:test'
import { diagnosis, inWords, schedulerHealth } from '../startos/results'

const ended = (exitCode: number | null, stdout = '', stderr = '') => ({ exitCode, stdout, stderr, minutes: 30 })
const report = JSON.stringify({
  assets: {
    'crm/records': { added: 12, changed: 1, removed: 0, parked: 2 },
    'crm/chunks': { added: 0, changed: 0, removed: 0, parked: 0 },
  },
  checks: {
    'crm/collection/complete': { passed: true, description: 'all' },
    'crm/records/readable': { passed: false, description: '3 times could not be read' },
  },
})

test('a run that ended well says what moved', () => {
  const said = inWords(ended(0, report))
  assert.ok(said.ok)
  assert.match(said.message, /^The search index is complete\./)
  assert.match(said.message, /crm\/records: 12 added, 1 changed, 2 parked/)
  assert.match(said.message, /crm\/chunks: nothing changed/)
  assert.match(said.message, /readable: 3 times could not be read/)
  assert.doesNotMatch(said.message, /complete: all/)
})

test('refused items are told, and are no failure', () => {
  assert.ok(inWords(ended(3, report)).ok)
  assert.match(inWords(ended(3, report)).message, /but for some items/)
})

test('a failure says why, in the words of the command', () => {
  for (const [status, words] of [[1, /It failed/], [2, /did not begin/]] as const) {
    const said = inWords(ended(status, '', 'Traceback\ningest: CRM_DB_PATH is not set.\n'))
    assert.ok(!said.ok)
    assert.match(said.message, words)
    assert.match(said.message, /CRM_DB_PATH is not set/)
    assert.doesNotMatch(said.message, /Traceback/)
  }
})

test('a run that took too long was stopped, and says so', () => {
  const said = inWords(ended(null, '{"assets": '))
  assert.ok(!said.ok)
  assert.match(said.message, /stopped after 30 minutes/)
})

test('what doctor finds', () => {
  const finding = (name: string, state: string, message = name) => ({ name, state, message })
  const of = (...findings: object[]) => diagnosis(JSON.stringify({ findings }))
  assert.equal(of(finding('source crm', 'ok'), finding('store', 'ok')).result, 'success')
  assert.deepEqual(of(finding('store', 'wrong', 'refused'), finding('source crm', 'ok')), {
    result: 'failure',
    message: 'store: refused',
  })
  assert.deepEqual(of(finding('source crm', 'not configured', 'CRM_DB_PATH is not set.')), {
    result: 'disabled',
    message: 'CRM_DB_PATH is not set.',
  })
  // Another source that nobody uses is nothing to report.
  assert.equal(of(finding('source spool', 'not configured'), finding('source crm', 'ok')).result, 'success')
  assert.equal(diagnosis('Killed').result, 'failure')
})

test('how the scheduler does', () => {
  const health = {
    status: 'ok',
    seconds_since_heartbeat: 3,
    refreshed: { crm: '2026-01-01T00:00:00+00:00', papers: null },
    ticks: {
      crm_refresh_schedule: { at: '', outcome: 'skipped', reason: 'SKIPPED: CRM_DB_PATH is not set.' },
      indexing_jobs_sensor: { at: '', outcome: 'skipped', reason: 'SKIPPED: no indexing job is waiting.' },
    },
  }
  const said = schedulerHealth(health)
  assert.equal(said.result, 'success')
  assert.match(said.message, /crm: last refreshed 2026-01-01/)
  assert.match(said.message, /papers: not refreshed yet/)
  assert.match(said.message, /CRM_DB_PATH is not set/)
  assert.doesNotMatch(said.message, /no indexing job/)
  assert.equal(schedulerHealth({ ...health, status: 'silent', seconds_since_heartbeat: 400 }).result, 'failure')
  assert.equal(schedulerHealth({ ...health, status: 'starting' }).result, 'starting')
})
