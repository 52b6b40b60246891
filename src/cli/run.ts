#!/usr/bin/env node
/** The program's entry: run the command line and end with its exit code. */
import * as module from 'node:module';

// From Node 22.8 on: compiled code is kept between runs. Only for what is loaded after this.
const { enableCompileCache } = module as { readonly enableCompileCache?: () => unknown };
enableCompileCache?.();
const { main } = await import('./main.ts');

process.exitCode = await main(process.argv.slice(2));
