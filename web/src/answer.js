// The answer: the model in a paragraph, its heads by name in a grid, where its attention goes, and every head's sentence.

import { clear, h, own, room } from './dom.js';
import { interval, percent, plural, signed } from './format.js';
import { headGrid } from './grid.js';
import { headLink, provenance, read, section, table, withRange } from './parts.js';
import { go, route } from './router.js';

// What names of heads speak of, in the order in which a reader looks for them.
export const FAMILIES = {
  syntax: ['#4c6a92', 'a syntactic link'], repetition: ['#b0763a', 'what stood before'],
  'word pieces': ['#50898a', 'pieces of a word'], punctuation: ['#7d7d3c', 'punctuation marks'],
  'word class': ['#5c8a5a', 'a class of words'], 'common keys': ['#a24f4f', 'the same from everywhere'],
  position: ['#8a5a86', 'a place'], sinks: ['#747b87', 'tokens without content'], 'your own': ['#b04a86', 'what you asked for'],
};
const color = (family) => FAMILIES[family]?.[0] ?? '#747b87';
const from = (subject, ...scope) => provenance(subject, subject.runs.some((run) => run.kind === 'explain') ? 'explain' : 'survey', ...scope);

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
  const source = from(subject, 'on the half of the texts that no name was chosen on');
  return h('section', { class: 'answered', 'aria-label': 'Its card' },
    h('p', { class: 'named' }, own(found.name)),
    h('p', { class: 'headline' }, own(found.sentence)),
    bar(parts), legend(parts),
    shown.length ? table('What it does, as a share of its content attention there', [
      { title: 'Behaviour', words: true, cell: (row) => own(row.behaviour), value: (row) => row.behaviour },
      { title: 'Share', number: true, cell: (row) => percent(row.confirmed_share), value: (row) => row.confirmed_share },
      { title: 'Beyond position', number: true, cell: (row) => withRange(signed(row.confirmed_excess, 2), interval(row.confirmed_low, row.confirmed_high, 2)), value: (row) => row.confirmed_excess },
      { title: 'Rows', number: true, cell: (row) => String(row.rows), value: (row) => row.rows },
    ], shown, source, { limit: 6 }) : h('p', { class: 'source' }, source));
}

// Every head by name: a colour for each family, the sentence of the one that is pointed at below.
function grid(subject, cards) {
  const by = new Map(cards.map((row) => [row.head, row]));
  const said = h('p', { class: 'pointed', 'aria-live': 'polite' });
  const point = (head) => {
    const found = by.get(head);
    if (found) clear(said, h('strong', null, headLink(subject, head), ' ', own(found.name)), ' ', own(found.sentence));
  };
  const cells = subject.headNames().map((head) => {
    const found = by.get(head);
    if (!found?.family) return { sentence: found?.sentence ?? 'not read' };
    return { fill: color(found.family), text: found.name, sentence: `${found.name}. ${found.sentence}` };
  });
  const svg = headGrid(subject, cells, {
    room: room(1192), label: `Heads of ${subject.name} by name. Arrow keys move, Enter opens a head.`,
    onfocus: point, onopen: (head) => go(route(subject.index, 'head', head)),
  });
  const first = cards.find((row) => row.family) ?? cards[0];
  point(first.head);
  const counts = new Map();
  for (const row of cards) counts.set(row.family, (counts.get(row.family) ?? 0) + 1);
  const legend = h('p', { class: 'legend' },
    Object.entries(FAMILIES).filter(([family]) => counts.has(family)).map(([family, [css, words]]) =>
      h('span', null, h('i', { class: 'swatch', style: { background: css } }), ` ${family}: ${words}, ${plural(counts.get(family), 'head')}`)),
    counts.has('') ? h('span', null, h('i', { class: 'hatched' }), ` no name yet, ${plural(counts.get(''), 'head')}`) : null);
  return h('div', null, h('div', { class: 'scroll' }, svg), said, legend);
}

export function answerView(subject) {
  const { cards, budget, summary } = subject.explanation;
  const parts = whole(budget, cards.length);
  const order = Object.keys(FAMILIES);
  const place = (row) => (row.family ? order.indexOf(row.family) : order.length);
  const listed = [...cards].sort((a, b) => place(a) - place(b));
  const source = from(subject, 'names confirmed on the second half');
  return [
    h('h1', null, own(subject.name)),
    h('p', { class: 'headline' }, own(summary)),
    section('Its heads by name', grid(subject, cards),
      read('One cell is one head. A name was found on one half of the texts and held on the other; its figures are those of the half that did not choose it. Key ? explains the words.')),
    section('Where its attention goes', bar(parts), legend(parts),
      read('Mean over all heads, on texts that no name was chosen on. A behaviour counts for what it has beyond the head’s own mean attention by position.')),
    section('What every head does', table('Heads by family', [
      { title: 'Head', cell: (row) => headLink(subject, row.head), value: (row) => Number(row.head.split('.')[0]) * 1000 + Number(row.head.split('.')[1]) },
      { title: 'Name', words: true, cell: (row) => own(row.name), value: (row) => row.name },
      { title: 'Family', cell: (row) => row.family || '–', value: (row) => row.family },
      { title: 'On sinks', number: true, cell: (row) => percent(row.sink_share), value: (row) => row.sink_share },
      { title: 'The finding', words: true, cell: (row) => own(row.sentence), value: (row) => row.sentence },
    ], listed, source, { limit: 40 })),
  ];
}
