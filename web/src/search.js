// One box that takes a head (7.10, L7H10), a pattern's name, or what heads do (det, induction), and
// goes there.

import { subjects } from './data.js';
import { h, unique } from './dom.js';
import { number, percent, prose, signed } from './format.js';
import { go, route } from './router.js';

const HEAD = /^\s*L?(\d{1,4})\s*[.H]\s*(\d{1,4})\s*$/i;
const HEADS = 6;
const SHOWN = 14;

// Whether words stand in a text as whole pieces of a name (`det` in `to_head:det`, not in `detail`),
// or at the start of one.
function holds(text, words) {
  const pieces = text.toLowerCase().split(/[^\p{L}\p{N}]+/u);
  return words.every((word) => pieces.some((piece) => piece.startsWith(word)));
}

// How well a pattern's name and sentence fit; 9 for not at all.
function fit(pattern, wanted, words) {
  const name = pattern.name.toLowerCase();
  if (name === wanted) return 0;
  if (name.startsWith(wanted.replaceAll(' ', '_'))) return 1;
  if (words.every((word) => name.includes(word))) return 2;
  return words.every((word) => `${name} ${pattern.sentence ?? ''}`.toLowerCase().includes(word)) ? 3 : 9;
}

// Heads that do what is asked for, surest first: by the pattern that explains them, by a dependency
// relation that they follow, by label, formula or accepted program; then who comes closest.
async function doing(subject, wanted, words, patterns) {
  const found = new Map();
  const add = (head, rank, note) => {
    const known = found.get(head);
    if (!known || rank > known.rank) found.set(head, { text: prose(head), note, rank, to: route(subject.index, 'head', head) });
  };
  const block = await subject.block('jsd', 'raw', 'all');
  const named = patterns.filter(([rank]) => rank <= 2).map(([, pattern]) => pattern);
  if (block) {
    for (const pattern of named) {
      if (pattern.baseline) continue;
      const lines = subject.linesOfPattern(block, subject.patternNamed.get(pattern.name).index, 'jsd');
      const sure = lines.filter((line) => line.worth > 0).sort((a, b) => b.worth - a.worth);
      sure.slice(0, HEADS).forEach((line) => add(line.head, 4 + line.worth, `${pattern.name}, gain ${signed(line.gain, 2)}`));
      if (!sure.length && lines.length) add(lines[0].head, 0, `closest to ${pattern.name}, no gain`);
    }
  }
  for (const row of subject.get('relations') ?? []) {
    if (!row.few && row.gain_low > 0 && holds(`${row.relation} ${row.direction}`, words)) add(row.head, 3 + row.gain, `follows ${row.relation}: ${percent(row.accuracy)} right`);
  }
  for (const [head, formula] of Object.entries(subject.formulas ?? {})) {
    if (subject.labels(head).some((label) => holds(label, words))) add(head, 2, `label ${subject.labels(head).join(', ')}`);
    const term = formula.terms.filter((t) => holds(t.relation, words)).sort((a, b) => (a.drop ?? 0) - (b.drop ?? 0))[0];
    if (term) add(head, 1 - (term.drop ?? 0), `in its formula${term.drop ? `, worth ${number(-term.drop, 2)} IoU` : ''}`);
  }
  for (const content of subject.discovery ?? []) {
    for (const row of content.heads ?? []) if (row.status === 'accepted' && holds(row.statement ?? '', words)) add(row.head, 2, 'hypothesis of its program');
  }
  return [...found.values()].sort((a, b) => b.rank - a.rank).slice(0, HEADS);
}

