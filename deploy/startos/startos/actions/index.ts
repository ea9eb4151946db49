/** What a person can do from the service's page. */
import { sdk } from '../sdk'
import { buildSearchIndex, refreshSearchIndex } from './search_index'
import { setEndpoints } from './set_endpoints'
import { showTokens } from './show_tokens'

export const actions = sdk.Actions.of()
  .addAction(setEndpoints)
  .addAction(buildSearchIndex)
  .addAction(refreshSearchIndex)
  .addAction(showTokens)
