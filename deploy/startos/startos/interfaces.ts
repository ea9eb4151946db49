/** What other machines can reach: the search page with HTTP and MCP, and the Dagster UI. Both ask for tokens. */
import { PORTS } from './container'
import { sdk } from './sdk'

export const setInterfaces = sdk.setupInterfaces(async ({ effects }) => {
  const serve = await sdk.MultiHost.of(effects, 'serve').bindPort(PORTS.serve, { protocol: 'http' })
  const ui = await sdk.MultiHost.of(effects, 'ui').bindPort(PORTS.ui, { protocol: 'http' })
  const shared = { masked: false, schemeOverride: null, username: null, query: {} }
  const search = sdk.createInterface(effects, {
    ...shared,
    id: 'search',
    name: 'Search',
    description: 'The search page.',
    type: 'ui',
    path: '/',
  })
  const agents = sdk.createInterface(effects, {
    ...shared,
    id: 'mcp',
    name: 'MCP',
    description: 'For agents: the Model Context Protocol over HTTP. Programs use the same address without /mcp.',
    type: 'api',
    path: '/mcp',
  })
  const dagster = sdk.createInterface(effects, {
    ...shared,
    id: 'ui',
    name: 'Dagster UI',
    description: 'The lineage graph, runs, schedules and sensors.',
    type: 'ui',
    path: '/',
  })
  return [await serve.export([search, agents]), await ui.export([dagster])]
})
