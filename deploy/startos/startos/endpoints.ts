/** What is given in the form "Set endpoints", and how it becomes settings. Knows nothing of StartOS. */
import type { Settings } from './fileModels/settings'

/** The CRM's volume is mounted here, read-only. */
export const CRM_MOUNT = '/crm'

export type Endpoints = {
  crm: string | null
  spark: string | null
  verifyTls: boolean
  qdrant: string | null
  interval: number
}

export const shown = (settings: Settings): Endpoints => ({
  crm: settings.CRM_DB_PATH || null,
  spark: settings.SPARK_CONTROL_URL || null,
  verifyTls: settings.SPARK_CONTROL_VERIFY_TLS === 'true',
  qdrant: settings.QDRANT_URL || null,
  interval: Number(settings.CRM_INGEST_SYNC_INTERVAL_MIN),
})

/** An empty field empties its setting: the product then says what is missing, and never makes another index. */
export const toSettings = (given: Endpoints): Partial<Settings> => ({
  CRM_DB_PATH: given.crm?.trim() ?? '',
  SPARK_CONTROL_URL: given.spark?.trim() ?? '',
  SPARK_CONTROL_VERIFY_TLS: given.verifyTls ? 'true' : 'false',
  QDRANT_URL: given.qdrant?.trim() ?? '',
  CRM_INGEST_SYNC_INTERVAL_MIN: String(given.interval),
})

/** Whether the database that is named lies in the CRM's volume. */
export const readsCrmVolume = (settings: Settings): boolean =>
  settings.CRM_DB_PATH.startsWith(`${CRM_MOUNT}/`)
