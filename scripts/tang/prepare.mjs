/**
 * The training text of models/tang: Tang poems and Song ci as JSON lines, one poem each, in simplified characters, with its form,
 * title and author as a first line that a user can write too:
 *
 *   【五绝】静夜思·李白
 *   床前明月光，疑是地上霜。
 *   举头望明月，低头思故乡。
 *
 * node prepare.mjs <tang-poems.txt> <song-ci.txt> <out.jsonl>
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { Converter } from 'opencc-js';

const [tangFile, ciFile, out] = process.argv.slice(2);
if (!out) {
  process.stderr.write('usage: node prepare.mjs <tang-poems.txt> <song-ci.txt> <out.jsonl>\n');
  process.exit(2);
}
const simplified = Converter({ from: 't', to: 'cn' });

/** The form by the length of lines: quatrains, regulated verse, and longer or freer poems. */
function formOf(body) {
  const lines = body.split(/[，。！？；、\n]+/).filter(Boolean);
  const lengths = new Set(lines.map((line) => [...line].length));
  if (lengths.size !== 1) return '杂言';
  const [length] = lengths;
  const name = { 4: '四', 5: '五', 6: '六', 7: '七' }[length];
  if (!name) return '杂言';
  if (length === 4) return '四言';
  if (lines.length === 4) return `${name}绝`;
  if (lines.length === 8) return `${name}律`;
  return lines.length > 8 ? `${name}古` : `${name}言`;
}

/** Editors' notes in brackets, and what marks damage, are no verse. */
function clean(text) {
  return text
    .replace(/[（(〔［[{][^）)〕］\]}]*[）)〕］\]}]/g, '')
    .replace(/[ \u3000]+/g, '')
    .trim();
}

const isVerse = (body) => body.length >= 10 && !/[□■○●◎〖〗《》「」『』{}<>A-Za-z0-9·・：:-]/.test(body);

function poems(text, form) {
  return text.split('\n\n').flatMap((block) => {
    const [title, author, ...lines] = block.trim().split('\n').map(clean);
    const body = lines.filter(Boolean).join('\n');
    if (!title || !author || !isVerse(body)) return [];
    // "帝京篇十首 一" without its number; titles that are whole sentences are cut.
    const name = [...title.replace(/[\s，。].*$/, '')].slice(0, 16).join('');
    return [`【${form ?? formOf(body)}】${name}·${author}\n${body}`];
  });
}

const tang = poems(simplified(readFileSync(tangFile, 'utf8')));
const ci = poems(readFileSync(ciFile, 'utf8'), '词');
const seen = new Set();
const all = [...tang, ...ci].filter((poem) => !seen.has(poem) && seen.add(poem));
writeFileSync(out, all.map((text) => `${JSON.stringify({ text })}\n`).join(''));

const forms = new Map();
for (const poem of all) {
  const form = poem.slice(1, poem.indexOf('】'));
  forms.set(form, (forms.get(form) ?? 0) + 1);
}
const characters = new Set(all.join(''));
process.stderr.write(
  `${all.length} poems (${[...forms]
    .sort((a, b) => b[1] - a[1])
    .map(([form, n]) => `${form} ${n}`)
    .join(', ')}), ` + `${all.join('').length} characters, ${characters.size} different\n`,
);
