// Bundles src/ into the two files that a report carries; `node build.mjs FOLDER` writes elsewhere.
// Both begin with the hash of the sources, so that their age can be told without node.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const target = process.argv[2] ?? join(here, '../src/headscribe/report/assets');

export function sources() {
  const files = ['build.mjs', 'package-lock.json', ...readdirSync(join(here, 'src')).sort().map((f) => `src/${f}`)];
  const hash = createHash('sha256');
  for (const file of files) hash.update(`${file}\n`).update(readFileSync(join(here, file)));
  return hash.digest('hex');
}

// Only the parts of d3 that are used end up in the bundle; their licence goes with them.
const licence = (name) => `${name}:\n${readFileSync(join(here, 'node_modules', name, 'LICENSE'), 'utf8').trim()}`;

async function bundle(entry, outfile) {
  const result = await build({
    entryPoints: [join(here, 'src', entry)],
    bundle: true,
    minify: true,
    write: false,
    metafile: true,
    format: 'iife',
    target: ['chrome100', 'firefox113', 'safari16.4'],
    charset: 'ascii',
    legalComments: 'none',
  });
  const names = Object.keys(result.metafile.inputs)
    .map((path) => path.match(/node_modules\/([^/]+)\//)?.[1])
    .filter(Boolean);
  const notices = [...new Set(names)].sort().map(licence).join('\n\n');
  const banner = `/*! headscribe report; built from web/, sources ${sources()}\n${notices && `\n${notices}\n`}*/\n`;
  const content = banner + result.outputFiles[0].text;
  if (/<\/(script|style)|<!--/i.test(content)) throw new Error(`${outfile} cannot stand within a page`);
  writeFileSync(join(target, outfile), content);
  console.log(`${outfile} ${content.length}`);
}

await bundle('main.js', 'report.js');
await bundle('style.css', 'report.css');
await bundle('explore.js', 'explore.js');
await bundle('explore.css', 'explore.css');
