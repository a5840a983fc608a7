// Example texts of a head or a pattern: real attention, prediction and difference.

import { choice, clear, h, own, room as roomOf, select } from './dom.js';
import { cut, number, percent, prose, slack } from './format.js';
import { byWords, matrix, scale, wordGroups } from './matrix.js';
import { figure, lacking, provenance } from './parts.js';
import { strip } from './strip.js';

const AGGREGATE = 64;

// Overlap of two matrices over the rows that the prediction covers, 0 to 1.
function overlap(real, predicted, n) {
  let [sum, rows] = [0, 0];
  for (let i = 0; i < n; i += 1) {
    let [shared, total] = [0, 0];
    for (let j = 0; j < n; j += 1) {
      shared += Math.min(real[i * n + j], predicted[i * n + j]);
      total += predicted[i * n + j];
    }
    if (total > 0) { sum += shared; rows += 1; }
  }
  return rows ? sum / rows : null;
}

const uncoveredRows = (values, n) => Array.from({ length: n }, (_, i) => {
  for (let j = 0; j < n; j += 1) if (values[i * n + j] > 0) return false;
  return true;
});

const predictionTitle = (name) => {
  const [kind, ...rest] = name.split(':');
  const what = rest.join(':');
  const found = what.match(/^\d+\.\d+:(formula|program)$/);
  if (found) return found[1] === 'program' ? 'the program found' : 'the formula before';
  return kind === 'formula' ? 'the head’s formula' : what;
};

// Texts that hold the head (any text for none) with all that is predicted of them. A fit and a
// survey of the same texts keep the same examples: one entry then, with what both predict.
function textsOf(subject, head, pattern, only) {
  const found = new Map();
  for (const source of only ? [only] : subject.sources) {
    for (const text of subject.texts(source)) {
      const key = `${text.id} ${text.labels.join(' ')}`;
      if (!found.has(key)) found.set(key, { text, names: new Set(), sources: [] });
      const entry = found.get(key);
      entry.sources.push(source);
      text.packs.forEach((pack) => pack.matrices.forEach((name) => entry.names.add(name)));
    }
  }
  return [...found.values()].filter((entry) => (!pattern || entry.names.has(`pattern:${pattern}`)) && (!head || entry.names.has(`head:${head}`))).sort((a, b) => a.text.labels.length - b.text.labels.length);
}

// What a head's name predicts, then what else it does: those of its card.
function behavioursOf(subject, head) {
  const of = (rows) => (rows ?? []).filter((row) => row.head === head);
  const listed = of(subject.explanation?.behaviours).filter((row) => row.listed).map((row) => row.behaviour);
  return [...new Set([...of(subject.explanation?.cards).map((row) => row.name), ...listed])].map((name) => `behaviour:${name}`);
}

// One matrix of a text, from whichever run holds it; null for none.
async function matrixOf(subject, entry, name) {
  for (const source of entry.sources) {
    const found = await subject.matrices(source, entry.text.id);
    if (found.has(name)) return found.get(name)();
  }
  return null;
}

// Best, typical and worst of the texts by the overlap of real and predicted attention.
async function ranked(subject, texts, head, prediction) {
  const scored = [];
  for (const entry of texts) {
    if (!entry.names.has(prediction)) continue;
    const [real, predicted] = await Promise.all([`head:${head}`, prediction].map((name) => matrixOf(subject, entry, name)));
    const value = overlap(real, predicted, entry.text.labels.length);
    if (value !== null) scored.push([value, entry]);
  }
  scored.sort((a, b) => b[0] - a[0]);
  const last = scored.length - 1;
  return new Map(scored.map(([value, entry], i) => [entry, {
    value, role: last === 0 ? null : i === 0 ? 'best' : i === last ? 'worst' : i === last >> 1 ? 'typical' : null,
  }]));
}

export function examples(subject, head, { prefer = null, pattern = null, source = null } = {}) {
  const texts = textsOf(subject, head, pattern, source);
  if (!texts.length) return lacking(subject, ['examples'], 'No example text of it was kept. A survey and a fit keep some by themselves.');
  const body = h('div', { class: 'example' });
  const bar = h('div', { class: 'controls' });
  const state = { at: null, prediction: null, words: null, large: false };
  // A discovery names its predictions `HEAD:formula` and `HEAD:program`: those of this head alone.
  const does = behavioursOf(subject, head);
  const able = (name) => name === `formula:${head}` || name.startsWith(`pattern:${head}:`) || does.includes(name) || (name.startsWith('pattern:') && !/^pattern:\d+\.\d+:/.test(name));
  const predictionsOf = (entry) => [...entry.names].filter(able);
  const start = (entry) => {
    const known = predictionsOf(entry);
    if (known.includes(state.prediction)) return;
    state.prediction = [pattern && `pattern:${pattern}`, source && `pattern:${head}:program`, ...does, `formula:${head}`, prefer && `pattern:${prefer}`].find((name) => name && known.includes(name)) ?? known[0] ?? null;
  };
  const draw = async () => {
    start(state.at === null ? texts.find((entry) => entry.names.has(`formula:${head}`)) ?? texts[0] : texts[state.at]);
    const roles = head && state.prediction ? await ranked(subject, texts, head, state.prediction) : new Map();
    if (state.at === null) state.at = Math.max(0, texts.findIndex((entry) => roles.get(entry)?.role === 'typical'));
    const one = texts[state.at];
    start(one);
    if (state.words === null) state.words = one.text.labels.length > AGGREGATE;
    const title = (entry, i) => {
      const found = roles.get(entry);
      const what = found ? `${found.role ? `${found.role} of ${roles.size}, ` : ''}overlap ≈ ${number(found.value, 2)}: ` : '';
      return [String(i), `${what}${cut(entry.text.text.replaceAll('\n', ' '), 40)}`];
    };
    clear(bar,
      select('Text', texts.map(title), String(state.at), (i) => { state.at = Number(i); state.words = null; safely(); }),
      predictionsOf(one).length > 1 && !pattern ? select('Prediction', predictionsOf(one).map((name) => [name, predictionTitle(name)]), state.prediction, (name) => { state.prediction = name; safely(); }) : null,
      choice('Pictures', [['fit', 'side by side'], ['large', 'large']], state.large ? 'large' : 'fit', (value) => { state.large = value === 'large'; safely(); }),
      one.text.words.form ? choice('Cells', [['words', 'words'], ['tokens', 'tokens']], state.words ? 'words' : 'tokens', (value) => { state.words = value === 'words'; safely(); }) : null);
    clear(body, await panels(subject, one, head, state));
  };
  const safely = () => draw().catch((error) => clear(body, h('p', { class: 'note' }, `This example cannot be drawn: ${error.message}`)));
  safely();
  return h('div', { class: 'examples' }, bar, body);
}

