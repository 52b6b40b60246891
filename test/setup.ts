/** Properties draw the same cases at every run, so that a failure is one of the change at hand; FC_SEED=n draws others. */
import { configureGlobal } from 'fast-check';

configureGlobal({ seed: Number(process.env.FC_SEED ?? 20261124) });
