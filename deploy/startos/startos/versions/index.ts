/** The versions of this package, and how one becomes another. */
import { VersionGraph } from '@start9labs/start-sdk'
import { v1_0_0_0 } from './v1_0_0_0'

export const versionGraph = VersionGraph.of({ current: v1_0_0_0, other: [] })
