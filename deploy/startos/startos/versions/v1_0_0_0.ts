/** The first version of this package; takes over the settings of the one before it. */
import { IMPOSSIBLE, VersionInfo } from '@start9labs/start-sdk'
import { readFile } from 'node:fs/promises'
import { settingsFile } from '../fileModels/settings'
import { sdk } from '../sdk'
import { carriedOver, COPIES, parsed } from './old_settings'

const read = (name: string): Promise<string> =>
  readFile(sdk.volumes.main.subpath(name), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return ''
    throw error
  })

export const v1_0_0_0 = VersionInfo.of({
  version: '1.0.0:0',
  releaseNotes: { en_US: 'Ingest Assets takes the place of the old indexer, with its settings.' },
  migrations: {
    up: async ({ effects }) => {
      const copies = (await Promise.all(COPIES.map(read))).map(parsed)
      await settingsFile.merge(effects, carriedOver(copies) as Record<string, string>)
    },
    // The old service would not know what the new one has in the volume.
    down: IMPOSSIBLE,
  },
})
