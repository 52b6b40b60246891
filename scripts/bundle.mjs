/**
 * Joins the modules of the command line into a few files. Node takes half a millisecond to find, open and link each module, and a verb
 * stands on a hundred: this saves a fifth of the time to the first token. Library users import the single modules as tsc wrote them.
 */
import { relative } from 'node:path';

/** Replace `cli/main.js` of the compiled tree `dist` by a bundle of it; what verbs load when they are used lies beside it. */
export async function bundleCommandLine(dist) {
  const { rolldown } = await import('rolldown');
  const bundle = await rolldown({
    input: { main: `${dist}/cli/main.js` },
    platform: 'node',
    cwd: dist,
    plugins: [{ name: 'own-place', transform: (code, id) => keepPlace(code, id, `${dist}/cli`) }],
  });
  try {
    await bundle.write({
      dir: `${dist}/cli`,
      format: 'esm',
      entryFileNames: '[name].js',
      chunkFileNames: 'bundle-[name].js',
    });
  } finally {
    await bundle.close();
  }
}

/** A module finds workers and the package's files from where it was: that is said in terms of where it will be. */
function keepPlace(code, id, folder) {
  if (id.startsWith('\0') || !code.includes('import.meta.url')) return undefined;
  const path = relative(folder, id).replaceAll('\\', '/');
  return code.replaceAll('import.meta.url', `new URL(${JSON.stringify(path)}, import.meta.url).href`);
}
