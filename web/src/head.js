// One head: its formula, scores, labels, relatives, gate and example texts.

import { card } from './answer.js';
import { bar, dots } from './charts.js';
import { choice, clear, code, column, h, own } from './dom.js';
import { effects } from './effects.js';
import { examples } from './examples.js';
import { change, interval, known, metricName, number, percent, plural, prose, signed } from './format.js';
import { figure, headLink, lacking, note, patternLink, provenance, read, section, table, withRange } from './parts.js';
import { effect } from './replacement.js';
import { link, route } from './router.js';

const SHOWN = 14;
// A loss of IoU that is called small.
const CLOSE = 0.025;

// The texts on which the scores of formulas were measured.
const measured = (subject) => (subject.fit?.about?.folds === 0 ? 'the test texts' : 'unseen texts, by fold');

// Weights that stand for infinity: a row goes to the related keys, all of it.
const WHOLE = { 64: 'first all to', 32: 'all to', 16: 'else all to' };

function formula(subject, head, found) {
  if (!found.terms.length) return note(`The formula of ${prose(head)}: evenly over every visible key.`);
  const widest = Math.max(...found.terms.flatMap(({ weight, low, high }) => [weight, low ?? weight, high ?? weight].map(Math.abs)), 0.001);
  const costliest = Math.max(...found.terms.map((t) => -(t.drop ?? 0)), 0.001);
  return table(`The formula of ${prose(head)}: attention = softmax of the weighted sum of these relations`, [
    { title: 'Weight', number: true, cell: (t) => h('span', { class: 'weight' }, WHOLE[t.weight] ?? signed(t.weight, 2)), value: (t) => t.weight },
    { title: 'with 95 % interval', cell: (t) => (WHOLE[t.weight] ? '' : bar(t.weight, { low: -widest, high: widest, css: t.weight < 0 ? 'two' : 'one', ends: [t.low, t.high] })), value: (t) => (known(t.low) ? `${number(t.low)} to ${number(t.high)}` : '') },
    { title: 'Relation of query and key', words: true, cell: (t) => code(t.relation), value: (t) => t.relation },
    { title: 'Worth (IoU lost without it)', cell: (t) => (known(t.drop) ? h('span', { class: 'worth' }, bar(Math.max(0, -t.drop), { high: costliest, width: 80, css: 'good' }), number(-t.drop)) : '–'), value: (t) => (known(t.drop) ? -t.drop : null) },
  ], found.terms, provenance(subject, 'fit', subject.fit?.about?.folds === 0 ? 'worth on the test texts' : 'weights fitted on all texts, worth on unseen ones, by fold'));
}

function scores(subject, head, found) {
  const rows = ['raw', 'content'].flatMap((view) => ['iou', 'jsd'].map((metric) => ({ view, metric, of: (what) => found.scores[`${what}_${view}_${metric}`] })));
  const cell = (what, sign) => (r) => { const v = r.of(what); return v ? withRange((sign ? signed : number)(v[0], 3), interval(v[1], v[2])) : '–'; };
  return table(`How well the formula predicts ${prose(head)} on ${measured(subject)}`, [
    { title: 'Metric', cell: (r) => `${r.metric === 'iou' ? 'IoU' : 'JSD'}, ${r.view === 'raw' ? 'all tokens' : 'without sinks'}`, value: (r) => `${r.metric} ${r.view}` },
    { title: 'Formula', number: true, cell: cell('formula'), value: (r) => r.of('formula')?.[0] },
    { title: 'Profile (positions only)', number: true, cell: cell('profile'), value: (r) => r.of('profile')?.[0] },
    { title: 'Gain', number: true, cell: cell('gain', true), value: (r) => r.of('gain')?.[0] },
  ], rows, provenance(subject, 'fit', measured(subject), '95 % intervals'));
}

function mixture(subject, head) {
  const parts = subject.ofHead('mixtures', 'fit', head);
  if (!parts.length) return null;
  return table(`${prose(head)} as a mixture of patterns`, [
    { title: 'Pattern', words: true, cell: (r) => patternLink(subject, r.pattern), value: (r) => r.pattern },
    { title: 'Share', cell: (r) => h('span', { class: 'worth' }, bar(r.weight, { high: 1, width: 80 }), percent(r.weight)), value: (r) => r.weight },
    { title: 'Gain in IoU', number: true, cell: (r) => (known(r.gain) ? withRange(signed(r.gain), interval(r.low, r.high)) : '–'), value: (r) => r.gain },
  ], parts, provenance(subject, 'fit', 'mixture of the catalogue’s patterns'), { limit: 8 });
}

