import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readsCrmVolume, shown, toSettings, type Endpoints } from '../startos/endpoints'
import { asSettings, PLAIN, settingsFile } from '../startos/fileModels/settings'
import { withTokens } from '../startos/init'
import { carriedOver, parsed } from '../startos/versions/old_settings'

const GIVEN: Endpoints = {
  crm: '/crm/data/crm.db',
  spark: 'https://spark.local:8443',
  verifyTls: false,
  qdrant: 'http://qdrant.startos:6333',
  interval: 45,
}

/** As the file holds them, read again. */
const kept = (settings: object) =>
  asSettings(settingsFile.readData(settingsFile.writeData(settings as Record<string, string>)))

test('what a person sets is what the form shows next time', () => {
  assert.deepEqual(shown(asSettings(toSettings(GIVEN))), GIVEN)
  assert.deepEqual(shown(kept(toSettings(GIVEN))), GIVEN)
})

test('the defaults of a new installation', () => {
  assert.deepEqual(kept(asSettings(null)), asSettings(null))
  assert.deepEqual(shown(asSettings(null)), { crm: null, spark: null, verifyTls: true, qdrant: null, interval: 60 })
})

test('an endpoint that is cleared is no longer set', () => {
  const cleared = { ...asSettings(toSettings(GIVEN)), ...toSettings({ ...GIVEN, spark: '  ', qdrant: null }) }
  assert.equal(kept(cleared).SPARK_CONTROL_URL, '')
  assert.equal(kept(cleared).QDRANT_URL, '')
  assert.equal(cleared.CRM_DB_PATH, GIVEN.crm)
})

test('settings that are not in the form are kept', () => {
  const found = asSettings({ ...toSettings(GIVEN), INGEST_CHUNK_SIZE: '800' }) as Record<string, unknown>
  assert.equal(found.INGEST_CHUNK_SIZE, '800')
})

test('a value that would be read as something else is refused', () => {
  for (const value of ['/crm/a b.db', '/crm/#1.db', '"/crm/a.db"', '/crm/$HOME', 'a\nB=1', 'a=b']) {
    assert.doesNotMatch(value, new RegExp(PLAIN))
  }
  assert.match('/crm/daten/übersicht-2.db', new RegExp(PLAIN))
})

test('the volume of the CRM is mounted only for a database in it', () => {
  for (const [path, expected] of [['/crm/crm.db', true], ['/crmx/crm.db', false], ['/data/crm.db', false]] as const) {
    assert.equal(readsCrmVolume(asSettings({ CRM_DB_PATH: path })), expected)
  }
  assert.equal(readsCrmVolume(asSettings(null)), false)
})

test('tokens are made once', () => {
  let drawn = 0
  const draw = () => `token-${++drawn}`
  const first = withTokens(asSettings(null), draw)
  assert.deepEqual(withTokens(first, draw), first)
  assert.equal(drawn, 2)
  assert.match(first.INGEST_API_TOKENS, /^owner:token-\d:read\+ingest\+write$/)
})

test('settings of 0.1.0:44: the first copy that has one counts, and a false stays false', () => {
  const page = parsed('{"SPARK_CONTROL_URL": "https://a.local", "SPARK_CONTROL_VERIFY_TLS": false, "QDRANT_URL": ""}')
  const scheduler = parsed('# old\nexport QDRANT_URL="http://q:6333"\nSPARK_CONTROL_URL=https://b.local\n')
  const mcp = parsed("CRM_DB_PATH='/crm/crm.db'\nCRM_INGEST_SYNC_INTERVAL_MIN=0\nHOME=/root\n")
  assert.deepEqual(carriedOver([page, scheduler, mcp]), {
    CRM_DB_PATH: '/crm/crm.db',
    SPARK_CONTROL_URL: 'https://a.local',
    SPARK_CONTROL_VERIFY_TLS: 'false',
    QDRANT_URL: 'http://q:6333',
  })
  for (const spelt of [false, 'False', '0', 'no', 'OFF']) {
    assert.equal(carriedOver([{ spark_control_verify_tls: spelt }]).SPARK_CONTROL_VERIFY_TLS, 'false')
  }
  for (const spelt of [true, 'true', '1', 'yes']) {
    assert.equal(carriedOver([{ SPARK_CONTROL_VERIFY_TLS: spelt }]).SPARK_CONTROL_VERIFY_TLS, 'true')
  }
})

test('copies that are damaged or missing say nothing', () => {
  for (const text of ['', '[1]', '{"a": ', 'null', '\u0000\u0001']) {
    assert.deepEqual(carriedOver([parsed(text)]), {})
  }
})
