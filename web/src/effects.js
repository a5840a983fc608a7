// What heads write, whether they matter, from whom they read, and which probes they answer.

import { h, own } from './dom.js';
import { interval, known, number, percent, prose, signed } from './format.js';
import { headLink, provenance, read, section, table, withRange } from './parts.js';

const TOKENS = { reads: 'the token it reads', next: 'the true next token', current: 'its own token' };
const place = (head) => Number(head.split('.')[0]) * 1000 + Number(head.split('.')[1]);
const head = (subject) => ({ title: 'Head', cell: (row) => headLink(subject, row.head), value: (row) => place(row.head) });
const logits = (row) => (known(row.effect) ? withRange(signed(row.effect, 2), interval(row.low, row.high, 2)) : '–');
const inUnit = (row, value) => (row.unit === 'logits' ? signed(value, 2) : percent(value));
const tokens = (row, up) => row[up ? 'promotes' : 'demotes'].map((token, i) => [i ? ' ' : '', h('code', { title: signed(row[up ? 'promoted_by' : 'demoted_by'][i], 2) }, token)]);

const strongest = (rows, keep, by) => (rows ?? []).filter(keep).sort((a, b) => Math.abs(b[by]) - Math.abs(a[by]));

const worst = (subject, row) => (subject.effects.suffers ?? []).filter((one) => one.head === row.head && one.by === row.by).reduce((a, b) => (b.change > (a?.change ?? -Infinity) ? b : a), null);
const loss = (subject) => [
  { title: 'Loss without it, nats a token', number: true, cell: (row) => withRange(signed(row.change, 3), interval(row.low, row.high, 3)), value: (row) => row.change },
  { title: 'Suffers most', words: true, cell: (row) => { const one = worst(subject, row); return one ? withRange(one.token, ` ${signed(one.change, 3)}`) : '–'; }, value: (row) => worst(subject, row)?.change },
  { title: 'Clear', cell: (row) => (row.flagged ? 'yes' : 'no'), value: (row) => (row.flagged ? 1 : 0) },
];
const FEEDS = [
  { title: 'On', words: true, cell: (row) => own(row.behaviour), value: (row) => row.behaviour },
  { title: 'Input', cell: (row) => row.input, value: (row) => row.input },
  { title: 'Its attention there', number: true, cell: (row) => percent(row.own), value: (row) => row.own },
  { title: 'Without it', number: true, cell: (row) => withRange(`${signed(100 * row.change, 1)} points`, interval(100 * row.low, 100 * row.high, 1)), value: (row) => row.change },
];
const PROBE = [
  { title: 'Probe', words: true, cell: (row) => own(row.probe), value: (row) => row.probe },
  { title: 'On it', number: true, cell: (row) => inUnit(row, row.value), value: (row) => row.value },
  { title: 'Its control', number: true, cell: (row) => inUnit(row, row.control), value: (row) => row.control },
  { title: 'Difference', number: true, cell: (row) => withRange(signed(row.difference, 2), interval(row.low, row.high, 2)), value: (row) => row.difference },
];

// What a head writes and whether it matters, in a line; nothing without a run of effects.
export function line(subject, name) {
  const of = (rows) => (rows ?? []).filter((row) => row.head === name);
  const rows = of(subject.effects?.effects);
  if (!rows.length) return null;
  const said = rows.filter((row) => row.named).map((row) => `${row.named} ${TOKENS[row.token]} (${signed(row.effect, 2)} logits)`);
  const lost = of(subject.effects.matters).filter((row) => row.by === 'mean').map((row) =>
    `; without it the loss is ${signed(row.change)} nats a token${row.flagged ? '' : ` (${interval(row.low, row.high)}, not clear)`}`);
  return `It writes: ${said.join(', ') || 'nothing clear on what it reads or on the true token'}${lost.join('')}.`;
}

