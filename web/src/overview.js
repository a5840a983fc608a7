// The model at a glance: what explains each head, how well, and how well each layer is explained.

import { shade, family } from './colors.js';
import { choice, clear, column, h, own, room } from './dom.js';
import { interval, metricName, number, percent, plural, prose, short, signed } from './format.js';
import { headGrid } from './grid.js';
import { estimates } from './charts.js';
import { families, familyLegend, figure, headLink, lacking, note, patternLink, provenance, read, section, table, withRange } from './parts.js';
import { go, link, route } from './router.js';

const VIEWS = [['raw', 'all tokens'], ['content', 'without sinks']];
const state = { metric: 'jsd', view: 'raw', split: 'all', color: 'findings' };

// What colours the grid, by head: {fill, text, sentence, worth}.
async function findingCells(subject) {
  const block = await subject.block(state.metric, state.view, state.split);
  if (!block) return null;
  const found = subject.findings(block);
  const largest = Math.max(...found.map((line) => line?.worth ?? 0), 1e-6);
  const cells = found.map((line, head) => (line
    ? {
      line, family: subject.family(line.pattern), text: short(line.pattern),
      fill: shade(family(subject.family(line.pattern)), 0.14 + 0.86 * (line.worth / largest)),
      sentence: `${line.pattern}, gain ${signed(line.gain)} over ${line.baseline}, on ${percent(line.coverage)} of the rows`,
    }
    : subject.formulaBetter(subject.names[head])
      ? { partly: true, text: 'formula', sentence: `${none(subject)}, its formula is better than its profile` }
      : { sentence: none(subject) }));
  return { cells, largest, block };
}

const none = (subject) => `none of the ${subject.scored} patterns scored is clearly better than the baselines`;

function formulaCells(subject) {
  if (!subject.formulas) return null;
  const metric = state.metric === 'jsd' ? 'jsd' : 'iou';
  const values = subject.headNames().map((head) => subject.formulaGain(head, state.view, metric));
  const largest = Math.max(...values.map((v) => v?.[0] ?? 0), 1e-6);
  const accent = getComputedStyle(document.documentElement).getPropertyValue('--accent').trim();
  const cells = values.map((value) => ((value?.[1] ?? 0) > 0
    ? { fill: shade(accent, 0.1 + 0.9 * (value[0] / largest)), text: signed(value[0], 2), sentence: `formula gains ${signed(value[0])} ${metric === 'iou' ? 'IoU' : 'JSD'} over its profile` }
    : { sentence: 'the formula is not clearly better than the head’s own profile' }));
  return { cells, largest, metric };
}

function headline(subject, found) {
  const explained = found.cells.filter((cell) => cell.line);
  const counts = {};
  for (const cell of explained) counts[cell.family] = (counts[cell.family] ?? 0) + 1;
  const best = explained.map((cell) => cell.line).sort((a, b) => b.worth - a.worth)[0];
  const more = found.cells.filter((cell, i) => !cell.line && subject.formulaBetter(subject.names[i])).length;
  return h('p', { class: 'headline' },
    h('strong', null, `${explained.length} of ${subject.count} heads`),
    ` are explained by one of the ${plural(subject.scored, 'pattern')} scored here, better than by ${subject.survey.scores.profile ? 'every baseline, their mean attention by position among them' : 'the baselines it was compared with'}${explained.length ? ` (${families(counts)})` : ''}. `,
    more ? `Of ${plural(more, 'other')} a fitted formula says more than their positions do. ` : '',
    best ? ['The clearest is ', headLink2(subject, best.head), ': ', patternLink(subject, best.pattern), `, gain ${signed(best.gain)}`, interval(best.gain_low, best.gain_high) ? ` (${interval(best.gain_low, best.gain_high)})` : '', ` over ${best.baseline}.`] : null);
}

const headLink2 = (subject, head) => h('a', link(route(subject.index, 'head', head)), prose(head));