function relatives(subject, head) {
  const near = subject.ofHead('similar', 'fit', head);
  if (!near.length) return null;
  const served = subject.ofHead('covers', 'fit', head).filter((row) => row.by_head !== head).sort((a, b) => a.loss - b.loss)[0];
  return h('div', null,
    h('h3', null, 'Heads that attend alike'),
    h('p', { class: 'chips' }, near.slice(0, 6).map(({ other, jsd }) => h('span', { class: 'chip' }, headLink(subject, other), h('small', null, ` distance ${number(jsd, 2)}`)))),
    served ? read('The formula of ', headLink(subject, served.by_head), ` ${served.own_iou - served.iou <= CLOSE ? 'predicts this head almost as well as its own' : 'comes closest to its own on this head'} (IoU ${number(served.iou, 2)} against ${number(served.own_iou, 2)}).`) : null);
}

function gate(subject, head) {
  const rows = subject.ofHead('gates', 'survey', head);
  if (!rows.length) return lacking(subject, ['gates'], 'No gate was measured for this head.');
  return [
    read('A gated head rests on a sink (or the last token) and leaves it only where its pattern applies: mean attention on that place in rows to which the pattern applies, and in the other rows of the same texts.'),
    table(`Gate of ${prose(head)}`, [
      { title: 'Pattern', words: true, cell: (r) => patternLink(subject, r.pattern), value: (r) => r.pattern },
      { title: 'Attention on', cell: (r) => r.place, value: (r) => r.place },
      { title: 'Pattern applies', number: true, cell: (r) => withRange(number(r.on), interval(r.on_low, r.on_high)), value: (r) => r.on },
      { title: 'does not', number: true, cell: (r) => withRange(number(r.off), interval(r.off_low, r.off_high)), value: (r) => r.off },
      { title: 'Difference', number: true, cell: (r) => [signed(r.on - r.off), r.clear ? null : h('small', null, ' unclear')], value: (r) => r.on - r.off },
      { title: 'Rows', number: true, cell: (r) => `${r.on_rows} / ${r.off_rows}`, value: (r) => `${r.on_rows} / ${r.off_rows}` },
    ], rows, provenance(subject, 'survey', '95 % intervals')),
  ];
}

function patterns(subject, head) {
  const body = h('div');
  const state = { metric: 'jsd', view: 'raw' };
  const draw = async () => {
    const block = await subject.block(state.metric, state.view, 'all');
    if (!block) { clear(body, lacking(subject, ['scores', 'about'], 'The runs hold no scores of patterns for this choice.')); return; }
    const base = (line) => line.names.every((name) => subject.patternNamed.get(name).baseline);
    const lines = subject.linesOfHead(block, subject.headIndex(head), state.metric);
    const metric = subject.metrics.find((m) => m.name === state.metric);
    const source = provenance(subject, 'survey', state.metric, `view ${state.view}`, 'split all (descriptive)');
    const redraw = (key) => (value) => { state[key] = value; draw(); };
    const shown = lines.slice(0, SHOWN);
    clear(body,
      h('div', { class: 'controls' },
        choice('Metric', subject.metrics.map((m) => [m.name, metricName(m.name)]), state.metric, redraw('metric')),
        choice('View', [['raw', 'all tokens'], ['content', 'without sinks']], state.view, redraw('view'))),
      h('div', { class: 'figures uneven' },
        figure(`The ${shown.length} patterns closest to ${prose(head)} (green: a clear gain; squares: baselines)`, dots(shown.map((l) => ({
          name: l.names[0] + (l.names.length > 1 ? ` = ${l.names.length - 1} more` : ''), y: l.score, low: l.low, high: l.high, css: base(l) ? 'two' : l.worth > 0 ? 'good' : 'one', mark: base(l) ? 'square' : 'circle',
        })), { width: column(true), label: `Scores of patterns on ${prose(head)}`, xTitle: `${metric.title} (${metric.higher ? 'higher' : 'lower'} is better)` }), source),
        table(`All patterns on ${prose(head)}, best first`, [
          { title: 'Pattern', words: true, cell: (l) => [l.names.map((name, i) => [i ? ' = ' : '', patternLink(subject, name)]), base(l) ? h('small', null, ' baseline') : null], value: (l) => l.names.join(' = ') },
          { title: 'Score', number: true, cell: (l) => withRange(number(l.score), interval(l.low, l.high)), value: (l) => l.score },
          { title: 'Gain', number: true, cell: (l) => h('span', { class: l.worth > 0 && !base(l) ? 'good' : null }, l.gain === null ? '–' : withRange(signed(l.gain), interval(l.gain_low, l.gain_high))), value: (l) => l.gain },
          { title: 'over', cell: (l) => l.baseline ?? '–', value: (l) => l.baseline },
          { title: 'Rows', number: true, cell: (l) => percent(l.coverage), value: (l) => l.coverage },
        ], lines, source, { limit: SHOWN })));
  };
  draw();
  return body;
}

