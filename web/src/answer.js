// The answer: the model in a paragraph, where its attention goes, and every head with its name and sentence.

import { h, own } from './dom.js';
import { interval, percent, signed } from './format.js';
import { headLink, provenance, read, section, table, withRange } from './parts.js';

const PARTS = { sinks: 'tokens without content', itself: 'the token itself', 'previous token': 'the previous token', 'next token': 'the next token', nearby: 'four tokens around', elsewhere: 'elsewhere' };

// Where all attention goes, as one bar; what it says is said in words beside it.
function bar(parts) {
  const shown = parts.filter(([, share]) => share >= 0.005);
  return h('p', { class: 'budget', role: 'img', 'aria-label': shown.map(([part, share]) => `${part} ${percent(share)}`).join(', ') },
    shown.map(([part, share], i) => h('span', { class: `part p${i % 7}`, style: { 'flex-grow': String(share) }, title: `${part} ${percent(share)}` })));
}

const legend = (parts) => h('p', { class: 'legend' }, parts.filter(([, share]) => share >= 0.005)
  .map(([part, share], i) => h('span', null, h('i', { class: `swatch part p${i % 7}` }), ` ${part} ${percent(share)}`)));

function whole(rows, heads) {
  const totals = new Map();
  for (const row of rows) {
    const name = PARTS[row.part] ?? 'named behaviours, beyond position';
    totals.set(name, (totals.get(name) ?? 0) + row.share / heads);
  }
  return [...totals].sort((a, b) => b[1] - a[1]);
}

// One head: its name, the finding in a sentence, where its attention goes, and what it does beyond position.
export function card(subject, head) {
  const of = (rows) => (rows ?? []).filter((row) => row.head === head);
  const [found] = of(subject.explanation?.cards);
  if (!found) return null;
  const parts = of(subject.explanation.budget).map(({ part, share }) => [PARTS[part] ?? part, share]);
  const shown = of(subject.explanation.behaviours).filter((row) => row.listed);
  const source = provenance(subject, 'explain', 'on the half of the texts that no name was chosen on');
  return h('section', { class: 'answered', 'aria-label': 'Its card' },
    h('p', { class: 'named' }, own(found.name)),
    h('p', { class: 'headline' }, own(found.sentence)),
    bar(parts), legend(parts),
    shown.length ? table('What it does beyond its position', [
      { title: 'Behaviour', words: true, cell: (row) => own(row.behaviour), value: (row) => row.behaviour },
      { title: 'Of its content attention there', number: true, cell: (row) => percent(row.confirmed_share), value: (row) => row.confirmed_share },
      { title: 'Beyond position', number: true, cell: (row) => withRange(signed(row.confirmed_excess, 2), interval(row.confirmed_low, row.confirmed_high, 2)), value: (row) => row.confirmed_excess },
      { title: 'Rows', number: true, cell: (row) => String(row.rows), value: (row) => row.rows },
    ], shown, source, { limit: 6 }) : h('p', { class: 'source' }, source));
}

export function answerView(subject) {
  const { cards, budget, summary } = subject.explanation;
  const parts = whole(budget, cards.length);
  const source = provenance(subject, 'explain', 'names confirmed on the second half');
  return [
    h('h1', null, own(subject.name)),
    h('p', { class: 'headline' }, own(summary)),
    section('Where its attention goes', bar(parts), legend(parts),
      read('Mean over all heads, on texts that no name was chosen on. A behaviour counts for what it has beyond the head’s own mean attention by position.')),
    section('What every head does', table('Heads by name', [
      { title: 'Head', cell: (row) => headLink(subject, row.head), value: (row) => Number(row.head.split('.')[0]) * 1000 + Number(row.head.split('.')[1]) },
      { title: 'Name', words: true, cell: (row) => own(row.name), value: (row) => row.name },
      { title: 'Family', cell: (row) => row.family || '–', value: (row) => row.family },
      { title: 'On sinks', number: true, cell: (row) => percent(row.sink_share), value: (row) => row.sink_share },
      { title: 'The finding', words: true, cell: (row) => own(row.sentence), value: (row) => row.sentence },
    ], cards, source, { limit: 400 })),
  ];
}
