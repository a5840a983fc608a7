// The views of the explorer: heads on the text, words, one head, a relation, a changed model, two texts.

import { card, FAMILIES } from './answer.js';
import { rampColor, shade, textOn } from './colors.js';
import { subjects } from './data.js';
import { choice, clear, code, h, own, room, roving, select, unique } from './dom.js';
import { address, ask, examples, formulas, go, heads, here, kind, mask, matrixOf, recorded, Stale } from './explore-ask.js';
import { cut, number, percent, plural, prose, signed, token } from './format.js';
import { headGrid } from './grid.js';
import { matrix, scale } from './matrix.js';
import { figure, note, read, section, table } from './parts.js';
import { strip } from './strip.js';

export const subject = subjects[0];
const cards = subject.explanation?.cards ?? null;
const cardOf = new Map((cards ?? []).map((row) => [row.head, row]));
const source = () => `${subject.name} · ${recorded ? 'recorded text ' : ''}“${cut(here().text.replaceAll('\n', ' '), 50)}”`;

const SHORT = { sinks: 'sinks', itself: 'itself', 'previous token': 'previous', 'next token': 'next', nearby: 'nearby', elsewhere: 'elsewhere' };
const PARTS = { sinks: 'opening and special tokens', itself: 'the token itself', 'previous token': 'the previous token', 'next token': 'the next token', nearby: 'tokens nearby', elsewhere: 'tokens farther off' };
const COLORS = ['#747b87', '#b0763a', '#4c6a92', '#8a5a86', '#5c8a5a', '#50898a'];

// Where a head's attention goes, as one bar; the legend says the same in words.
function budget(reading, shares) {
  const shown = reading.parts.map((part, i) => [PARTS[part], shares[i], COLORS[i]]).filter(([, share]) => share >= 0.005);
  return [
    h('p', { class: 'budget', 'aria-hidden': true }, shown.map(([, share, color]) => h('span', { class: 'part', style: { 'flex-grow': String(share), background: color } }))),
    h('p', { class: 'legend' }, shown.map(([part, share, color]) => h('span', null, h('i', { class: 'swatch', style: { background: color } }), ` ${part} ${percent(share)}`))),
  ];
}

const headLink = (head, text = head) => h('a', { href: address({ view: 'head', head, formula: null }), class: 'head', onclick: opened({ view: 'head', head, formula: null }) }, text);
export const opened = (changes) => (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  go(changes);
};

// The finding of what was asked last, for those who hear the page.
export const spoken = h('p', { class: 'spoken', role: 'status' });

// Fills a place with what an answer becomes; what goes wrong is said there.
export async function fill(place, make) {
  place.setAttribute('aria-busy', 'true');
  try {
    clear(place, await make());
    place.removeAttribute('aria-busy');
    const finding = place.querySelector(':scope > .headline');
    if (finding) spoken.textContent = finding.textContent;
  } catch (error) {
    if (error instanceof Stale) return;
    clear(place, h('p', { class: 'problem', role: 'alert' }, own(error.message)));
    place.removeAttribute('aria-busy');
  }
}

const place = (label) => h('div', { class: 'answers', role: 'region', 'aria-label': label });

const later = (wait, act) => {
  let timer = null;
  return (...given) => { clearTimeout(timer); timer = setTimeout(() => act(...given), wait); };
};

// ---- the grid of heads on this text

function partCells(reading) {
  return reading.heads.map((shares) => {
    const best = shares.indexOf(Math.max(...shares));
    const part = reading.parts[best];
    return {
      fill: shade(COLORS[best], 0.2 + 0.8 * shares[best]), text: SHORT[part],
      sentence: `on this text ${reading.parts.map((one, i) => [PARTS[one], shares[i]]).filter(([, share]) => share >= 0.05).sort((a, b) => b[1] - a[1]).map(([one, share]) => `${percent(share)} on ${one}`).join(', ')}`,
    };
  });
}

