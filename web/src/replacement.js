// Replacement: what it costs to put programs in the place of ever more heads, beside controls.

import { estimates } from './charts.js';
import { choice, clear, column, h, own } from './dom.js';
import { change, interval, known, number, percent, plural, prose } from './format.js';
import { figure, headLink, lacking, note, provenance, read, section, table, withRange } from './parts.js';

const PROGRAMS = {
  formula: ['formulas', 'one', 'circle'], profile: ['each head’s profile', 'two', 'square'], fixed: ['best fixed pattern', 'four', 'diamond'],
  shuffled: ['other heads’ formulas', 'seven', 'cross'], zero: ['silence', 'five', 'triangle'], mean: ['mean attention', 'six', 'plus'],
  random_terms: ['random terms, tuned', 'five', 'cross'], offsets: ['offsets alone, tuned', 'two', 'plus'],
};
const ORDERS = { random: ', random order', own_best_first: ', own order' };
const METRICS = { perplexity: 'perplexity', cosine: 'cosine similarity', loss: 'loss', kl: 'KL divergence' };

const named = (point) => {
  const [name, css, shape] = PROGRAMS[point.program] ?? [point.program, 'five', 'ring'];
  return { name: `${name}${point.tuned ? ', tuned' : ''}${ORDERS[point.order] ?? ''}`, css, shape: point.tuned ? 'ring' : shape, dash: { random: '5 4', own_best_first: '2 3' }[point.order] ?? null };
};

function series(curve) {
  const groups = new Map();
  for (const point of curve) {
    const key = `${point.program} ${point.order} ${point.tuned}`;
    if (!groups.has(key)) groups.set(key, { ...named(point), line: true, points: [], control: point.program !== 'formula' && point.program !== 'profile' });
    groups.get(key).points.push({ x: point.fraction, y: point.increase, low: point.low, high: point.high, label: `${percent(point.fraction)} of the heads` });
  }
  return [...groups.values()].map((one) => ({ ...one, points: one.points.sort((a, b) => a.x - b.x) }));
}

// An interval that holds 0 says of nothing that it changed.
const unsure = (point) => point.low <= 0 && point.high >= 0;

function one(subject, content) {
  const document = content.curve;
  if (!document) return lacking(subject, ['curve'], 'This replacement has no curve yet.');
  const what = METRICS[document.metric] ?? document.metric;
  const relative = document.metric !== 'kl';
  const shown = (v, digits) => (relative ? change(v) : number(v, digits ?? 3));
  const source = provenance({ ...subject, runs: [content.run] }, 'replacement', document.metric, '95 % intervals');
  const formulas = document.curve.filter((p) => p.program === 'formula' && p.order === 'best_first' && !p.tuned).sort((a, b) => a.fraction - b.fraction);
  const whole = (program) => document.curve.find((p) => p.program === program && p.order === 'best_first' && !p.tuned && p.fraction === 1);
  const quarter = formulas.filter((p) => p.fraction <= 0.25).at(-1);
  const said = (point) => [h('strong', null, shown(point.increase)), known(point.low) ? ` (${interval(point.low, point.high, 1, shown)}${unsure(point) ? ', no clear change' : ''})` : ' (no interval)'];
  const lines = content.findings?.lines;
  const headline = lines?.length ? lines.map((line, i) => h('p', { class: i ? null : 'headline' }, own(line))) : h('p', { class: 'headline' }, `Untouched, the model’s ${what} on these texts is ${number(document.unaltered, 2)}. `,
    quarter ? [`With its ${plural(quarter.heads, 'best explained head')} replaced by formulas (${percent(quarter.fraction)}) it changes by `, said(quarter), '. '] : null,
    whole('formula') ? ['With all of them: ', said(whole('formula')), whole('profile') ? [', against ', said(whole('profile')), ' for mean attention by position'] : '', '.'] : null);
  const box = h('div');
  const draw = (zoom) => {
    const all = series(document.curve);
    const drawn = zoom === 'all' ? all : all.filter((s) => !s.control);
    const svg = estimates(drawn, {
      width: column(), height: 420, zero: true, bands: true, xTitle: 'share of the heads replaced, best explained first', yTitle: `${what}: change`,
      label: `${what} as more heads are replaced`, xFormat: (v) => percent(v), yFormat: (v) => shown(v), xTicks: [0.05, 0.25, 0.5, 0.75, 1].filter((t) => t <= Math.max(...document.curve.map((p) => p.fraction))),
    });
    const controls = all.some((s) => s.control);
    clear(box, controls ? h('div', { class: 'controls' }, choice('Show', [['near', 'formulas and profile'], ['all', 'all controls']], zoom, draw)) : null,
      figure(`What replacing heads does to ${what} (unaltered ${number(document.unaltered, 2)})`, svg, source));
  };
  draw('near');
  return [
    headline,
    read('Every point is the model with so many heads computing the attention that a program predicts, nothing else changed. Controls are the head’s own mean attention by position, the best fixed pattern, formulas of other heads, no attention at all, and mean attention; they stand in the formulas’ order of heads and, where it was measured, in their own: the heads first that each of them stands in for best.'),
    h('div', { class: 'figures' }, box, table(`Change of ${what} by program`, [
      { title: 'Program', words: true, cell: (p) => named(p).name, value: (p) => named(p).name },
      { title: 'Heads', number: true, cell: (p) => `${p.heads} (${percent(p.fraction)})`, value: (p) => p.fraction },
      { title: what, number: true, cell: (p) => number(p.value, 3), value: (p) => p.value },
      { title: 'Change', number: true, cell: (p) => withRange(shown(p.increase), interval(p.low, p.high, 1, shown)), value: (p) => p.increase },
    ], document.curve, source, { limit: 14 })),
    single(subject, content, what, shown, source),
    agreement(content, source),
    continuations(content),
  ];
}

