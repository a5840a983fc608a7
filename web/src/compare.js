// Two subjects side by side: the same model on other texts, or another model.

import { family, shade } from './colors.js';
import { choice, clear, column, h, own, select } from './dom.js';
import { subjects } from './data.js';
import { interval, known, number, percent, short, signed } from './format.js';
import { headGrid } from './grid.js';
import { familyLegend, figure, lacking, patternLink, provenance, read, section, table, withRange } from './parts.js';
import { go, link, route } from './router.js';

const state = { metric: 'jsd', view: 'raw', other: null };

const headOf = (subject, head) => h('a', { ...link(route(subject.index, 'head', head)), class: 'head' }, head);

const label = (subject) => (subjects.filter((one) => one.name === subject.name).length > 1 ? `${subject.name} (${subject.runs[0]?.folder})` : subject.name);

function grid(subject, found, largest) {
  const cells = found.map((line) => (line
    ? { fill: shade(family(subject.family(line.pattern)), 0.14 + 0.86 * Math.min(1, line.worth / largest)), text: short(line.pattern), sentence: `${line.pattern}, gain ${signed(line.gain)}` }
    : { sentence: 'no scored pattern is clearly better than the baselines' }));
  return figure(`What explains the heads of ${label(subject)}`, headGrid(subject, cells, { room: column(), label: `Heads of ${label(subject)}`, onopen: (head) => go(route(subject.index, 'head', head)) }),
    provenance(subject, 'survey', state.metric, `view ${state.view}`, 'split all (descriptive)'));
}

function patterns(a, b, one, two) {
  const metric = a.metrics.find((m) => m.name === state.metric);
  const rows = a.patterns.map((pattern, index) => {
    const other = b.patternNamed.get(pattern.name);
    const [best] = a.linesOfPattern(one, index, state.metric);
    const [rival] = other ? b.linesOfPattern(two, other.index, state.metric) : [];
    return { pattern, best, rival };
  }).filter((r) => r.best && r.rival);
  const change = (r) => (r.rival.score - r.best.score) * (metric.higher ? 1 : -1);
  return table('Best head of each pattern in both', [
    { title: 'Pattern', words: true, cell: (r) => patternLink(a, r.pattern.name), value: (r) => r.pattern.name },
    { title: label(a), number: true, cell: (r) => [headOf(a, r.best.head), ' ', withRange(number(r.best.score), interval(r.best.low, r.best.high))], value: (r) => r.best.score },
    { title: label(b), number: true, cell: (r) => [headOf(b, r.rival.head), ' ', withRange(number(r.rival.score), interval(r.rival.low, r.rival.high))], value: (r) => r.rival.score },
    { title: `better in ${label(b)} by`, number: true, cell: (r) => signed(change(r)), value: change },
  ], rows.sort((x, y) => Math.abs(change(y)) - Math.abs(change(x))), provenance(a, 'survey', `and ${label(b)}`, state.metric, `view ${state.view}`), { limit: 14 });
}

// Whether the heads of two models can be compared one by one.
const alike = (a, b) => a.layers === b.layers && a.heads === b.heads;

const HOLDS = ['same name', 'does it too', 'not there'];

// Which names of heads hold in both, in words and by family; nothing where one of them has no names.
function names(a, b) {
  const [mine, theirs] = [a, b].map((one) => one.explanation?.cards);
  if (!mine || !theirs || !alike(a, b)) return null;
  const there = new Map(theirs.map((row) => [row.head, row]));
  const does = new Set((b.explanation.behaviours ?? []).filter((row) => row.listed).map((row) => `${row.head} ${row.behaviour}`));
  const rows = mine.filter((row) => row.family && there.has(row.head)).map(({ head, name, family: of }) => {
    const other = there.get(head).name;
    return { head, name, of, other, holds: name === other ? HOLDS[0] : does.has(`${head} ${name}`) ? HOLDS[1] : HOLDS[2] };
  });
  if (!rows.length) return null;
  const count = (list, how) => list.filter((row) => row.holds === how).length;
  const share = (list, how) => `${count(list, how)} (${percent(count(list, how) / list.length)})`;
  const groups = [...new Set(rows.map((row) => row.of))].map((of) => ({ of, list: rows.filter((row) => row.of === of) })).sort((x, y) => y.list.length - x.list.length);
  const source = provenance(a, 'explain', `and ${label(b)}`, 'names confirmed on held-out texts');
  return [
    h('p', { class: 'headline' }, h('strong', null, `${count(rows, HOLDS[0])} of ${rows.length} heads keep their name`), ` in ${label(b)} (${percent(count(rows, HOLDS[0]) / rows.length)}). ${share(rows, HOLDS[1])} do the same there under another name, ${share(rows, HOLDS[2])} do not.`),
    h('div', { class: 'figures' },
      table('Names that hold, by family', [
        { title: 'Family', cell: (r) => r.of, value: (r) => r.of },
        ...HOLDS.map((how) => ({ title: how, number: true, cell: (r) => share(r.list, how), value: (r) => count(r.list, how) / r.list.length })),
      ], groups, source),
      table('Heads whose name differs', [
        { title: 'Head', cell: (r) => headOf(a, r.head), value: (r) => r.head },
        { title: label(a), words: true, cell: (r) => own(r.name), value: (r) => r.name },
        { title: label(b), words: true, cell: (r) => own(r.other), value: (r) => r.other },
      ], rows.filter((row) => row.holds !== HOLDS[0]), source, { limit: 12 })),
  ];
}

