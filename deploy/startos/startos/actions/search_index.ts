/** Build and refresh the search index. The ids are those that the service always had. */
import { environment, ingest, mounts } from '../container'
import { asSettings, settingsFile } from '../fileModels/settings'
import { inWords } from '../results'
import { sdk } from '../sdk'

type Run = {
  id: 'build-search-index' | 'refresh-search-index'
  name: string
  description: string
  warning: string | null
  words: string[]
  minutes: number
}

const RUNS: Run[] = [
  {
    id: 'build-search-index',
    name: 'Build search index',
    description: 'Builds a new index beside the one in use, then switches to it. Safe to run at any time.',
    warning: 'This reads everything again and takes some minutes. Searches go on meanwhile.',
    words: ['build', '--source', 'crm', '--json'],
    minutes: 30,
  },
  {
    id: 'refresh-search-index',
    name: 'Refresh search index',
    description: 'Brings the index up to date with what has changed. Safe to run at any time.',
    warning: null,
    words: ['refresh', '--source', 'crm', '--json'],
    minutes: 30,
  },
]

const action = (run: Run) =>
  sdk.Action.withoutInput(
    run.id,
    {
      name: run.name,
      description: run.description,
      warning: run.warning,
      allowedStatuses: 'any',
      group: 'Search index',
      visibility: 'enabled',
    },
    async ({ effects }) => {
      const settings = asSettings(await settingsFile.read().once())
      const ended = await sdk.SubContainer.withTemp(
        effects,
        { imageId: 'main' },
        mounts(settings),
        run.id,
        (container) => {
          const { command, cwd } = ingest(...run.words)
          return container.exec(command, { cwd, env: environment }, run.minutes * 60_000)
        },
      )
      const said = inWords({
        exitCode: ended.exitCode,
        stdout: String(ended.stdout),
        stderr: String(ended.stderr),
        minutes: run.minutes,
      })
      console.info(`${run.name}: ${said.message}`)
      // An error is what StartOS shows as a failed action.
      if (!said.ok) throw new Error(said.message)
      return { version: '1', title: run.name, message: said.message, result: null }
    },
  )

export const [buildSearchIndex, refreshSearchIndex] = RUNS.map(action)