function single(subject, content, what, shown, source) {
  const rows = content.single ?? [];
  const heads = new Map();
  for (const row of rows) {
    if (!heads.has(row.head)) heads.set(row.head, { head: row.head });
    heads.get(row.head)[row.program] = row;
  }
  if (!heads.size) return null;
  const programs = ['formula', 'profile', 'zero', 'mean'].filter((p) => rows.some((r) => r.program === p));
  const listed = [...heads.values()].sort((a, b) => (b.zero?.increase ?? 0) - (a.zero?.increase ?? 0));
  return section('Single heads', read('One head replaced, all others left as they are. A head whose silence costs much and whose formula costs little does what its formula says.'),
    table('Change by replacing one head', [
      { title: 'Head', cell: (r) => headLink(subject, r.head), value: (r) => r.head },
      ...programs.map((p) => ({ title: PROGRAMS[p][0], number: true, cell: (r) => (r[p] ? withRange(shown(r[p].increase), interval(r[p].low, r[p].high, 1, shown)) : '–'), value: (r) => r[p]?.increase ?? null })),
    ], listed, source, { limit: 10 }));
}

function continuations(content) {
  const texts = content.continuations;
  if (!texts?.length) return section('What the altered model writes', note('This run kept no text of the altered model; only models that write text do.'));
  const [{ prompt, unaltered }] = texts;
  return section('What the altered model writes', read('Both go on from the same beginning, each time with the likeliest token; underlined from where they part.'),
    h('p', { class: 'prompt' }, 'Beginning: ', own(prompt)),
    h('h3', null, 'Unaltered'), h('blockquote', null, own(unaltered)),
    h('div', { class: 'figures' }, texts.filter((one) => one.prompt === prompt).map((one) => h('div', null,
      h('h3', null, `${named({ ...one, order: 'best_first' }).name}, ${percent(one.fraction)} of the heads (${one.heads})`),
      h('blockquote', null, marked(one.altered, unaltered))))));
}

// Where a text parts from another it is marked from there on.
function marked(text, other) {
  let same = 0;
  while (same < text.length && text[same] === other[same]) same += 1;
  return [own(text.slice(0, same)), same < text.length ? h('mark', null, own(text.slice(same))) : h('small', null, ' (the same)')];
}

function agreement(content, source) {
  if (!content.agreement?.length) return null;
  return section('How well programs and heads agree here', table('Mean IoU with the untouched heads on the measured texts', [
    { title: 'Program', words: true, cell: (r) => named({ ...r, order: 'best_first' }).name, value: (r) => r.program },
    { title: 'IoU', number: true, cell: (r) => number(r.iou), value: (r) => r.iou },
  ], content.agreement, source));
}

export function replacementView(subject) {
  return [
    h('h1', null, 'Proof by replacement'),
    h('p', { class: 'lede' }, 'If a program says what a head does, the model should hardly notice when the program takes its place.'),
    (subject.replacement ?? []).map((content, i, all) => (all.length > 1 ? section(content.run.folder, one(subject, content)) : one(subject, content))),
  ];
}

export const effect = (subject, head) => {
  for (const content of subject.replacement ?? []) {
    const rows = (content.single ?? []).filter((row) => row.head === head);
    if (rows.length) return { rows: rows.map((row) => ({ ...row, name: (PROGRAMS[row.program] ?? [row.program])[0] })).filter((r) => known(r.increase)), metric: METRICS[content.curve?.metric] ?? content.curve?.metric, title: prose(head) };
  }
  return null;
};