function heads(a, b, one, two, found, others) {
  if (!alike(a, b)) return read(`${label(a)} has ${a.layers} layers of ${a.heads} heads, ${label(b)} ${b.layers} of ${b.heads}: no head of one is the counterpart of a head of the other, so that only patterns are compared.`);
  const rows = a.headNames().map((head, i) => ({ head, was: found[i], is: others[i], change: (others[i]?.worth ?? 0) - (found[i]?.worth ?? 0) }))
    .filter((r) => r.was?.pattern !== r.is?.pattern || Math.abs(r.change) > 1e-9)
    .sort((x, y) => Math.abs(y.change) - Math.abs(x.change));
  const cell = (subject, line) => (line ? [patternLink(subject, line.pattern), ' ', withRange(signed(line.gain), interval(line.gain_low, line.gain_high))] : h('span', { class: 'small' }, 'by no scored pattern'));
  return table('Heads whose best explanation differs most', [
    { title: 'Head', cell: (r) => headOf(a, r.head), value: (r) => r.head },
    { title: label(a), words: true, cell: (r) => cell(a, r.was), value: (r) => r.was?.pattern ?? '' },
    { title: label(b), words: true, cell: (r) => cell(b, r.is), value: (r) => r.is?.pattern ?? '' },
    { title: 'Change of gain', number: true, cell: (r) => signed(r.change), value: (r) => r.change },
  ], rows, provenance(a, 'survey', `and ${label(b)}`, state.metric, `view ${state.view}`), { limit: 12 });
}

function formulas(a, b) {
  if (!a.formulas || !b.formulas || !alike(a, b)) return null;
  const rows = Object.keys(a.formulas).filter((head) => b.formulas[head]).map((head) => {
    const [x, y] = [a, b].map((s) => s.formulas[head].scores.formula_raw_iou);
    const shared = a.formulas[head].terms.filter((t) => b.formulas[head].terms.some((u) => u.relation === t.relation)).length;
    return { head, x, y, shared, of: Math.max(a.formulas[head].terms.length, b.formulas[head].terms.length) };
  }).filter((r) => known(r.x?.[0]) && known(r.y?.[0])).sort((p, q) => Math.abs(q.y[0] - q.x[0]) - Math.abs(p.y[0] - p.x[0]));
  return section('Formulas', table('Formulas of the same heads', [
    { title: 'Head', cell: (r) => headOf(a, r.head), value: (r) => r.head },
    { title: `IoU, ${label(a)}`, number: true, cell: (r) => withRange(number(r.x[0], 2), interval(r.x[1], r.x[2], 2)), value: (r) => r.x[0] },
    { title: `IoU, ${label(b)}`, number: true, cell: (r) => withRange(number(r.y[0], 2), interval(r.y[1], r.y[2], 2)), value: (r) => r.y[0] },
    { title: 'Change', number: true, cell: (r) => signed(r.y[0] - r.x[0], 2), value: (r) => r.y[0] - r.x[0] },
    { title: 'Terms in common', number: true, cell: (r) => `${r.shared} of ${r.of}`, value: (r) => r.shared },
  ], rows, provenance(a, 'fit', `and ${label(b)}`, 'unseen texts'), { limit: 12 }));
}

export function compareView(subject) {
  const others = subjects.filter((one) => one !== subject);
  if (!others.length) return [h('h1', null, 'Compare'), lacking(subject, [], 'There is one subject in this report: give the runs of another model, or of other texts, to headscribe report as well.')];
  const body = h('div');
  const draw = async () => {
    const b = subjects[state.other] && subjects[state.other] !== subject ? subjects[state.other] : others[0];
    const [one, two] = await Promise.all([subject, b].map((s) => s.block(state.metric, state.view, 'all')));
    const set = (key) => (value) => { state[key] = value; draw(); };
    const controls = h('div', { class: 'controls' },
      others.length > 1 ? select('With', others.map((o) => [String(o.index), label(o)]), String(b.index), (value) => { state.other = Number(value); draw(); }) : null,
      choice('Metric', [['jsd', 'JSD'], ['iou', 'IoU']], state.metric, set('metric')),
      choice('View', [['raw', 'all tokens'], ['content', 'without sinks']], state.view, set('view')));
    const held = names(subject, b);
    if (held && !one && !two) { clear(body, others.length > 1 ? controls : null, held, formulas(subject, b)); return; }
    if (!one || !two) {
      clear(body, held, controls, lacking(one ? b : subject, ['scores', 'about'], `${label(one ? b : subject)} has no survey for this choice.`), formulas(subject, b));
      return;
    }
    const [mine, theirs] = [subject.findings(one), b.findings(two)];
    const largest = Math.max(...[...mine, ...theirs].map((line) => line?.worth ?? 0), 1e-9);
    clear(body, held, controls,
      h('div', { class: 'figures' }, grid(subject, mine, largest), grid(b, theirs, largest)),
      h('p', { class: 'legend' }, familyLegend([...mine.map((l) => l && subject.family(l.pattern)), ...theirs.map((l) => l && b.family(l.pattern))]), h('span', null, h('i', { class: 'hatched' }), ' no scored pattern is clearly better'), h('span', null, 'one scale of shades for both')),
      section('Pattern by pattern', patterns(subject, b, one, two)),
      section('Head by head', heads(subject, b, one, two, mine, theirs)),
      formulas(subject, b));
  };
  draw();
  return [h('h1', null, own(label(subject)), ' beside ', others.length === 1 ? own(label(others[0])) : 'another'), body];
}
