/**
 * What only the ledger knows, and the settings. The index, the mirrors and the caches are made from the systems
 * again, so they are not in a backup: after a restore the first refresh makes them.
 */
import { T } from '@start9labs/start-sdk'
import { environment, mounts, STATE } from './container'
import { asSettings } from './fileModels/settings'
import { sdk } from './sdk'

const LEDGER = `${STATE}/ingest/ledger.sqlite`
const COPY = `${STATE}/backup/ledger.sqlite`

/** Copies a SQLite file that others write to, as one moment of it; does nothing if there is none. */
const copy = (from: string, to: string): [string, ...string[]] => [
  'python3',
  '-c',
  [
    'import os, sqlite3, sys',
    'source, target = sys.argv[1:]',
    'if os.path.exists(source):',
    '    os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)',
    '    new = target + ".new"',
    '    if os.path.exists(new): os.remove(new)',
    '    one, other = sqlite3.connect(source), sqlite3.connect(new)',
    '    one.backup(other); one.close(); other.close()',
    '    for end in ("-wal", "-shm"):',
    '        if os.path.exists(target + end): os.remove(target + end)',
    '    os.replace(new, target)',
  ].join('\n'),
  from,
  to,
]

const copying = (name: string, from: string, to: string) => async (effects: T.Effects) => {
  // Without the CRM's volume, which a server that is being restored may not have yet.
  await sdk.SubContainer.withTemp(effects, { imageId: 'main' }, mounts(asSettings(null)), name, (container) =>
    container.execFail(copy(from, to), { env: environment }, null),
  )
}

export const { createBackup, restoreInit } = sdk.setupBackups(async () =>
  // Paths are anchored at the volume: `.env` and `backup` are left.
  sdk.Backups.withOptions({ exclude: ['/ingest', '/dagster'] })
    .addVolume('main')
    .setPreBackup(copying('backup-ledger', LEDGER, COPY))
    .setPostRestore(copying('restore-ledger', COPY, LEDGER)),
)