// What the reader points at, beside the grid.
function card(subject, head, cell) {
  const formula = subject.formulas?.[head];
  const labels = subject.labels(head);
  const line = cell.line;
  const gain = formula?.scores?.gain_raw_iou;
  return [
    h('h2', null, headLink2(subject, head)),
    line ? h('p', null, patternLink(subject, line.pattern), h('br'), own(subject.patternNamed.get(line.pattern)?.sentence ?? '', { class: 'small' })) : h('p', { class: 'small' }, cell.sentence),
    h('dl', null,
      line ? [h('dt', null, 'Score'), h('dd', null, withRange(number(line.score), interval(line.low, line.high))),
        h('dt', null, 'Gain'), h('dd', null, withRange(signed(line.gain), interval(line.gain_low, line.gain_high)), h('small', null, ` over ${line.baseline}`)),
        h('dt', null, 'Rows'), h('dd', null, percent(line.coverage))] : null,
      gain ? [h('dt', null, 'Formula'), h('dd', null, `IoU ${number(formula.scores.formula_raw_iou[0], 2)}`, h('small', null, `, ${signed(gain[0], 2)} over its profile`))] : null,
      labels.length ? [h('dt', null, 'Labels'), h('dd', null, labels.map((label, i) => [i ? ', ' : '', patternLink(subject, label)]))] : null),
  ];
}

function legend(found, mode) {
  if (mode === 'formulas') {
    return h('p', { class: 'legend' }, h('span', null, h('i', { class: 'swatch-ramp' }), ` gain over the profile, 0 to ${number(found.largest, 2)}`), h('span', null, h('i', { class: 'hatched' }), ' no gain'));
  }
  return h('p', { class: 'legend' },
    familyLegend(found.cells.map((cell) => cell.family)),
    h('span', null, `stronger colour: more gain, up to ${number(found.largest, 2)}`),
    h('span', null, h('i', { class: 'hatched' }), ' no scored pattern is clearly better than the baselines'),
    found.cells.some((cell) => cell.partly) ? h('span', null, h('i', { class: 'swatch pale' }), ' none either, but its fitted formula is better than its profile') : null);
}

const explained = (mode) => read(mode === 'findings'
  ? 'One cell is one head. Its colour is the family of the pattern that explains it best, its shade how much closer that pattern comes than the best baseline, counted over all rows. A hatched head is one that none of the scored patterns explains clearly better than the baselines: mean attention by position, and fixed rules such as “look at the first token”. Key ? explains the words.'
  : 'One cell is one head. The shade is how much better its fitted formula predicts unseen texts than the head’s mean attention by position does; hatched heads gain nothing.');