const nameCells = () => subject.headNames().map((head) => {
  const found = cardOf.get(head);
  return found?.family
    ? { fill: FAMILIES[found.family]?.[0] ?? '#747b87', text: found.name, sentence: `${found.name}. ${found.sentence}` }
    : { sentence: found?.sentence ?? 'no name yet' };
});

let colored = cards ? 'name' : 'text';

export function headsView(reading) {
  const body = h('div');
  const draw = () => {
    const byName = colored === 'name' && cards;
    const cells = byName ? nameCells() : partCells(reading);
    const details = h('div', { class: 'card', 'aria-live': 'polite' });
    const point = (head) => {
      const i = subject.headIndex(head);
      const found = cardOf.get(head);
      clear(details, h('h2', null, headLink(head, prose(head))),
        found ? [h('p', null, h('strong', null, own(found.name))), h('p', { class: 'small' }, own(found.sentence))] : null,
        h('p', { class: 'small' }, 'Where its attention goes on this text:'), budget(reading, reading.heads[i]));
    };
    const svg = headGrid(subject, cells, {
      room: room(1192) - (window.innerWidth > 900 ? 300 : 0), label: `Heads of ${subject.name} on this text. Arrow keys move, Enter opens a head.`,
      chosen: here().head, onfocus: point, onopen: (head) => go({ view: 'head', head, formula: null }),
    });
    point(here().head && subject.headIndex(here().head) >= 0 ? here().head : subject.headNames()[0]);
    clear(body,
      h('p', { class: 'headline' }, summary(reading)),
      cards ? h('div', { class: 'controls' }, choice('Colour', [['name', 'what a head is named for'], ['text', 'what it does on this text']], byName ? 'name' : 'text', (value) => { colored = value; draw(); })) : null,
      h('div', { class: 'glance' },
        h('div', null,
          figure(byName ? 'The heads by name' : 'Where each head’s attention goes on this text, mostly', svg, source()),
          byName ? null : h('p', { class: 'legend' }, reading.parts.map((part, i) => h('span', null, h('i', { class: 'swatch', style: { background: COLORS[i] } }), ` ${SHORT[part]}`))),
          read('One cell is one head. ', byName ? 'Names come from the run, not from this text.' : 'Its colour says where most of its attention goes, averaged over the words of the text; the stronger, the more of it. Sinks are tokens that heads rest on: special ones, and the opening token where no word sees later ones.')),
        details));
  };
  draw();
  return body;
}

function summary(reading) {
  const count = reading.heads.length;
  const mean = reading.parts.map((_, i) => reading.heads.reduce((sum, shares) => sum + shares[i], 0) / count);
  const order = mean.map((share, i) => [share, i]).sort((a, b) => b[0] - a[0]);
  const said = order.filter(([share]) => share >= 0.05).map(([share, i]) => `${percent(share)} on ${PARTS[reading.parts[i]]}`);
  return `${plural(count, 'head')} read ${plural(reading.labels.length, 'token')}: ${said.join(', ')}.`;
}

// ---- words

function line(reading, label, pressed, onpick, first = null) {
  const units = reading.labels.map((text, i) => h('button', { type: 'button', class: 'unit', 'data-unit': i, 'aria-pressed': String(i === pressed), onclick: () => onpick(i) }, own(token(text), { class: 'word' })));
  const node = h('div', { class: 'units', role: 'group', 'aria-label': label }, first ? h('button', { type: 'button', class: 'unit any', 'data-unit': -1, 'aria-pressed': String(pressed === null), onclick: () => onpick(null) }, first) : null, units);
  roving(node, '.unit', 1, Math.max(0, first ? (pressed ?? -1) + 1 : pressed ?? 0));
  return {
    node,
    press: (at) => node.querySelectorAll('.unit').forEach((one) => one.setAttribute('aria-pressed', String(Number(one.dataset.unit) === (at ?? -1)))),
    tint: (values) => units.forEach((unit, i) => {
      const color = rampColor('attention', Math.min(1, values[i]));
      unit.style.setProperty('background-color', color);
      unit.style.setProperty('color', textOn(color));
      unit.title = `at most ${percent(values[i])}`;
    }),
  };
}

