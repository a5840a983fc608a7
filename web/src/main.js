// The report: finds out where the reader is and draws that view.

import { aboutView } from './about.js';
import { answerView } from './answer.js';
import { compareView } from './compare.js';
import { onSystemTheme, theme } from './colors.js';
import { data, subjects } from './data.js';
import { discoveryView } from './discovery.js';
import { effectsView } from './effects.js';
import { append, clear, h, own, select } from './dom.js';
import { prose } from './format.js';
import { glossary } from './glossary.js';
import { headView } from './head.js';
import { hintsView } from './hints.js';
import { overview } from './overview.js';
import { patternView, patternsView } from './pattern.js';
import { replacementView } from './replacement.js';
import { go, link, parse, route, start } from './router.js';
import { searchBox } from './search.js';

const VIEWS = {
  answer: ['Answer', answerView, (subject) => subject.explanation?.cards],
  heads: ['Heads', overview, (subject) => subject.survey || subject.fit || !(proof(subject) || subject.explanation || written(subject))],
  head: [null, headView],
  patterns: ['Patterns', patternsView, (subject) => subject.patterns.length],
  pattern: [null, patternView],
  discovery: ['Discovery', discoveryView, (subject) => subject.discovery],
  replacement: ['Replacement', replacementView, (subject) => subject.replacement],
  effects: ['Effects', effectsView, (subject) => written(subject)],
  hints: ['Hints', hintsView, (subject) => subject.hints],
  compare: ['Compare', compareView, () => subjects.length > 1],
  about: ['About', aboutView],
};
// Whether a subject has anything beside grids of heads to show.
const proof = (subject) => ['replacement', 'discovery', 'hints'].find((name) => subject[name]?.some((one) => Object.keys(one).length > 1));
const written = (subject) => subject.effects?.effects || subject.probes?.probes;
const PARENT = { head: 'heads', pattern: 'patterns' };

let at = { subject: 0, view: 'heads', rest: [] };
let drawn = 0;
let first = true;

const words = glossary();
const main = h('main', { id: 'main', tabindex: -1 });
const top = h('header', { class: 'top' });

// Where a reader begins: the grid of heads, or what there is instead of it.
function home(subject) {
  const grid = Object.keys(subject.blocks).length || subject.formulas;
  return subject.explanation?.cards ? 'answer' : grid ? 'heads' : proof(subject) ?? (written(subject) ? 'effects' : subject.runs.length ? 'about' : 'heads');
}

function bar() {
  const subject = subjects[at.subject];
  const entries = Object.entries(VIEWS).filter(([, [title, , shown]]) => title && (!shown || shown(subject)));
  const shown = entries.map(([name]) => name);
  const current = shown.includes(PARENT[at.view]) ? PARENT[at.view] : at.view === 'head' ? home(subject) : at.view;
  const dark = theme() === 'dark';
  const turn = h('button', { type: 'button', class: 'theme', 'aria-label': dark ? 'Light colours' : 'Dark colours', onclick: () => {
    document.documentElement.dataset.theme = dark ? 'light' : 'dark';
    draw();
  } }, dark ? '☀' : '☾');
  clear(top,
    h('a', { class: 'skip', href: '#main', onclick: (event) => { event.preventDefault(); main.focus(); } }, 'Skip to the content'),
    h('div', { class: 'bar' },
      h('a', { ...link(route(at.subject, home(subject))), class: 'brand' }, 'Headscribe'),
      subjects.length > 1
        ? select('Model', subjects.map((one, i) => [String(i), label(one)]), String(at.subject), (i) => go(route(i, ['head', 'pattern'].includes(at.view) ? PARENT[at.view] : at.view)), { class: 'subject' })
        : null,
      h('div', { class: 'tools' }, searchBox(() => at.subject), h('button', { type: 'button', class: 'meanings', title: 'What do these words mean? Key: ?', onclick: words.open }, 'Words ', h('kbd', null, '?')), turn),
      h('nav', { 'aria-label': 'Views' }, entries.map(([name, [title]]) => h('a', { ...link(route(at.subject, name)), 'aria-current': name === current ? 'page' : null }, title)))));
}

// Subjects of the same model are told apart by their texts.
function label(subject) {
  const twins = subjects.filter((one) => one.name === subject.name);
  return twins.length > 1 ? `${subject.name} on ${subject.runs[0]?.corpus?.name ?? subject.runs[0]?.folder} (${subject.runs[0]?.folder})` : subject.name;
}

// What is wrong with the runs of a page, a line a run with the way out; above every view.
function warning(subject) {
  const found = new Map();
  for (const run of subject.runs) {
    if (run.damaged) found.set(run.folder, 'damaged; what its tables still hold is shown. Make it again for the rest.');
    else if (!run.complete) found.set(run.folder, 'unfinished. Go on with it: the same command with --resume.');
  }
  for (const { run, part, why } of subject.missing) {
    if (!found.has(run)) found.set(run, `${why.startsWith('this version') ? '' : `cannot show its ${part}: `}${why}. Make it again, or open it with the version that wrote it.`);
  }
  return found.size ? h('div', { class: 'warning', role: 'note' }, h('p', null, h('strong', null, 'Parts of these runs are missing.'), ' Numbers that are here are as they were measured. ', h('a', link(route(at.subject, 'about')), 'All that is missing')),
    h('ul', null, [...found].slice(0, 5).map(([folder, words]) => h('li', null, own(folder, { class: 'name' }), ': ', own(words)))),
    found.size > 5 ? h('p', null, `And ${found.size - 5} more.`) : null) : null;
}

async function draw() {
  const mine = (drawn += 1);
  const subject = subjects[at.subject];
  const [title, view] = VIEWS[at.view];
  bar();
  main.setAttribute('aria-busy', 'true');
  let content;
  try {
    content = await view(subject, ...at.rest);
  } catch (error) {
    console.error(error);
    content = [h('h1', null, 'This view cannot be drawn'), h('p', { class: 'note' }, 'The run holds something that this version does not know: ', own(String(error.message)))];
  }
  if (mine !== drawn) return;
  clear(main, warning(subject), content);
  main.removeAttribute('aria-busy');
  const name = title ?? (at.view === 'head' ? prose(at.rest[0] ?? '') : at.rest[0] ?? '');
  document.title = `${name} · ${subject.name} · Headscribe`;
  if (!first) { window.scrollTo(0, 0); main.focus({ preventScroll: true }); }
  first = false;
}

function visit(address) {
  const [index, view, ...rest] = parse(address);
  const number = Number(index);
  const filled = Math.max(0, subjects.findIndex((one) => home(one) !== 'about'));
  const subject = Number.isInteger(number) && number >= 0 && number < subjects.length && index !== '' ? number : filled;
  at = { subject, view: Object.hasOwn(VIEWS, view ?? '') ? view : home(subjects[subject]), rest };
  draw();
}

const footer = h('footer', null, h('p', null, `Written by headscribe ${data.version}. The page is whole: it needs no network and sends nothing.`));
append(clear(document.getElementById('app'), top, main), [footer, words.node]);
if (subjects.length) {
  start(visit);
  onSystemTheme(() => { if (!document.documentElement.dataset.theme) draw(); });
} else {
  clear(main, h('h1', null, 'Nothing to show'), h('p', { class: 'note' }, 'None of the runs could be read.'));
}
