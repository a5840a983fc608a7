// The answer: the model in a paragraph, its heads by name in a grid, where its attention goes, and every head's sentence.

import { clear, h, own, room } from './dom.js';
import { line } from './effects.js';
import { interval, percent, plural, signed } from './format.js';
import { headGrid } from './grid.js';
import { headLink, provenance, read, section, table, withRange } from './parts.js';
import { go, route } from './router.js';

// What names of heads speak of, in the order in which a reader looks for them.
export const FAMILIES = {
  syntax: ['#4c6a92', 'a syntactic link'], repetition: ['#b0763a', 'what stood before'],
  'word pieces': ['#50898a', 'pieces of a word'], punctuation: ['#7d7d3c', 'punctuation marks'],
  'word class': ['#5c8a5a', 'a class of words'], 'common keys': ['#a24f4f', 'the same from everywhere'],
  position: ['#8a5a86', 'a place'], sinks: ['#747b87', 'an opening, special or filler token'], 'your own': ['#b04a86', 'what you asked for'],
};
const color = (family) => FAMILIES[family]?.[0] ?? '#747b87';
const from = (subject, ...scope) => provenance(subject, subject.runs.some((run) => run.kind === 'explain') ? 'explain' : 'survey', ...scope);

const PARTS = { sinks: 'opening and special tokens', itself: 'the token itself', 'previous token': 'the previous token', 'next token': 'the next token', nearby: 'four tokens around', elsewhere: 'farther off, for no reason found' };

// Names of places, and the parts of a budget that they are.
const NAMED = { 'the previous token': 'previous token', 'the next token': 'next token' };

// A part of a budget: a place, or a behaviour in the colour of its family, as in the grid.
// Places are shades of one colour, the nearest the fullest.
const SHADE = { itself: 100, 'previous token': 75, 'next token': 55, nearby: 35 };
const ofPlace = (part) => ({ said: PARTS[part], css: part === 'elsewhere' ? 'var(--line)' : part === 'sinks' ? color('sinks') : `color-mix(in oklab, ${color('position')} ${SHADE[part]}%, var(--line))` });

// Parts in whole per cents that add up to 100: rounded down, what is missing goes to those that lost most.
function wholePercents(parts) {
  const found = parts.map((part) => ({ ...part, whole: Math.floor(100 * part.share) }));
  const total = Math.round(100 * parts.reduce((sum, { share }) => sum + share, 0));
  const missing = total - found.reduce((sum, { whole }) => sum + whole, 0);
  for (const part of [...found].sort((a, b) => (a.whole - 100 * a.share) - (b.whole - 100 * b.share)).slice(0, missing)) part.whole += 1;
  return found;
}

// Where all attention goes, as one bar; what it says is said in words below it.
function budget(parts) {
  const shown = wholePercents(parts).filter(({ whole }) => whole > 0);
  return [
    h('p', { class: 'budget', role: 'img', 'aria-label': shown.map(({ said, whole }) => `${said} ${whole} %`).join(', ') },
      shown.map(({ said, share, whole, css }) => h('span', { style: { 'flex-grow': String(share), background: css }, title: `${said} ${whole} %` }))),
    h('p', { class: 'legend' }, shown.map(({ said, whole, css }) => h('span', null, h('i', { class: 'swatch', style: { background: css } }), ` ${said} ${whole} %`))),
  ];
}

// The model's: places, and behaviours by family.
function whole({ budget: rows, behaviours }, heads) {
  const family = new Map((behaviours ?? []).map((row) => [row.behaviour, row.family]));
  const totals = new Map();
  for (const { part, share } of rows) {
    const kind = family.get(part);
    const of = PARTS[part] ? ofPlace(part) : { said: kind === 'sinks' ? 'filler words' : `${kind}, beyond position`, css: color(kind) };
    totals.set(of.said, { ...of, share: (totals.get(of.said)?.share ?? 0) + share / heads });
  }
  return [...totals.values()].sort((a, b) => b.share - a.share);
}

// One head: its name, the finding in a sentence, where its attention goes, and what it does beyond position.
export function card(subject, head) {
  const of = (rows) => (rows ?? []).filter((row) => row.head === head);
  const [found] = of(subject.explanation?.cards);
  if (!found) return null;
  const shown = of(subject.explanation.behaviours).filter((row) => row.listed);
  const family = new Map(shown.map((row) => [row.behaviour, row.family]));
  const parts = of(subject.explanation.budget).map(({ part, share }) => ({ ...(PARTS[part] ? ofPlace(part) : { said: part, css: color(family.get(part)) }), share }));
  const source = from(subject, 'on the half of the texts that no name was chosen on');
  const written = line(subject, head);
  return h('section', { class: 'answered', 'aria-label': 'Its card' },
    h('p', { class: 'named' }, own(found.name)),
    h('p', { class: 'headline' }, own(found.sentence)),
    written ? h('p', null, written) : null,
    h('p', { class: 'said' }, 'Where all of its attention goes:'),
    budget(parts),
    shown.length ? table('What it does: shares of what it reads where it can', [
      { title: 'Behaviour', words: true, cell: (row) => own(row.behaviour), value: (row) => row.behaviour },
      { title: 'Share', number: true, cell: (row) => percent(row.confirmed_share), value: (row) => row.confirmed_share },
      { title: 'Points beyond position', number: true, cell: (row) => withRange(`${signed(100 * row.confirmed_excess, 0)}`, interval(100 * row.confirmed_low, 100 * row.confirmed_high, 0)), value: (row) => row.confirmed_excess },
      { title: 'Tokens', number: true, cell: (row) => String(row.rows), value: (row) => row.rows },
    ], shown, source, { limit: 6 }) : h('p', { class: 'source' }, source));
}