const index = (value, length) => (value !== null && value !== '' && Number.isInteger(Number(value)) && Number(value) >= 0 && Number(value) < length ? Number(value) : null);

export function wordsView(reading) {
  const n = reading.labels.length;
  const content = reading.sinks.lastIndexOf(false);
  const start = () => index(here().at, n) ?? Math.max(0, content > 0 && content === n - 1 ? reading.sinks.lastIndexOf(false, content - 1) : content);
  const end = () => index(here().to, n);
  const toward = () => (here().toward === 'read' ? 'read' : 'reads');
  const found = place('Heads that look so');
  const from = line(reading, 'The word', start(), (at) => { go({ at }, { quiet: true }); update(); });
  const to = line(reading, 'To which word', end(), (at) => { go({ to: at }, { quiet: true }); update(); }, 'any word');
  const update = () => {
    from.press(start());
    to.press(end());
    fill(found, async () => {
      const [a, b] = [start(), end()];
      const answer = await ask('words', { text: here().text, at: a, to: b, toward: toward() });
      to.tint(answer.strongest);
      const [word, other] = [own(`“${reading.labels[a]}”`), b === null ? 'any other word' : own(`“${reading.labels[b]}”`)];
      const best = answer.heads[0];
      const reads = toward() === 'reads';
      return [
        h('p', { class: 'headline' }, headLink(best.head, prose(best.head)), reads ? ' looks most from ' : ' looks most to ', word, reads ? ' to ' : ' from ', own(`“${reading.labels[best.to]}”`), `: ${percent(best.share)} of its attention there.`),
        table(reads ? 'Heads by how much they look from the word to the other' : 'Heads by how much they look to the word from the other', [
          { title: 'Head', cell: (row) => headLink(row.head), value: (row) => row.head },
          { title: reads ? 'looks to' : 'looks from', words: true, cell: (row) => own(token(reading.labels[row.to])), value: (row) => reading.labels[row.to] },
          { title: 'Share', number: true, cell: (row) => percent(row.share), value: (row) => row.share },
          ...(cards ? [
            { title: 'Named for', words: true, cell: (row) => (row.name ? own(row.name) : '–'), value: (row) => row.name },
            { title: 'This pair is', words: true, cell: (row) => (row.behaviour ? own(row.behaviour) : '–'), value: (row) => row.behaviour },
            { title: 'Usual share', number: true, cell: (row) => (row.usual === null ? '–' : percent(row.usual)), value: (row) => row.usual },
          ] : []),
        ], answer.heads, source(), { limit: 12 }),
        read(b === null ? 'Sinks and the word itself are left out unless you choose them. ' : '', cards ? 'The usual share is that of the run: of a behaviour, the share of the head’s attention on content where it applies; of a place (previous token, sinks), of all its attention.' : 'Give a run of survey or explain (--runs) and the heads’ names stand here as well.'),
      ];
    });
  };
  const turn = choice('Direction', [['reads', 'what it reads'], ['read', 'what reads it']], toward(), (value) => { go({ toward: value }, { quiet: true }); update(); });
  update();
  return [
    h('h2', { class: 'first' }, 'Which heads look from a word, and to where'),
    h('div', { class: 'controls' }, turn),
    h('p', { class: 'strip-title' }, 'The word (arrow keys move, Enter chooses)'), from.node,
    h('p', { class: 'strip-title' }, 'The other word, shaded by the head that looks there most'), to.node,
    found,
  ];
}

// ---- one head