// Where a query leads, best first: [{text, note, to}].
export async function find(query, index) {
  const subject = subjects[index] ?? subjects[0];
  const wanted = query.trim().toLowerCase();
  if (!wanted) return [];
  const head = query.match(HEAD);
  if (head) {
    const name = `${Number(head[1])}.${Number(head[2])}`;
    return subject.headIndex(name) < 0 ? [] : [{ text: prose(name), note: `layer ${head[1]}, head ${head[2]}`, to: route(subject.index, 'head', name) }];
  }
  if (/^l?\d+\.?$/i.test(wanted)) {
    const layer = wanted.match(/\d+/)[0];
    return subject.headNames().filter((name) => name.startsWith(`${layer}.`)).slice(0, SHOWN)
      .map((name) => ({ text: prose(name), note: 'head', to: route(subject.index, 'head', name) }));
  }
  const words = wanted.split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  if (!words.length) return [];
  const patterns = subject.patterns.map((p) => [fit(p, wanted, words), p]).filter(([rank]) => rank < 9).sort((a, b) => a[0] - b[0]);
  const heads = await doing(subject, wanted, words, patterns);
  const listed = patterns.map(([, p]) => ({ text: p.name, note: p.baseline ? 'baseline' : p.family, to: route(subject.index, 'pattern', p.name) })).slice(0, SHOWN - heads.length);
  // A pattern's own page comes first where its name was begun, else the heads.
  return patterns[0]?.[0] <= 1 ? [listed[0], ...heads, ...listed.slice(1)] : [...heads, ...listed];
}

// Why nothing was found, as far as the runs tell.
function nothing(query, index) {
  const subject = subjects[index] ?? subjects[0];
  if (HEAD.test(query)) return `No such head: ${subject.layers} layers of ${subject.heads} heads, counted from 0`;
  const [name, why] = subject.runs.flatMap((run) => Object.entries(run.skipped ?? {})).find(([one]) => one.includes(query.trim().toLowerCase())) ?? [];
  if (name) return `${name} was not scored: ${why}`;
  return subject.patterns.length ? `No head or pattern: this survey scored ${subject.patterns.length} patterns, none of this name` : 'No head of this name; no survey is in the report';
}

export function searchBox(current) {
  const id = unique('found');
  let [found, at, asked] = [[], 0, 0];
  const list = h('ul', { id, role: 'listbox', 'aria-label': 'Results', hidden: true });
  const input = h('input', {
    type: 'search', placeholder: '7.10, det, induction …', 'aria-label': 'Go to a head, such as 7.10, or to what heads do, such as det',
    role: 'combobox', 'aria-expanded': 'false', 'aria-controls': id, 'aria-autocomplete': 'list', autocomplete: 'off', spellcheck: 'false',
  });
  const show = () => {
    list.replaceChildren(...found.map((one, i) => h('li', { id: `${id}-${i}`, role: 'option', 'aria-selected': String(i === at), 'data-at': i },
      h('bdi', null, one.text), h('small', null, ` ${one.note}`))));
    if (input.value.trim() && !found.length) list.replaceChildren(h('li', { class: 'none', role: 'option', 'aria-selected': 'false', 'aria-disabled': 'true' }, nothing(input.value, current())));
    list.hidden = !input.value.trim();
    input.setAttribute('aria-expanded', String(!list.hidden));
    if (found.length) input.setAttribute('aria-activedescendant', `${id}-${at}`); else input.removeAttribute('aria-activedescendant');
  };
  const close = () => { list.hidden = true; input.setAttribute('aria-expanded', 'false'); };
  const open = (one) => { if (!one) return; input.value = ''; found = []; close(); go(one.to); };
  const look = async () => {
    const mine = (asked += 1);
    const answer = await find(input.value, current());
    if (mine !== asked) return false; // the reader has typed on
    [found, at] = [answer, 0];
    show();
    return true;
  };
  input.addEventListener('input', look);
  input.addEventListener('keydown', async (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && found.length) { event.preventDefault(); at = (at + step + found.length) % found.length; show(); }
    else if (event.key === 'Enter') { event.preventDefault(); const chosen = at; if (await look()) open(found[chosen] ?? found[0]); }
    else if (event.key === 'Escape') { input.value = ''; found = []; close(); }
  });
  list.addEventListener('pointerdown', (event) => {
    const item = event.target.closest('[data-at]');
    if (item) { event.preventDefault(); open(found[Number(item.dataset.at)]); }
  });
  input.addEventListener('blur', close);
  return h('div', { class: 'search', role: 'search' }, input, list);
}