async function panels(subject, one, head, state) {
  const { text, sources } = one;
  const aggregate = (values) => (values && state.words ? byWords(text, values) : values);
  const groups = wordGroups(text);
  const units = state.words
    ? groups.map((g) => ({ label: g.label, tag: g.word >= 0 ? tagOf(text, g.word) : null, special: text.special[g.tokens[0]] }))
    : text.labels.map((label, i) => ({ label, tag: text.word_of_token[i] >= 0 && text.word_of_token[i - 1] !== text.word_of_token[i] ? tagOf(text, text.word_of_token[i]) : null, special: text.special[i] }));
  const labels = units.map((unit) => unit.label);
  const n = labels.length;
  const real = head ? aggregate(await matrixOf(subject, one, `head:${head}`)) : null;
  const predicted = aggregate(state.prediction ? await matrixOf(subject, one, state.prediction) : null);
  const uncovered = predicted ? uncoveredRows(predicted, n) : null;
  const name = state.prediction ? predictionTitle(state.prediction) : '';
  const rows = [];
  if (real) rows.push({ title: `${prose(head)}, real attention`, short: 'real', values: real });
  if (predicted) rows.push({ title: head ? `Predicted by ${name}` : `What ${name} predicts`, short: 'predicted', values: predicted, uncovered });
  const drawn = [];
  const width = roomOf(1192);
  const side = real && predicted ? 3 : real || predicted ? 2 : 1;
  const room = width > 900 ? (width - 20 * (side - 1)) / side - 14 : width;
  const show = (query, key) => drawn.forEach((svg) => svg.show(query, key));
  const words = strip(units, rows, { levels: text.levels, onpick: (at, toward) => (toward === 'reads' ? show(at, null) : drawn.forEach((svg) => { svg.show(null, at); })) });
  const about = provenance(subject, sources[0].startsWith('discovery') ? 'discover' : sources[0], `text ${text.id}`);
  const panel = (caption, values, kind, hidden) => {
    const svg = matrix(labels, values, { kind, description: caption, uncovered: hidden, room, large: state.large, onpick: (query, key) => { words.pick(query); show(query, key); } });
    drawn.push(svg);
    return h('div', { class: 'panel' }, figure(caption, svg, about, { said: false }), scale(kind));
  };
  const pictures = [];
  if (real) pictures.push(panel(`${prose(head)}, real`, real, 'attention', null));
  if (predicted) pictures.push(panel(head ? `Predicted by ${name}` : `What ${name} predicts`, predicted, 'attention', uncovered));
  if (real && predicted) {
    const difference = real.map((v, i) => (uncovered[Math.floor(i / n)] ? 0 : v - predicted[i]));
    pictures.push(panel('Difference, real minus predicted', difference, 'difference', uncovered));
  }
  return [
    text.text.length > 700 ? h('details', null, h('summary', null, 'The whole text'), h('blockquote', null, own(text.text))) : h('blockquote', null, own(text.text)),
    words.node,
    seen(subject, state.prediction),
    uncovered?.some(Boolean) ? h('p', { class: 'small' }, h('i', { class: 'hatched' }), ' hatched rows: the prediction says nothing about these tokens') : null,
    h('div', { class: 'panels' }, pictures),
    h('p', { class: 'source' }, h('span', null, `${about} · shares marked ≈ are read from ${text.levels} shades, good to ${percent(slack(text.levels), 1)} or better a token`)),
  ];
}

// The formula that is drawn saw its own examples, where the fit had no texts apart to test on.
const seen = (subject, prediction) => (prediction?.startsWith('formula:') && subject.fit?.about?.folds !== 0
  ? h('p', { class: 'small' }, 'The formula drawn here was fitted on all texts, this one included; its scores are those of unseen texts.') : null);

const tagOf = (text, word) => [text.words.upos?.[word], text.words.dep?.[word]].filter(Boolean).join(' ') || null;