function units(reading) {
  return reading.labels.map((label, i) => ({ label, special: reading.special[i], tag: reading.word_of_token[i] >= 0 && reading.word_of_token[i - 1] !== reading.word_of_token[i] ? [reading.words.upos?.[reading.word_of_token[i]], reading.words.dep?.[reading.word_of_token[i]]].filter(Boolean).join(' ') || null : null }));
}

const silent = (values, n) => Array.from({ length: n }, (_, i) => values.subarray(i * n, (i + 1) * n).every((v) => v === 0));

// Matrices side by side under the text itself, which is shaded for the word that one points at.
function pictures(reading, rows) {
  const n = reading.labels.length;
  const drawn = [];
  const show = (query, key) => drawn.forEach((svg) => svg.show(query, key));
  const words = strip(units(reading), rows.filter((row) => row.kind !== 'difference'), { levels: Infinity, onpick: (at, toward) => (toward === 'reads' ? show(at, null) : drawn.forEach((svg) => svg.show(null, at))) });
  const width = room(1192);
  const space = width > 900 && rows.length > 1 ? (width - 20 * (rows.length - 1)) / rows.length - 14 : Math.min(width, 620);
  const panels = rows.map((row) => {
    const svg = matrix(reading.labels, row.values, { kind: row.kind ?? 'attention', description: row.title, uncovered: row.uncovered ?? null, room: space, onpick: (query, key) => { words.pick(query); show(query, key); } });
    drawn.push(svg);
    return h('div', { class: 'panel' }, figure(row.title, svg, source(), { said: false }), scale(row.kind ?? 'attention'));
  });
  return [words.node, rows.some((row) => row.uncovered?.some(Boolean)) ? h('p', { class: 'small' }, h('i', { class: 'hatched' }), ' hatched rows: nothing is predicted for these tokens') : null, h('div', { class: 'panels' }, panels), h('p', { class: 'source' }, source())];
}

