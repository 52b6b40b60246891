#!/usr/bin/env node
/** The program's entry: run the command line and end with its exit code. */
import { main } from './main.ts';

process.exitCode = await main(process.argv.slice(2));