// One head's part of its page.
export function effects(subject, name) {
  const of = (rows, keep = () => true) => (rows ?? []).filter((row) => row.head === name && keep(row));
  const found = subject.effects ?? {};
  const written = of(found.effects), told = of(found.promoted), lost = of(found.matters), fed = strongest(of(found.reads), () => true, 'change'), asked = of(subject.probes?.probes, (row) => row.flagged);
  if (!written.length && !asked.length) return null;
  const source = provenance(subject, 'effects', '95 % intervals over texts and tokens');
  const from = { title: 'Earlier head', cell: (row) => headLink(subject, row.from_head), value: (row) => place(row.from_head) };
  return section('What it writes',
    written.length ? table(`Direct effect of ${prose(name)} on logits, where it attends to content`, [
      { title: 'On', words: true, cell: (row) => TOKENS[row.token], value: (row) => row.token },
      { title: 'Beyond other tokens of the text', number: true, cell: logits, value: (row) => row.effect },
      { title: 'On those', number: true, cell: (row) => signed(row.expected, 2), value: (row) => row.expected },
      { title: 'It', words: true, cell: (row) => row.named ?? '–', value: (row) => row.named ?? '' },
      { title: 'Rows', number: true, cell: (row) => String(row.rows), value: (row) => row.rows },
    ], written, source) : null,
    told.length ? table('Tokens it promotes and demotes most, by kind of token read', [
      { title: 'It reads', words: true, cell: (row) => row.reads, value: (row) => row.reads },
      { title: 'Rows', number: true, cell: (row) => String(row.rows), value: (row) => row.rows },
      { title: 'Promotes', words: true, cell: (row) => tokens(row, true), value: (row) => row.promotes.join(' ') },
      { title: 'Demotes', words: true, cell: (row) => tokens(row, false), value: (row) => row.demotes.join(' ') },
    ], told, source) : null,
    lost.length ? table('Whether it matters', [{ title: 'In its place', words: true, cell: (row) => (row.by === 'mean' ? 'its mean output' : 'what its mean attention reads'), value: (row) => row.by }, ...loss(subject)], lost, source) : null,
    fed.length ? table('From whom it reads: an earlier head taken out of its queries or keys alone', [from, ...FEEDS], fed, source, { limit: 10 }) : null,
    asked.length ? table('Probes it answers', PROBE, asked, provenance(subject, 'probe', 'pairs of texts made of the vocabulary')) : null);
}

export function effectsView(subject) {
  const { effects: rows, matters, reads, summary } = subject.effects ?? {};
  const probes = subject.probes;
  const source = provenance(subject, 'effects', '95 % intervals over texts and tokens');
  const order = Object.keys(probes?.asks ?? {});
  const flagged = strongest(probes?.probes, (row) => row.flagged, 'difference').sort((a, b) => order.indexOf(a.probe) - order.indexOf(b.probe));
  const named = strongest(rows, (row) => row.named, 'effect');
  const clear = strongest(matters, (row) => row.flagged && row.by === 'mean', 'change');
  const fed = strongest(reads, (row) => row.flagged, 'change');
  const from = { title: 'Earlier head', cell: (row) => headLink(subject, row.from_head), value: (row) => place(row.from_head) };
  return [
    h('h1', null, own(subject.name)),
    h('p', { class: 'headline' }, own([summary, probes?.summary].filter(Boolean).join(' '))),
    rows ? section('What heads write', read('Direct effects on logits, beyond those on other tokens of the text at the same distance: a head copies or suppresses what it reads, helps or hurts the true token.'),
      named.length ? table('Heads with a name', [head(subject),
        { title: 'It', cell: (row) => row.named, value: (row) => row.named },
        { title: 'Logits', number: true, cell: logits, value: (row) => row.effect },
        { title: 'On other tokens', number: true, cell: (row) => signed(row.expected, 2), value: (row) => row.expected },
        { title: 'Rows', number: true, cell: (row) => String(row.rows), value: (row) => row.rows }], named, source, { limit: 40 }) : null) : null,
    matters ? section('Whether they matter', read(`${clear.length} heads change the loss clearly when their mean output stands in their place.`),
      clear.length ? table('Heads that matter', [head(subject), ...loss(subject)], clear, source, { limit: 40 }) : null) : null,
    reads ? section('From whom they read', read('An earlier head is taken out of a head’s queries or keys alone.'),
      fed.length ? table('Pairs of heads', [head(subject), from, ...FEEDS], fed, source, { limit: 40 }) : null) : null,
    probes ? section('Probes', read('Texts made of the model’s own vocabulary; the control lacks what there is to read.'),
      flagged.length ? table('Heads that answer', [head(subject), ...PROBE], flagged, provenance(subject, 'probe', `${number(flagged[0].pairs, 0)} or more pairs a probe`), { limit: 60 }) : null) : null,
  ];
}
