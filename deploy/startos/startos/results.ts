/** What `ingest` prints with `--json`, in words. Knows nothing of StartOS. */

/** What `ingest build --json` and `ingest refresh --json` print, as far as it is told. */
export type Report = {
  assets: Record<string, Record<string, number>>
  checks: Record<string, { passed: boolean; warning?: boolean; description?: string }>
}

export type Ended = { exitCode: number | null; stdout: string; stderr: string; minutes: number }

const MEANINGS: Record<number, string> = {
  0: 'The search index is complete.',
  1: 'It failed. The index that was there goes on to be used.',
  2: 'It did not begin: a setting is wrong or missing.',
  3: 'The search index is complete but for some items that were refused.',
}

/** A sentence on how a run ended, and one line for each asset and for each check that did not pass. */
export const inWords = (ended: Ended): { ok: boolean; message: string } => {
  const ok = ended.exitCode === 0 || ended.exitCode === 3
  if (ended.exitCode === null) {
    return {
      ok,
      message: `It was stopped after ${ended.minutes} minutes. Nothing is lost: the next run goes on from there.`,
    }
  }
  const meaning = MEANINGS[ended.exitCode] ?? `It ended with status ${ended.exitCode}.`
  return { ok, message: [meaning, ...lines(ended.stdout), ...(ok ? [] : lastLines(ended.stderr))].join('\n') }
}

const lines = (stdout: string): string[] => {
  const report = parsed(stdout)
  if (report === null) return []
  const counted = Object.entries(report.assets).map(([asset, counts]) => {
    const moved = ['added', 'changed', 'removed', 'parked'].filter((name) => counts[name])
    return `${asset}: ${moved.map((name) => `${counts[name]} ${name}`).join(', ') || 'nothing changed'}`
  })
  const failed = Object.entries(report.checks)
    .filter(([, check]) => !check.passed)
    .map(([name, check]) => `${name}: ${check.description ?? 'failed'}`)
  return [...counted, ...failed]
}

const parsed = (stdout: string): Report | null => {
  try {
    const found = JSON.parse(stdout) as Partial<Report>
    return found.assets && found.checks ? (found as Report) : null
  } catch {
    return null // it ended before it had anything to report; the error's lines say why
  }
}

const lastLines = (stderr: string): string[] =>
  stderr
    .split('\n')
    .filter((line) => line.startsWith('ingest: '))
    .slice(-3)

/** One finding of `ingest doctor --json`. */
export type Finding = { name: string; state: string; message: string }

/** How `ingest doctor` found things, for a health check. */
export const diagnosis = (stdout: string): { result: 'success' | 'failure' | 'disabled'; message: string } => {
  let findings: Finding[]
  try {
    findings = (JSON.parse(stdout) as { findings: Finding[] }).findings
  } catch {
    return { result: 'failure', message: 'The endpoints could not be looked at; the logs say why.' }
  }
  const wrong = findings.filter((finding) => finding.state === 'wrong')
  if (wrong.length > 0) {
    return { result: 'failure', message: wrong.map((each) => `${each.name}: ${each.message}`).join('\n') }
  }
  const missing = findings.filter((finding) => finding.name === 'source crm' && finding.state === 'not configured')
  return missing.length > 0
    ? { result: 'disabled', message: missing[0].message }
    : { result: 'success', message: 'The endpoints answer, and the collections can be read.' }
}

/** What `GET /health` of `ingest daemon` answers. */
export type DaemonHealth = {
  status: string
  seconds_since_heartbeat: number | null
  refreshed: Record<string, string | null>
  ticks: Record<string, { at: string; outcome: string; reason: string }>
}

/** How the scheduler does: its heartbeat, the last refresh, and why it skipped. */
export const schedulerHealth = (
  health: DaemonHealth,
): { result: 'success' | 'starting' | 'failure'; message: string } => {
  const last = Object.entries(health.refreshed).map(
    ([source, at]) => `${source}: ${at === null ? 'not refreshed yet' : `last refreshed ${at}`}`,
  )
  const skipped = Object.entries(health.ticks)
    .filter(([name, tick]) => name.includes('refresh') && tick.outcome === 'skipped')
    .map(([, tick]) => tick.reason)
  const beat = health.seconds_since_heartbeat
  const silent = `The scheduler has not given a sign of life for ${beat ?? 'ever so many'} seconds.`
  if (health.status === 'ok') return { result: 'success', message: [...last, ...skipped].join('\n') }
  if (health.status === 'starting') return { result: 'starting', message: 'The scheduler is starting.' }
  return { result: 'failure', message: [silent, ...last].join('\n') }
}
