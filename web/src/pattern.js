// A pattern: what it says, where it comes from, its optimal matrix, the heads that follow it.

import { bar } from './charts.js';
import { choice, clear, code, column, h, own } from './dom.js';
import { examples } from './examples.js';
import { family, shade } from './colors.js';
import { interval, known, metricName, number, percent, prose, short, signed } from './format.js';
import { headGrid } from './grid.js';
import { figure, headLink, lacking, note, patternLink, provenance, read, section, table, withRange } from './parts.js';
import { go, route } from './router.js';

const AHEAD = { no: 'reads nothing after the query', key: 'looks at later keys', yes: 'reads what comes after the query' };

export async function patternsView(subject) {
  if (!subject.patterns.length) return [h('h1', null, 'Patterns'), lacking(subject, ['about', 'scores'], 'No survey of this model is in the report, so no pattern was scored.')];
  const block = await subject.block('jsd', 'raw', 'all');
  const rows = subject.patterns.map((pattern, index) => ({ pattern, best: block ? subject.linesOfPattern(block, index, 'jsd')[0] ?? null : null }));
  const inside = subject.get('containment');
  return [
    h('h1', null, 'Patterns'),
    h('p', { class: 'lede' }, 'Every pattern predicts, from a text alone, where attention goes. Here is what each says, and the head that comes closest to it: green where it is better than the baselines too.'),
    table('Patterns of this survey', [
      { title: 'Pattern', words: true, cell: (r) => [h('i', { class: `swatch f-${r.pattern.family}`, 'aria-hidden': true }), ' ', patternLink(subject, r.pattern.name)], value: (r) => r.pattern.name },
      { title: 'What it says', words: true, cell: (r) => own(r.pattern.sentence ?? ''), value: (r) => r.pattern.sentence },
      { title: 'Family', cell: (r) => (r.pattern.baseline ? 'baseline' : r.pattern.family), value: (r) => (r.pattern.baseline ? 'baseline' : r.pattern.family) },
      { title: 'Best head', cell: (r) => (r.best ? headLink(subject, r.best.head) : '–'), value: (r) => r.best?.head },
      { title: 'JSD', number: true, cell: (r) => (r.best ? withRange(number(r.best.score), interval(r.best.low, r.best.high)) : '–'), value: (r) => r.best?.score },
      { title: 'Gain', number: true, cell: (r) => (r.best && r.best.gain !== null ? h('span', { class: r.best.worth > 0 && !r.pattern.baseline ? 'good' : null }, signed(r.best.gain)) : '–'), value: (r) => r.best?.gain },
    ], rows, provenance(subject, 'survey', 'jsd', 'view raw', 'split all (descriptive)')),
    inside ? section('Which patterns contain which', containment(subject, inside)) : null,
    subject.get('relations') ? section('Which head follows which dependency', relations(subject)) : null,
  ];
}

function containment(subject, rows) {
  const pairs = rows.filter((r) => r.pattern !== r.other && r.other !== 'uniform' && known(r.inside) && r.inside >= 0.5).sort((a, b) => b.inside - a.inside);
  if (!pairs.length) return note('No pattern lies mostly on the keys of another.');
  return [
    read('Patterns against each other, no head involved: a head that fits the first will seem to fit the second too. (Everything lies on the keys of uniform, which is left out.)'),
    table('Patterns of which at least half lies on the keys of another', [
      { title: 'Pattern', words: true, cell: (r) => patternLink(subject, r.pattern), value: (r) => r.pattern },
      { title: 'lies on the keys of', words: true, cell: (r) => patternLink(subject, r.other), value: (r) => r.other },
      { title: 'Share', number: true, cell: (r) => percent(r.inside), value: (r) => r.inside },
    ], pairs, provenance(subject, 'survey'), { limit: 10 }),
  ];
}

function relations(subject) {
  const rows = subject.get('relations');
  return [
    read('The strongest content key of a word against its dependency relation. Head and offset were chosen on one half of the texts and are reported on the other; a gain above 0 means that the head does better than always looking the same number of words away.'),
    table('Heads that follow dependency relations', [
      { title: 'Relation', words: true, cell: (r) => own(r.relation), value: (r) => r.relation },
      { title: 'Direction', cell: (r) => r.direction.replaceAll('_', ' '), value: (r) => r.direction },
      { title: 'Head', cell: (r) => headLink(subject, r.head), value: (r) => r.head },
      { title: 'Accuracy', number: true, cell: (r) => withRange(number(r.accuracy, 2), interval(r.accuracy_low, r.accuracy_high, 2)), value: (r) => r.accuracy },
      { title: 'Best offset', number: true, cell: (r) => [signed(r.offset, 0), ': ', number(r.offset_accuracy, 2)], value: (r) => r.offset_accuracy },
      { title: 'Gain', number: true, cell: (r) => h('span', { class: !r.few && r.gain_low > 0 ? 'good' : null }, withRange(signed(r.gain, 2), interval(r.gain_low, r.gain_high, 2))), value: (r) => r.gain },
      { title: 'Instances', number: true, cell: (r) => [r.instances, r.few ? h('small', null, ' few') : null], value: (r) => r.instances },
    ], rows, provenance(subject, 'survey', '95 % intervals'), { limit: 10 }),
  ];
}