export function headView(reading) {
  const names = subject.headNames();
  const { head } = here();
  const at = head ? subject.headIndex(head) : -1;
  const pick = select('Head', [['', 'choose a head'], ...names.map((name) => [name, prose(name)])], at >= 0 ? head : '', (value) => value && go({ head: value, formula: null }));
  if (at < 0) return [h('h2', { class: 'first' }, 'One head on this text'), h('div', { class: 'controls' }, pick), note('Choose a head here, or open one in the grid.')];
  const n = reading.labels.length;
  const step = (to, title, css) => (to ? h('a', { href: address({ head: to, formula: null }), class: css, 'aria-label': `${title}, ${prose(to)}`, onclick: opened({ head: to, formula: null }) }, to) : null);
  const found = place('Attention on this text');
  const follows = place('What it follows on this text');
  const problem = unique('problem');
  const wrong = h('p', { class: 'problem', id: problem, role: 'status' });
  const score = h('p', { class: 'readout', role: 'status' });
  const box = h('textarea', { rows: 6, spellcheck: 'false', autocapitalize: 'off', dir: 'ltr', class: 'mono', 'aria-describedby': problem, placeholder: '+3.0  distance == -1\n+1.5  key.is_bos' });
  const label = h('label', { class: 'field' }, h('span', null, `A formula for ${prose(head)}: attention = softmax of the weighted sum of relations, a term a line`), box);
  let fitted = null;
  const update = async () => {
    const formula = here().formula;
    const seen = { text: here().text, head, formula: formula || null };
    await fill(found, async () => {
      let answer;
      try {
        answer = await ask('head', seen);
        clear(wrong);
        box.removeAttribute('aria-invalid');
      } catch (error) {
        if (error instanceof Stale || !formula) throw error;
        clear(wrong, own(error.message));
        box.setAttribute('aria-invalid', 'true');
        clear(score);
        answer = { ...await ask('head', { ...seen, formula: null }, 'plain'), predicted: null };
      }
      fitted = answer.fitted;
      restore.hidden = fitted === null || !formula;
      if (!formula && answer.formula && document.activeElement !== box) box.value = answer.formula;
      const real = matrixOf(answer.attention);
      const rows = [{ title: `${prose(head)}, its attention`, short: 'real', values: real }];
      if (answer.predicted) {
        const values = matrixOf(answer.predicted);
        rows.push({ title: 'Predicted by the formula', short: 'predicted', values, uncovered: silent(values, n) }, { title: 'Difference, real minus predicted', kind: 'difference', values: real.map((v, i) => v - values[i]) });
        clear(score, h('strong', null, `IoU ${number(answer.iou, 3)}`), ` on this text: ${percent((2 * answer.iou) / (1 + answer.iou))} of the attention lies where the formula says.`);
      } else clear(score, fitted === null && !formula ? 'No fit of this head is among the runs: write a formula to see what it predicts.' : '');
      return pictures(reading, rows);
    });
  };
  const restore = h('button', { type: 'button', class: 'act', hidden: true, onclick: () => { go({ formula: null }, { quiet: true }); box.value = fitted; update(); } }, 'Back to the fitted formula');
  box.value = here().formula ?? '';
  const typed = later(200, () => { go({ formula: box.value.trim() && box.value !== fitted ? box.value : null }, { quiet: true, step: false }); update(); });
  box.addEventListener('input', typed);
  update();
  fill(follows, async () => {
    const { behaviours } = await ask('follows', { text: here().text, head });
    if (!behaviours.length) return note('Nothing of the catalogue applies to two words of this text and is followed beyond chance.');
    const [best] = behaviours;
    return [
      h('p', null, 'Most of all ', own(best.behaviour), `: ${percent(best.share)} of its attention on content, ${percent(best.chance)} by chance, on ${plural(best.rows, 'word')}. `, h('span', { class: 'small' }, 'What one text shows is an example; a name takes a survey.')),
      table(`What of the catalogue ${prose(head)} follows here`, [
        { title: 'Behaviour', words: true, cell: (row) => h('a', { href: address({ view: 'relation', relation: row.relation }), onclick: opened({ view: 'relation', relation: row.relation }) }, own(row.behaviour)), value: (row) => row.behaviour },
        { title: 'Follows it', number: true, cell: (row) => percent(row.share), value: (row) => row.share },
        { title: 'by chance', number: true, cell: (row) => percent(row.chance), value: (row) => row.chance },
        { title: 'Words', number: true, cell: (row) => String(row.rows), value: (row) => row.rows },
      ], behaviours, source(), { limit: 6 }),
    ];
  });
  const put = (what) => () => {
    const [off, more] = [heads('off').filter((one) => one !== head), heads('put').filter((one) => one !== head)];
    go({ view: 'change', off: (what === 'off' ? [...off, head] : off).join(' '), put: (what === 'put' ? [...more, head] : more).join(' ') });
  };
  return [
    h('div', { class: 'title' }, h('h2', { class: 'first' }, `${prose(head)} on this text`), h('nav', { 'aria-label': 'Neighbouring heads', class: 'steps' }, step(names[at - 1], 'Previous head', 'before'), step(names[at + 1], 'Next head', 'after'))),
    h('div', { class: 'controls' }, pick, recorded ? null : [h('button', { type: 'button', class: 'act', onclick: put('off') }, 'Switch it off'), h('button', { type: 'button', class: 'act', onclick: put('put') }, 'Put the formula in its place')]),
    card(subject, head),
    found,
    section('What it follows on this text', follows),
    section('Its formula', label, wrong, score, restore, read('The best words are simple: key.is_bos, distance == -1, key.word == query.head. Each term has a signed weight and a relation of query and key.')),
  ];
}

// ---- a relation

const TRY = ['distance == -1', 'key.word == query.word and distance < 0', 'key.prev.id == query.id', 'key.is_punct', 'key.upos == "NOUN"', 'key.word == query.head'];