function layers(subject) {
  const drawn = [];
  const rows = (subject.get('layers') ?? []).filter((row) => row.metric === state.metric && row.layer !== null);
  const point = (row, value) => ({ x: row.layer, y: row[value], low: row.low, high: row.high, label: `layer ${row.layer}` });
  if (rows.length) {
    const metric = subject.metrics.find((m) => m.name === state.metric);
    drawn.push(figure(`How close each head’s best pattern comes, by layer: ${metric.title}`, estimates([
      { name: 'all tokens', css: 'one', shape: 'circle', points: rows.filter((r) => r.view === 'raw').map((r) => point(r, 'score')) },
      { name: 'without sinks', css: 'two', shape: 'square', points: rows.filter((r) => r.view === 'content').map((r) => point(r, 'score')) },
    ], { width: subject.formulas ? column() : room(900), xTitle: 'layer', yTitle: `${metricName(state.metric)} (${metric.higher ? 'higher' : 'lower'} is better)`, label: 'Layer summary of patterns' }),
    provenance(subject, 'survey', 'pattern chosen on other texts')));
  }
  const metric = state.metric === 'jsd' ? 'jsd' : 'iou';
  const fitted = (subject.get('layers', 'fit') ?? []).filter((row) => row.metric === metric && row.view === state.view && row.layer !== null);
  if (fitted.length) {
    const of = (score) => fitted.filter((r) => r.score === score).map((r) => point(r, 'mean'));
    drawn.push(figure(`How close formulas come, by layer: ${metric === 'iou' ? 'IoU' : 'Jensen–Shannon distance'}`, estimates([
      { name: 'formula', css: 'one', shape: 'circle', points: of('formula') },
      { name: 'profile (positions only)', css: 'two', shape: 'square', points: of('profile') },
    ], { width: rows.length ? column() : room(900), xTitle: 'layer', yTitle: `${metricName(metric)} (${metric === 'iou' ? 'higher' : 'lower'} is better)`, label: 'Layer summary of formulas' }),
    provenance(subject, 'fit', 'unseen texts', `view ${state.view}`)));
  }
  const whole = (subject.get('layers') ?? []).find((row) => row.metric === state.metric && row.view === state.view && row.layer === null);
  const model = (subject.get('layers', 'fit') ?? []).find((row) => row.metric === metric && row.view === state.view && row.layer === null && row.score === 'formula');
  const all = [
    whole ? `best patterns ${number(whole.score)} (${interval(whole.low, whole.high)})` : null,
    model ? `formulas ${number(model.mean)} (${interval(model.low, model.high)})` : null,
  ].filter(Boolean);
  if (!drawn.length) return lacking(subject, ['layers'], 'The runs hold no layer summary for this choice.');
  return [all.length ? read(`All layers together: ${all.join(', ')}; ${metricName(state.metric)}, 95 % intervals. What is close explains a head only with a gain.`) : null, h('div', { class: 'figures' }, drawn)];
}

function strongest(subject, found) {
  const lines = found.cells.map((cell) => cell.line).filter(Boolean).sort((a, b) => b.worth - a.worth);
  if (!lines.length) return note(`No head: ${none(subject)}.`);
  const all = subject.headNames().map((head, i) => ({ head, line: found.cells[i].line ?? null, formula: subject.formulas?.[head] ?? null }))
    .sort((a, b) => (b.line?.worth ?? 0) - (a.line?.worth ?? 0) || (subject.formulaGain(b.head)?.[0] ?? 0) - (subject.formulaGain(a.head)?.[0] ?? 0));
  return table('All heads, clearest finding first', [
    { title: 'Head', cell: (r) => headLink(subject, r.head), value: (r) => r.head },
    { title: 'Explained by', words: true, cell: (r) => (r.line ? [patternLink(subject, r.line.pattern), ' ', own(subject.patternNamed.get(r.line.pattern)?.sentence ?? '', { class: 'small sentence' })] : h('span', { class: 'small' }, subject.formulaBetter(r.head) ? 'by no scored pattern; by its formula' : 'by no scored pattern')), value: (r) => r.line?.pattern ?? '' },
    { title: 'Gain', number: true, cell: (r) => (r.line ? withRange(signed(r.line.gain), interval(r.line.gain_low, r.line.gain_high)) : '–'), value: (r) => r.line?.gain ?? null },
    { title: 'over', cell: (r) => r.line?.baseline ?? '–', value: (r) => r.line?.baseline ?? '' },
    { title: 'Score', number: true, cell: (r) => (r.line ? withRange(number(r.line.score), interval(r.line.low, r.line.high)) : '–'), value: (r) => r.line?.score ?? null },
    { title: 'Rows', number: true, cell: (r) => (r.line ? percent(r.line.coverage) : '–'), value: (r) => r.line?.coverage ?? null },
    ...(subject.formulas ? [
      { title: 'Formula IoU', number: true, cell: (r) => number(r.formula?.scores?.formula_raw_iou?.[0], 2), value: (r) => r.formula?.scores?.formula_raw_iou?.[0] ?? null },
      { title: 'over profile', number: true, cell: (r) => (r.formula ? signed(r.formula.scores.gain_raw_iou[0] ?? NaN, 2) : '–'), value: (r) => r.formula?.scores?.gain_raw_iou?.[0] ?? null },
    ] : []),
  ], all, provenance(subject, 'survey', state.metric, `view ${state.view}`, `split ${state.split}${state.split === 'all' ? ' (descriptive)' : ''}`), { limit: 12 });
}