// A name for a cell: without words that stand in most of them.
const brief = (name) => name.replace(/^reads (the word )?/, '').replace(/^rests /, '').replace(/\b(the|its) /g, '');

// Every head by name: a colour for each family, above it the sentence of the one that is pointed at.
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
    return { fill: color(found.family), text: brief(found.name), sentence: `${found.name}. ${found.sentence}` };
  });
  const svg = headGrid(subject, cells, {
    room: room(1192), least: subject.heads > 16 ? 15 : 78, label: `Heads of ${subject.name} by name. Arrow keys move, Enter opens a head.`,
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
  return h('div', null, legend, said, h('div', { class: 'scroll' }, svg));
}

export function answerView(subject) {
  const { cards, summary } = subject.explanation;
  const order = Object.keys(FAMILIES);
  const place = (row) => (row.family ? order.indexOf(row.family) : order.length);
  const source = from(subject, 'names confirmed on the second half');
  // What a name claims: its part of all attention, and, where a behaviour can be seen, what is read of it.
  const figure = new Map((subject.explanation.behaviours ?? []).filter((row) => row.listed).map((row) => [row.head + row.behaviour, row]));
  const parts = new Map(subject.explanation.budget.map((row) => [row.head + row.part, row.share]));
  // What is no part of a budget is said by the sentence: evenly, nearby, the same from everywhere.
  const said = (row, whose) => { const found = row.family && new RegExp(`(\\d+) % of ${whose} `).exec(row.sentence); return found ? Number(found[1]) / 100 : null; };
  const share = (row) => parts.get(row.head + (NAMED[row.name] ?? row.name)) ?? said(row, 'all its');
  const clearest = (row) => figure.get(row.head + row.name)?.confirmed_excess ?? share(row) ?? 0;
  const listed = [...cards].sort((a, b) => place(a) - place(b) || clearest(b) - clearest(a));
  const applies = (row) => {
    const [one, common] = [figure.get(row.head + row.name), said(row, 'a token\'s')];
    if (one) return withRange(`${percent(one.confirmed_share)}, ${signed(100 * one.confirmed_excess, 0)}`, interval(100 * one.confirmed_low, 100 * one.confirmed_high, 0));
    return common === null || row.family !== 'common keys' ? '–' : `${percent(common)} in common`;
  };
  return [
    h('h1', null, 'What the heads of ', own(subject.name), ' do'),
    h('p', { class: 'lede' }, 'For every token of a text an attention head decides how much it reads of every other token.'),
    h('p', { class: 'headline' }, own(summary)),
    h('p', { class: 'said' }, 'Where the attention of all heads goes:'),
    budget(whole(subject.explanation, cards.length)),
    section('Its heads by name',
      read('One cell is one head; point at it for what it does, open it for its page. A name was found on one half of the texts and held on the other; its figures are those of the half that did not choose it. Key ? explains the words.'),
      grid(subject, cards)),
    section('What every head does',
      read('Of all its attention: what the name says, beyond what reading the same distances whatever stands there would give. Where it applies: of what the head reads there, the share that goes to what the name says, then by how many points that is more than by distance alone, with the 95 % interval.'),
      table('Heads by family', [
      { title: 'Head', cell: (row) => headLink(subject, row.head), value: (row) => Number(row.head.split('.')[0]) * 1000 + Number(row.head.split('.')[1]) },
      { title: 'Name', words: true, cell: (row) => own(row.name), value: (row) => row.name },
      { title: 'Family', cell: (row) => row.family || '–', value: (row) => row.family },
      { title: 'Of all its attention', number: true, cell: (row) => { const part = share(row); return part === null ? '–' : percent(part); }, value: share },
      { title: 'Where it applies, points beyond position', number: true, cell: applies, value: (row) => figure.get(row.head + row.name)?.confirmed_excess ?? null },
      { title: 'Where most of its attention goes', words: true, cell: (row) => own(`${row.sentence.split('. ')[0]}.`), value: (row) => row.sentence },
    ], listed, source, { limit: 24 })),
  ];
}
