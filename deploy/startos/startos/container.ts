/** The container that every process of the service runs in: its volumes, environment, and ports. */
import { CRM_MOUNT, readsCrmVolume } from './endpoints'
import type { Settings } from './fileModels/settings'
import { sdk } from './sdk'

export const STATE = '/data'
export const PORTS = { ui: 3000, daemon: 3001, serve: 8765 } as const

/** Where things are and listen: facts of this package. What a person can choose is in the settings. */
export const environment = {
  INGEST_HOME: `${STATE}/ingest`,
  DAGSTER_HOME: `${STATE}/dagster`,
  INGEST_UI_HOST: '0.0.0.0',
  INGEST_UI_PORT: String(PORTS.ui),
  INGEST_HTTP_HOST: '0.0.0.0',
  INGEST_HTTP_PORT: String(PORTS.serve),
  INGEST_DAEMON_PORT: String(PORTS.daemon),
}

/** The volumes. The CRM's is read-only, and there only if the database in it is the one to read. */
export const mounts = (settings: Settings) => {
  const own = sdk.Mounts.of().mountVolume({
    volumeId: 'main',
    subpath: null,
    mountpoint: STATE,
    readonly: false,
  })
  return readsCrmVolume(settings)
    ? own.mountDependency({
        dependencyId: 'crm',
        volumeId: 'main',
        subpath: null,
        mountpoint: CRM_MOUNT,
        readonly: true,
      })
    : own
}

/** How to start `ingest ...`: in the folder whose `.env` it reads. */
export const ingest = (...words: string[]) => ({
  command: ['ingest', ...words] as [string, ...string[]],
  cwd: STATE,
  env: environment,
})
