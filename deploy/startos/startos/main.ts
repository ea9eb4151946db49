/** The processes of the service, each with its port and its health check, and a check of the endpoints. */
import { environment, ingest, mounts, PORTS } from './container'
import { asSettings, settingsFile } from './fileModels/settings'
import { diagnosis, schedulerHealth, type DaemonHealth } from './results'
import { sdk } from './sdk'

const STARTING_MS = 60_000
const DOCTOR_TIMEOUT_MS = 60_000
const DOCTOR_EVERY_MS = 300_000

export const main = sdk.setupMain(async ({ effects }) => {
  // Read with `const`: when an action changes the settings, all processes start again with the new ones.
  const settings = asSettings(await settingsFile.read().const(effects))
  const container = (name: string) => sdk.SubContainer.of(effects, { imageId: 'main' }, mounts(settings), name)
  const doctor = await container('doctor')
  const answers = (name: string, port: number, path: string) =>
    sdk.healthCheck.checkWebUrl(effects, `http://127.0.0.1:${port}${path}`, {
      timeout: 5_000,
      successMessage: `${name} answers.`,
      errorMessage: `${name} does not answer.`,
    })

  return sdk.Daemons.of(effects)
    .addDaemon('daemon', {
      subcontainer: await container('daemon'),
      exec: ingest('daemon'),
      ready: {
        display: 'Scheduler',
        gracePeriod: STARTING_MS,
        fn: async () => {
          try {
            const answer = await fetch(`http://127.0.0.1:${PORTS.daemon}/health`, {
              signal: AbortSignal.timeout(5_000),
            })
            return schedulerHealth((await answer.json()) as DaemonHealth)
          } catch {
            return { result: 'failure', message: 'The scheduler does not answer.' }
          }
        },
      },
      requires: [],
    })
    .addDaemon('serve', {
      subcontainer: await container('serve'),
      exec: ingest('serve'),
      ready: {
        display: 'Search, HTTP and MCP',
        gracePeriod: STARTING_MS,
        fn: () => answers('The search service', PORTS.serve, '/health'),
      },
      requires: [],
    })
    .addDaemon('ui', {
      subcontainer: await container('ui'),
      exec: ingest('ui'),
      ready: {
        display: 'Dagster UI',
        gracePeriod: STARTING_MS,
        fn: () => answers('The Dagster UI', PORTS.ui, '/login'),
      },
      requires: ['daemon'],
    })
    .addHealthCheck('endpoints', {
      ready: {
        display: 'Endpoints and collections',
        trigger: sdk.trigger.cooldownTrigger(DOCTOR_EVERY_MS),
        fn: async () => {
          const { command, cwd } = ingest('doctor', '--json')
          const found = await doctor.exec(command, { cwd, env: environment }, DOCTOR_TIMEOUT_MS)
          return diagnosis(String(found.stdout))
        },
      },
      requires: ['serve'],
    })
})
