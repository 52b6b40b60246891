/** `npm start -- <verb …>`: install and build what is missing, then run the command line in this process. */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { prepare, root } from './prepare.mjs';

await prepare();
await import(pathToFileURL(join(root, 'dist', 'cli', 'run.js')));
