/** The CRM has to be installed if the database that is read lies in its volume; it need not run. */
import { readsCrmVolume } from './endpoints'
import { asSettings, settingsFile } from './fileModels/settings'
import { sdk } from './sdk'

export const setDependencies = sdk.setupDependencies(async ({ effects }) => {
  const settings = asSettings(await settingsFile.read().const(effects))
  return readsCrmVolume(settings) ? { crm: { kind: 'exists' as const, versionRange: '*' as const } } : {}
})
