/**
 * The settings: one file, `.env` in the service's volume, which every process of the service reads as it starts.
 * Nothing else holds them. Actions write it; main restarts the processes when it changes.
 */
import { FileHelper, z } from '@start9labs/start-sdk'
import { sdk } from '../sdk'

// Empty: not set. The file's writer would write `undefined` as a word.
const text = z.string().catch('')

/** Names and values as Ingest Assets reads them (its `.env.example` describes all). Others are kept as they are. */
export const shape = z.looseObject({
  CRM_DB_PATH: text,
  SPARK_CONTROL_URL: text,
  SPARK_CONTROL_VERIFY_TLS: z.enum(['true', 'false']).catch('true'),
  QDRANT_URL: text,
  CRM_INGEST_SYNC_INTERVAL_MIN: z
    .string()
    .regex(/^[1-9]\d{0,4}$/)
    .catch('60'),
  INGEST_UI_TOKENS: text,
  INGEST_API_TOKENS: text,
})

export type Settings = z.infer<typeof shape>

/** A value can stand in the file as it is: one line, nothing that a reader of such files would take for syntax. */
export const PLAIN = '^[^\\s"\'#$\\\\=`]*$'

export const settingsFile = FileHelper.env(
  { base: sdk.volumes.main, subpath: '/.env' },
  shape as unknown as z.ZodType<Record<string, string>>,
)

/** The settings as they are; the defaults before the first start. */
export const asSettings = (found: unknown): Settings => shape.parse(found ?? {})