export function relationView(reading) {
  const n = reading.labels.length;
  const found = place('What the relation says');
  const onRun = place('On the texts of the run');
  const problem = unique('problem');
  const wrong = h('p', { class: 'problem', id: problem, role: 'status' });
  const box = h('input', { type: 'text', spellcheck: 'false', autocomplete: 'off', autocapitalize: 'off', dir: 'ltr', class: 'mono', 'aria-describedby': problem });
  box.value = here().relation ?? TRY[0];
  const ranked = (answer, title, where) => table(title, [
    { title: 'Head', cell: (row) => headLink(row.head), value: (row) => row.head },
    { title: 'Follows it', number: true, cell: (row) => percent(row.share), value: (row) => row.share },
    { title: 'by chance', number: true, cell: (row) => percent(row.chance), value: (row) => row.chance },
    { title: 'IoU', number: true, cell: (row) => number(row.iou, 2), value: (row) => row.iou },
    ...(cards ? [{ title: 'Named for', words: true, cell: (row) => (row.name ? own(row.name) : '–'), value: (row) => row.name }] : []),
  ], answer.heads, where, { limit: 12 });
  const finding = (answer, where) => {
    if (!answer.rows) return h('p', { class: 'headline' }, `It relates no token ${where}.`);
    const [best] = answer.heads;
    return h('p', { class: 'headline' }, headLink(best.head, prose(best.head)), ` follows it most ${where}: ${percent(best.share)} of its attention on content lies on the related tokens, ${percent(best.chance)} would by chance.`);
  };
  const button = h('button', { type: 'button', class: 'act', onclick: () => fill(onRun, async () => {
    clear(onRun, h('p', { class: 'note' }, 'Reading the texts of the run …'));
    const answer = await ask('relation', { text: here().text, relation: box.value, on_run: true }, 'run');
    return [finding(answer, `on ${plural(answer.texts, 'example text')} ${recorded ? 'of the recording' : 'of the run'}`), answer.rows ? ranked(answer, 'Heads that follow it on those texts', `${subject.name} · ${plural(answer.texts, 'example text')}, ${plural(answer.rows, 'row')}`) : null];
  }) }, recorded ? 'Measure it on the recorded texts' : 'Measure it on the run’s example texts');
  const update = () => {
    clear(onRun);
    fill(found, async () => {
      let answer;
      try {
        answer = await ask('relation', { text: here().text, relation: box.value, on_run: false });
        clear(wrong);
        box.removeAttribute('aria-invalid');
      } catch (error) {
        if (error instanceof Stale) throw error;
        clear(wrong, own(error.message));
        box.setAttribute('aria-invalid', 'true');
        return null;
      }
      const values = matrixOf(answer.matrix);
      return [finding(answer, 'on this text'),
        pictures(reading, [{ title: 'What the relation predicts', short: 'related', values, uncovered: silent(values, n) }]),
        answer.rows ? ranked(answer, 'Heads that follow it on this text', source()) : null,
        read('Follows it: of the head’s attention on tokens with content, in the rows where the relation holds of something, the share on the related tokens. Ranked by how far that is above chance.')];
    });
  };
  const typed = later(150, () => { go({ relation: box.value }, { quiet: true, step: false }); update(); });
  box.addEventListener('input', typed);
  update();
  return [
    h('h2', { class: 'first' }, 'A relation of query and key'),
    h('label', { class: 'field' }, h('span', null, 'The relation: true where the query (the word that reads) would look at the key'), box),
    wrong,
    h('p', { class: 'chips' }, TRY.map((one) => h('button', { type: 'button', class: 'chip', onclick: () => { box.value = one; go({ relation: one }, { quiet: true }); update(); } }, code(one)))),
    found,
    examples ? section('Beyond this text', button, onRun) : read('A run of survey or fit (--runs) has example texts: with one, the relation can be measured there too.'),
  ];
}

// ---- a changed model

