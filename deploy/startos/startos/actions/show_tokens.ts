/** The tokens that people, programs and agents log in with. They are made when the service is installed. */
import { asSettings, settingsFile } from '../fileModels/settings'
import { sdk } from '../sdk'

const single = (name: string, description: string, value: string) => ({
  type: 'single' as const,
  name,
  description,
  value,
  copyable: true,
  qr: false,
  masked: true,
})

export const showTokens = sdk.Action.withoutInput(
  'show-tokens',
  {
    name: 'Show tokens',
    description: 'For the web pages, for programs over HTTP and for agents over MCP.',
    warning: null,
    allowedStatuses: 'any',
    group: null,
    visibility: 'enabled',
  },
  async () => {
    const settings = asSettings(await settingsFile.read().once())
    const token = (given: string) => given.split(':')[1] ?? ''
    return {
      version: '1',
      title: 'Tokens',
      message: 'Whoever has one may do what it allows.',
      result: {
        type: 'group',
        value: [
          single('Dagster UI', 'To log in to the lineage graph, runs and schedules.', token(settings.INGEST_UI_TOKENS)),
          single('Search, HTTP and MCP', 'Authorization: Bearer TOKEN', token(settings.INGEST_API_TOKENS)),
        ],
      },
    }
  },
)
