/** The model hub: names, which files are needed, and the protocol. Files and processes are in `src/node/`. */

export { editDistance, nearestNames } from '../nearest.ts';
export { CATALOGUE, type CatalogueEntry, catalogueEntry, type WheelSource } from './catalogue.ts';
export { type Fetch, HubClient, type HubClientOptions, type RemoteBody, type RemoteFile } from './client.ts';
export { type HubTarget, isSafePath, type ModelName, parseModelName } from './names.ts';
export type { ProgressEvent, ProgressListener } from './progress.ts';
export {
  DEFAULT_RETRY,
  HubError,
  type HubFailure,
  isTransient,
  pauseBefore,
  type RetryPolicy,
  sleep,
  withRetry,
} from './retry.ts';
export { isComplete, type Selection, selectFiles } from './selection.ts';