// What replacing this head alone costs, where it was measured.
function replaced(subject, head) {
  const found = effect(subject, head);
  if (!found?.rows.length) return null;
  return section('If it is replaced', read(`What the model’s ${found.metric} does when this head alone is replaced.`),
    table(`Replacing ${found.title} alone`, [
      { title: 'By', words: true, cell: (r) => r.name, value: (r) => r.name },
      { title: 'Change', number: true, cell: (r) => withRange(change(r.increase), interval(r.low, r.high, 1, change)), value: (r) => r.increase },
    ], found.rows, provenance(subject, 'replacement', found.metric)));
}

// Whether a discovery looked at this head.
function examined(subject, head) {
  const told = (subject.discovery ?? []).some((content) => content.stories?.[head]);
  return told ? section('Discovery', h('p', null, 'A discovery examined this head: ', h('a', link(route(subject.index, 'discovery', head)), 'its story'), '.')) : null;
}

async function summary(subject, head) {
  const block = await subject.block('jsd', 'raw', 'all');
  const line = block ? subject.findings(block)[subject.headIndex(head)] : null;
  const found = subject.formulas?.[head];
  const labels = subject.labels(head);
  const narrow = line ? subject.linesOfHead(block, subject.headIndex(head), 'jsd').filter((l) => l.worth > 0 && l.gain > line.gain && !subject.patternNamed.get(l.pattern).baseline).sort((a, b) => b.gain - a.gain)[0] : null;
  const gain = subject.formulaGain(head);
  const better = subject.formulaBetter(head);
  return { line, node: h('p', { class: 'headline' },
    line ? ['Best explained by ', patternLink(subject, line.pattern), line.coverage < 0.95 ? ` on ${percent(line.coverage)} of the rows` : '', ` (${number(line.score, 2)} JSD, ${signed(line.gain, 2)} better than ${line.baseline}). `]
      : block ? `${subject.explanation?.cards ? 'Over whole rows, none' : 'None'} of the ${plural(subject.scored, 'pattern')} scored here is clearly better than the baselines${better ? '; its formula is' : ''}. ` : null,
    narrow ? ['Where it applies, on ', percent(narrow.coverage), ' of the rows, ', patternLink(subject, narrow.pattern), ` gains more: ${signed(narrow.gain, 2)} over ${narrow.baseline}. `] : null,
    found ? `Its formula reaches IoU ${number(found.scores.formula_raw_iou[0], 2)} on ${measured(subject)}, ${signed(gain?.[0] ?? NaN, 2)} over its mean attention by position${better ? '' : ', which is no clear gain'}. ` : null,
    labels.length ? ['Labels: ', labels.map((label, i) => [i ? ', ' : '', patternLink(subject, label)]), '.'] : found ? 'No single pattern is good enough to be its label.' : null) };
}

export async function headView(subject, head) {
  const at = subject.headIndex(head);
  if (at < 0) return [h('h1', null, 'No such head'), note(own(head), ` is no head of ${subject.name}: ${subject.layers} layers of ${subject.heads} heads, counted from 0; write layer.head, such as 0.0.`)];
  const names = subject.headNames();
  const found = subject.formulas?.[head];
  const top = await summary(subject, head);
  const answered = card(subject, head);
  const written = effects(subject, head);
  const alone = (answered || written) && !subject.survey && !subject.fit;
  const step = (to, title, css) => (to ? h('a', { ...link(route(subject.index, 'head', to)), class: css, 'aria-label': `${title}, ${prose(to)}` }, to) : null);
  return [
    h('div', { class: 'title' },
      h('h1', null, prose(head), h('small', null, ` layer ${head.split('.')[0]}, head ${head.split('.')[1]} of `, own(subject.name))),
      h('nav', { 'aria-label': 'Neighbouring heads', class: 'steps' }, step(names[at - 1], 'Previous head', 'before'), step(names[at + 1], 'Next head', 'after'))),
    answered,
    written,
    alone ? note('A survey or a fit of this model, given to headscribe report as well, would show example texts, patterns and a formula here.') : null,
    ...(alone ? [] : [top.node,
    section('On example texts', read('Point at a word, or move to it with the arrow keys: the words that it reads are shaded. In the pictures rows are queries, columns keys, and every row sums to 1; a prediction is right where the first two pictures agree and the third is empty.'),
      examples(subject, head, { prefer: top.line?.pattern })),
    section('Its formula', found
      ? [found.inWords ? h('p', { class: 'headline' }, 'In words: it reads ', own(found.inWords), '.') : null, formula(subject, head, found), h('div', { class: 'figures' }, scores(subject, head, found), mixture(subject, head)), relatives(subject, head)]
      : lacking(subject, ['formulas'], 'No fit of this model is in the report. headscribe fit writes one; give its run to headscribe report as well.')),
    section('Patterns of the catalogue', subject.survey ? patterns(subject, head) : lacking(subject, ['scores'], 'No survey of this model is in the report.')),
    replaced(subject, head),
    examined(subject, head),
    section('Its gate', subject.survey ? gate(subject, head) : lacking(subject, ['gates'], 'No survey of this model is in the report.'))]),
  ];
}