const quoted = (row) => own(`“${row.token.trim() || row.token}”`);

export function changeView(reading) {
  if (recorded) return [h('h2', { class: 'first' }, 'Change the model'), note('Recorded attention cannot be changed: give headscribe explore the model itself.')];
  const found = place('What comes next');
  const written = place('How the text goes on');
  const { head, formula } = here();
  const [off, put] = [heads('off'), heads('put')];
  const names = subject.headNames();
  const asked = () => ({ text: here().text, off, formulas: Object.fromEntries(put.map((one) => [one, one === head && formula ? formula : ''])) });
  const remove = (one) => () => go({ off: off.filter((other) => other !== one).join(' '), put: put.filter((other) => other !== one).join(' ') });
  const chip = (one, what) => h('span', { class: 'chip' }, headLink(one, prose(one)), ` ${what} `, h('button', { type: 'button', class: 'turn', 'aria-label': `Restore ${prose(one)}`, onclick: remove(one) }, '×'));
  const add = (name, list) => (value) => value && go({ [name]: [...list.filter((one) => one !== value), value].join(' '), [name === 'off' ? 'put' : 'off']: (name === 'off' ? put : off).filter((one) => one !== value).join(' ') });
  const layer = (value) => value !== '' && go({ off: [...new Set([...off, ...names.filter((one) => one.split('.')[0] === value)])].join(' '), put: put.filter((one) => one.split('.')[0] !== value).join(' ') });
  const known = [...new Set([...formulas, ...(formula && head ? [head] : [])])];
  const going = h('button', { type: 'button', class: 'act', onclick: () => fill(written, async () => {
    clear(written, h('p', { class: 'note' }, 'The model writes …'));
    const answer = await ask('change', { ...asked(), tokens: 16 }, 'writing');
    const said = (title, text) => h('div', null, h('h3', null, title), text === null ? note(own(answer.why)) : h('blockquote', null, own(text.trim() || '(nothing)')));
    return [h('p', { class: 'headline' }, answer.after === answer.before ? 'The text goes on as before.' : 'The text goes on in another way.'), h('div', { class: 'figures' }, said('Untouched', answer.before), said('Changed', answer.after))];
  }) }, 'Let it go on with the text');
  fill(found, async () => {
    const answer = await ask('change', { ...asked(), tokens: 0 });
    const [before, after] = ['before', 'after'].map((name) => answer.tokens.reduce((a, b) => (b[name] > a[name] ? b : a)));
    const none = off.length + put.length === 0;
    return [
      h('p', { class: 'headline' }, none ? ['Untouched, the likeliest is ', quoted(before), ` (${percent(before.before)}). Switch a head off, or put its formula in, and see it change.`]
        : [before.token === after.token ? ['The likeliest stays ', quoted(before), `: ${percent(before.before)} untouched, ${percent(after.after)} changed.`] : ['The likeliest was ', quoted(before), ` (${percent(before.before)}) and is `, quoted(after), ` (${percent(after.after)}).`], ` ${percent(answer.change)} of the probability moved to other tokens.`]),
      table(kind === 'causal' ? 'The next token' : `The token in the place of ${mask}`, [
        { title: 'Token', words: true, cell: (row) => own(row.token), value: (row) => row.token },
        { title: 'Untouched', number: true, cell: (row) => percent(row.before, 1), value: (row) => row.before },
        { title: 'Changed', number: true, cell: (row) => percent(row.after, 1), value: (row) => row.after },
        { title: 'Difference', number: true, cell: (row) => `${signed(100 * (row.after - row.before), 1)} points`, value: (row) => row.after - row.before },
      ], answer.tokens, source()),
    ];
  });
  return [
    h('h2', { class: 'first' }, 'Change the model'),
    read('A head that is switched off writes nothing. A formula in its place decides where it looks; what it writes of the words there stays its own.'),
    h('p', { class: 'chips' }, off.map((one) => chip(one, 'off')), put.map((one) => chip(one, 'by its formula')), off.length + put.length ? h('button', { type: 'button', class: 'act', onclick: () => go({ off: null, put: null }) }, 'Restore all') : 'No head is changed.'),
    h('div', { class: 'controls' },
      select('Switch off', [['', 'a head'], ...names.map((name) => [name, prose(name)])], '', add('off', off)),
      select('Switch off all of', [['', 'a layer'], ...Array.from({ length: subject.layers }, (_, i) => [String(i), `layer ${i}`])], '', layer),
      known.length ? select('Put in the formula of', [['', 'a head'], ...known.map((name) => [name, prose(name)])], '', add('put', put)) : null),
    known.length ? null : read('A fit (--runs) has formulas to put in; or write one on a head’s own page.'),
    found,
    kind === 'causal' ? section('How the text goes on', going, written) : null,
  ];
}

