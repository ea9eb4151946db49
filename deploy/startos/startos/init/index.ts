/** What happens when the service is installed, updated or restored: the settings get their tokens, once. */
import { randomBytes } from 'node:crypto'
import { actions } from '../actions'
import { restoreInit } from '../backups'
import { setDependencies } from '../dependencies'
import { asSettings, settingsFile, type Settings } from '../fileModels/settings'
import { setInterfaces } from '../interfaces'
import { sdk } from '../sdk'
import { versionGraph } from '../versions'

/** The settings with tokens; those that are there stay. */
export const withTokens = (settings: Settings, draw: () => string): Settings => ({
  ...settings,
  INGEST_UI_TOKENS: settings.INGEST_UI_TOKENS || `owner:${draw()}`,
  INGEST_API_TOKENS: settings.INGEST_API_TOKENS || `owner:${draw()}:read+ingest+write`,
})

const makeTokens = sdk.setupOnInit(async (effects) => {
  const settings = asSettings(await settingsFile.read().once())
  const complete = withTokens(settings, () => randomBytes(24).toString('base64url'))
  await settingsFile.merge(effects, complete as unknown as Record<string, string>)
})

export const init = sdk.setupInit(restoreInit, versionGraph, makeTokens, setInterfaces, setDependencies, actions)
export const uninit = sdk.setupUninit(versionGraph)