export function overview(subject) {
  const body = h('div');
  const draw = async () => {
    const found = await findingCells(subject);
    const formulas = formulaCells(subject);
    const mode = state.color === 'formulas' && formulas ? 'formulas' : found ? 'findings' : formulas ? 'formulas' : null;
    if (!mode || !subject.count) {
      clear(body, lacking(subject, ['scores', 'about', 'formulas'], 'These runs hold neither a survey’s scores nor a fit’s formulas, so there is no grid of heads to draw.'));
      return;
    }
    const shown = mode === 'formulas' ? formulas : found;
    const details = h('div', { class: 'card', 'aria-live': 'polite' });
    const wide = room(1192) - (window.innerWidth > 900 ? 300 : 0);
    const start = Math.max(0, shown.cells.findIndex((cell) => cell.line && cell.line.worth === shown.largest));
    const pointed = (head) => clear(details, card(subject, head, shown.cells[subject.headIndex(head)]));
    const svg = headGrid(subject, shown.cells, {
      room: wide, label: `Heads of ${subject.name}: ${subject.layers} layers by ${subject.heads} heads. Arrow keys move, Enter opens a head.`,
      onfocus: pointed, onopen: (head) => go(route(subject.index, 'head', head)),
    });
    pointed(subject.headNames()[start]);
    const redraw = (key) => (value) => { state[key] = value; if (state.color === 'formulas' && !['jsd', 'iou'].includes(state.metric)) state.metric = 'iou'; draw(); };
    const metrics = subject.metrics.filter((m) => (mode === 'formulas' ? ['jsd', 'iou'] : ['jsd', 'iou', 'overlap', 'sae']).includes(m.name) && subject.has(m.name, state.view, state.split));
    const splits = ['all', 'test'].filter((split) => subject.has(state.metric, state.view, split));
    clear(body,
      found ? headline(subject, found) : null,
      h('div', { class: 'controls' },
        formulas && found ? choice('Colour', [['findings', 'patterns'], ['formulas', 'formulas']], mode, redraw('color')) : null,
        metrics.length > 1 ? choice('Metric', metrics.map((m) => [m.name, metricName(m.name)]), state.metric, redraw('metric')) : null,
        choice('View', VIEWS, state.view, redraw('view')),
        mode === 'findings' && splits.length > 1 ? choice('Split', [['all', 'all texts'], ['test', 'test']], state.split, redraw('split')) : null),
      h('div', { class: 'glance' },
        h('div', null,
          figure(mode === 'findings' ? 'What explains each head' : 'How much each head’s formula adds to its profile', svg,
            provenance(subject, mode === 'findings' ? 'survey' : 'fit', mode === 'findings' ? `${state.metric} gain over the best baseline` : `${shown.metric} gain over the profile`, `view ${state.view}`, mode === 'findings' ? `split ${state.split}${state.split === 'all' ? ' (descriptive)' : ''}` : 'unseen texts')),
          legend(shown, mode),
          explained(mode)),
        details),
      section('Layer by layer', layers(subject)),
      found ? section('Head by head', strongest(subject, found)) : null);
  };
  requestAnimationFrame(draw);
  const runs = subject.runs.map((run) => run.kind);
  return [
    h('h1', null, 'What the attention heads of ', own(subject.name), ' do'),
    h('p', { class: 'lede' }, 'For every token of a text (the query) an attention head decides how much it reads of every other token (the keys). ',
      `${plural(subject.layers, 'layer')} of ${plural(subject.heads, 'head')}; from ${plural(runs.length, 'run')}: ${runs.join(', ')}.`),
    body,
  ];
}