// ---- two texts

export function compareView() {
  const found = place('Where the texts differ');
  const box = recorded ? null : h('textarea', { rows: 3, dir: 'auto' });
  const state = here();
  const update = () => fill(found, async () => {
    const other = here().other;
    if (!other || other === here().text) return note(recorded ? 'Choose another text.' : 'Alter a word of the text in the box: every head that looks elsewhere then is shown.');
    const answer = await ask('compare', { text: here().text, other });
    const most = [...answer.heads].sort((a, b) => b.change - a.change);
    const largest = Math.max(most[0].change, 1e-6);
    const cells = answer.heads.map((row) => ({ fill: shade('#b04a00', 0.06 + 0.94 * (row.change / largest)), text: percent(row.change), sentence: `${percent(row.change)} of its attention moved` }));
    const [one] = answer.labels;
    const svg = headGrid(subject, cells, { room: room(1192), label: 'How much each head looks elsewhere. Arrow keys move, Enter opens a head.', onopen: (head) => go({ view: 'head', head, formula: null }) });
    return [
      h('p', { class: 'headline' }, headLink(most[0].head, prose(most[0].head)), ` changes most: ${percent(most[0].change)} of its attention moved; from `, own(`“${one[most[0].query]}”`), ' to ', own(`“${one[most[0].key]}”`), ` it was ${percent(most[0].from)} and is ${percent(most[0].to)}.`),
      figure('How much of each head’s attention moved', svg, source()),
      table('Heads by how much of their attention moved', [
        { title: 'Head', cell: (row) => headLink(row.head), value: (row) => row.head },
        { title: 'Moved', number: true, cell: (row) => percent(row.change, 1), value: (row) => row.change },
        { title: 'Most from', words: true, cell: (row) => own(token(one[row.query])), value: (row) => one[row.query] },
        { title: 'to', words: true, cell: (row) => own(token(one[row.key])), value: (row) => one[row.key] },
        { title: 'was', number: true, cell: (row) => percent(row.from), value: (row) => row.from },
        { title: 'is', number: true, cell: (row) => percent(row.to), value: (row) => row.to },
      ], most, source(), { limit: 12 }),
      read(`Rows and keys that both texts have are compared, ${plural(answer.pairs.length, 'token')}: equal ones, and those that stand in place of as many others. Moved: one minus the overlap of the two rows, on average; attention on tokens that only one text has counts as moved.`),
    ];
  });
  if (box) {
    box.value = state.other ?? state.text;
    box.addEventListener('input', later(400, () => { go({ other: box.value }, { quiet: true, step: false }); update(); }));
  }
  update();
  return [
    h('h2', { class: 'first' }, 'Beside another text'),
    box ? h('label', { class: 'field' }, h('span', null, 'The other text'), box) : select('The other text', [['', 'choose a text'], ...textsOf()], state.other ?? '', (value) => { go({ other: value }, { quiet: true }); update(); }),
    found,
  ];
}

let textsOf = () => [];
export const withTexts = (list) => { textsOf = () => list; };
