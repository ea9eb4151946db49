/**
 * The settings of 0.1.0:44, which the old service kept in three copies: for its page, its scheduler and its MCP
 * server. Where they differ the page's was what people saw and set, so it counts first.
 *
 * Knows nothing of StartOS.
 */
import type { Settings } from '../fileModels/settings'

/** Where the copies were, in the order in which they count; each a JSON object or lines NAME=VALUE. */
export const COPIES = ['store.json', 'scheduler.env', 'mcp.env'] as const

const NAMES = [
  'CRM_DB_PATH',
  'SPARK_CONTROL_URL',
  'SPARK_CONTROL_VERIFY_TLS',
  'QDRANT_URL',
  'CRM_INGEST_SYNC_INTERVAL_MIN',
] as const

type Name = (typeof NAMES)[number]

const FALSE = new Set(['false', '0', 'no', 'off'])

/** The text of one copy as names and values; nothing if it can not be read. */
export const parsed = (text: string): Record<string, unknown> => {
  try {
    const found: unknown = JSON.parse(text)
    return typeof found === 'object' && found !== null && !Array.isArray(found) ? { ...found } : {}
  } catch {
    const pairs = text.split('\n').map((line) => /^\s*(?:export\s+)?([A-Z_]+)\s*=\s*(.*?)\s*$/.exec(line))
    return Object.fromEntries(pairs.flatMap((pair) => (pair ? [[pair[1], unquoted(pair[2])]] : [])))
  }
}

const unquoted = (value: string): string => /^(["'])(.*)\1$/.exec(value)?.[2] ?? value

/**
 * What the copies say, the first that has a name. A `false` stays one, however it was spelt: with a self-signed
 * certificate the endpoint would otherwise be out of reach after the update.
 */
export const carriedOver = (copies: Record<string, unknown>[]): Partial<Settings> => {
  const value = (name: Name): string | undefined => {
    const found = copies.map((copy) => copy[name] ?? copy[name.toLowerCase()]).find((each) => each != null && each !== '')
    return found === undefined ? undefined : String(found)
  }
  const settings: Partial<Settings> = {}
  for (const name of NAMES) {
    const found = value(name)
    if (found === undefined) continue
    if (name === 'SPARK_CONTROL_VERIFY_TLS') {
      settings[name] = FALSE.has(found.toLowerCase()) ? 'false' : 'true'
    } else if (name === 'CRM_INGEST_SYNC_INTERVAL_MIN') {
      if (/^[1-9]\d{0,4}$/.test(found)) settings[name] = found
    } else {
      settings[name] = found
    }
  }
  return settings
}
