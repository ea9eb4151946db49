/** What StartOS shows before the service is installed, and what the service is made of. */
import { setupManifest } from '@start9labs/start-sdk'

export const manifest = setupManifest({
  id: 'ingest-assets',
  title: 'Ingest Assets',
  license: 'Apache-2.0',
  packageRepo: 'https://ingest-assets.example',
  upstreamRepo: 'https://ingest-assets.example',
  marketingUrl: 'https://ingest-assets.example',
  donationUrl: null,
  description: {
    short: 'Search over your CRM that is never out of step with it',
    long:
      'Reads your CRM without changing it, resolves which records are one person or organisation, and keeps a ' +
      'search index (dense and BM25) exactly in step with it. Search it on a page, over HTTP, or from an agent ' +
      'over MCP. It can prove at any moment that the index is complete and fresh.',
  },
  volumes: ['main'],
  images: {
    main: {
      source: { dockerBuild: { workdir: '../..', dockerfile: 'deploy/image/Containerfile' } },
      arch: ['x86_64', 'aarch64'],
    },
  },
  dependencies: {
    // The CRM whose database is read. Another one can be read over its database's URL.
    crm: {
      description: 'The CRM that is read. Its volume is mounted read-only.',
      optional: true,
      metadata: { title: 'CRM', icon: './icon.svg' },
    },
  },
})