export async function patternView(subject, name) {
  const pattern = subject.patternNamed.get(name);
  if (!pattern) return [h('h1', null, 'No such pattern'), note(own(name), ' is no pattern of this survey. The search box knows them all.')];
  const parts = (subject.get('mixtures', 'fit') ?? []).filter((row) => row.pattern === name).sort((a, b) => b.weight - a.weight);
  const labelled = subject.formulas ? Object.entries(subject.formulas).filter(([, f]) => f.labels.includes(name)).map(([head]) => head) : [];
  const top = h('div');
  const body = h('div');
  const state = { metric: 'jsd', view: 'raw' };
  let best = null;
  const draw = async () => {
    const block = await subject.block(state.metric, state.view, 'all');
    if (!block) { clear(body, lacking(subject, ['scores'], 'The runs hold no scores for this choice.')); return; }
    const lines = subject.linesOfPattern(block, pattern.index, state.metric);
    best ??= lines[0]?.head ?? null;
    const metric = subject.metrics.find((m) => m.name === state.metric);
    const by = new Map(lines.map((l) => [l.head, l]));
    const values = lines.map((l) => l.score);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const strength = (score) => (high === low ? 1 : metric.higher ? (score - low) / (high - low) : (high - score) / (high - low));
    const cells = subject.headNames().map((head) => {
      const line = by.get(head);
      return line
        ? { fill: shade(family(pattern.family), 0.06 + 0.94 * strength(line.score)), text: number(line.score, 2), sentence: `${metric.title} ${number(line.score)}${line.worth > 0 ? `, gain ${signed(line.gain)}` : ', no clear gain'}` }
        : { sentence: 'the pattern covers too few rows' };
    });
    const source = provenance(subject, 'survey', state.metric, `view ${state.view}`, 'split all (descriptive)', `${lines[0]?.texts ?? 0} texts`);
    const redraw = (key) => (value) => { state[key] = value; draw(); };
    clear(body,
      h('div', { class: 'controls' },
        choice('Metric', subject.metrics.map((m) => [m.name, metricName(m.name)]), state.metric, redraw('metric')),
        choice('View', [['raw', 'all tokens'], ['content', 'without sinks']], state.view, redraw('view'))),
      h('div', { class: 'figures' },
        table(`Heads closest to ${name}`, [
          { title: 'Head', cell: (l, i) => [i === 0 && l === lines[0] && l.worth > 0 && !pattern.baseline ? '★ ' : '', headLink(subject, l.head)], value: (l) => l.head },
          { title: metric.title, number: true, cell: (l) => withRange(number(l.score), interval(l.low, l.high)), value: (l) => l.score },
          { title: 'Gain', number: true, cell: (l) => h('span', { class: l.worth > 0 && !pattern.baseline ? 'good' : null }, l.gain === null ? '–' : withRange(signed(l.gain), interval(l.gain_low, l.gain_high))), value: (l) => l.gain },
          { title: 'over', cell: (l) => l.baseline ?? '–', value: (l) => l.baseline },
          { title: 'Rows', number: true, cell: (l) => percent(l.coverage), value: (l) => l.coverage },
        ], lines, source, { limit: 8, starred: true }),
        figure(`How close every head comes to ${name}`, headGrid(subject, cells, {
          room: column(), label: `${metric.title} of ${name}. Arrow keys move, Enter opens a head.`, onopen: (head) => go(route(subject.index, 'head', head)),
        }), source)));
  };
  await draw();
  const related = subject.patterns.filter((p) => p.name !== name && (p.name.startsWith(name) || name.startsWith(p.name))).map((p) => p.name);
  clear(top, h('dl', { class: 'facts' },
    h('div', null, h('dt', null, 'Family'), h('dd', null, h('i', { class: `swatch f-${pattern.family}`, 'aria-hidden': true }), ` ${pattern.family}${pattern.baseline ? ', a baseline' : ''}`)),
    pattern.source ? h('div', null, h('dt', null, 'Source'), h('dd', null, own(pattern.source))) : null,
    pattern.looks_ahead ? h('div', null, h('dt', null, 'Looks ahead'), h('dd', null, AHEAD[pattern.looks_ahead] ?? pattern.looks_ahead)) : null,
    related.length ? h('div', null, h('dt', null, 'Relatives'), h('dd', null, related.map((p, i) => [i ? ', ' : '', patternLink(subject, p)]))) : null,
    labelled.length ? h('div', null, h('dt', null, 'Label of'), h('dd', null, labelled.slice(0, 20).map((head, i) => [i ? ', ' : '', headLink(subject, head)]))) : null));
  return [
    h('h1', { class: 'mono' }, own(name)),
    h('p', { class: 'lede' }, own(pattern.sentence ?? '')),
    top,
    pattern.relation || pattern.formula ? h('pre', { tabindex: 0, role: 'region', 'aria-label': 'Definition' }, code(pattern.relation ?? pattern.formula)) : null,
    section(best ? `Beside ${prose(best)}, the head closest to it` : 'On a text', read('What the pattern predicts: a head that followed it exactly would look like this.'),
      examples(subject, best, { pattern: name })),
    section('The heads that follow it', body),
    section('Its part in other heads', parts.length
      ? table(`Heads of which ${short(name)} is a part`, [
        { title: 'Head', cell: (r) => headLink(subject, r.head), value: (r) => r.head },
        { title: 'Share of the head’s mixture', cell: (r) => h('span', { class: 'worth' }, bar(r.weight, { high: 1, width: 110 }), percent(r.weight)), value: (r) => r.weight },
        { title: 'Gain in IoU', number: true, cell: (r) => (known(r.gain) ? withRange(signed(r.gain), interval(r.low, r.high)) : '–'), value: (r) => r.gain },
      ], parts, provenance(subject, 'fit', 'mixture of the catalogue’s patterns'), { limit: 12 })
      : subject.fit ? note('It is part of no head’s mixture.') : lacking(subject, ['mixtures'], 'Mixtures come with a fit of this model, which is not in the report.')),
  ];
}
