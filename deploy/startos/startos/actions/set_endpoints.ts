/** Where the CRM, the embedding endpoint and Qdrant are, and how often the index is refreshed. */
import { CRM_MOUNT, shown, toSettings } from '../endpoints'
import { asSettings, PLAIN, settingsFile } from '../fileModels/settings'
import { sdk } from '../sdk'

const { InputSpec, Value } = sdk

const url = (scheme: string) => [
  { regex: `^${scheme}://[^\\s"'#$\\\\=\`]+$`, description: 'Must be a URL without spaces or quotes.' },
]

export const inputSpec = InputSpec.of({
  crm: Value.text({
    name: 'CRM database',
    description: `The CRM's SQLite file. Its volume is mounted at ${CRM_MOUNT}, read-only.`,
    required: false,
    default: null,
    placeholder: `${CRM_MOUNT}/crm.db`,
    patterns: [{ regex: PLAIN, description: 'Must be a path without spaces or quotes.' }],
  }),
  spark: Value.text({
    name: 'Embedding endpoint',
    description: 'Answers at /v1/embeddings. Empty: the model that comes with Ingest Assets.',
    required: false,
    default: null,
    placeholder: 'https://spark.local:8443',
    patterns: url('https?'),
  }),
  verifyTls: Value.toggle({
    name: "Verify the endpoint's certificate",
    description: 'Switch off only for a self-signed certificate on your own network.',
    default: true,
  }),
  qdrant: Value.text({
    name: 'Qdrant',
    description: 'Empty: the engine that comes with Ingest Assets.',
    required: false,
    default: null,
    placeholder: 'http://qdrant.startos:6333',
    patterns: url('https?'),
  }),
  interval: Value.number({
    name: 'Minutes between refreshes',
    description: 'Changes are noticed between them too.',
    required: true,
    default: 60,
    integer: true,
    min: 1,
    max: 10_080,
  }),
})

export const setEndpoints = sdk.Action.withInput(
  'set-endpoints',
  {
    name: 'Set endpoints',
    description: 'Where the CRM, the embedding endpoint and Qdrant are, and how often to refresh.',
    warning: null,
    allowedStatuses: 'any',
    group: null,
    visibility: 'enabled',
  },
  inputSpec,
  async () => shown(asSettings(await settingsFile.read().once())),
  async ({ effects, input }) => {
    await settingsFile.merge(effects, toSettings(input) as Record<string, string>)
  },
)
