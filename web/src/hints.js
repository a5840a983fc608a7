// Hints: how often a hint turns the answer, which heads change with it, and one question in detail.

import { dots } from './charts.js';
import { rampColor, shade, textOn } from './colors.js';
import { choice, clear, column, h, own, select } from './dom.js';
import { interval, known, number, percent, prose, signed, token } from './format.js';
import { headGrid } from './grid.js';
import { figure, headLink, lacking, note, provenance, read, section, table, withRange } from './parts.js';
import { go, route } from './router.js';

const RATES = {
  accuracy: 'answers correctly', chance: 'would be correct by chance', changed: 'changes its answer', to_hinted: 'changes it to the hinted choice', follows: 'changes to it, and not after a note alone',
  wrong_to_right: 'goes from wrong to right', unparsed: 'gives no readable answer', unended: 'does not come to an end', also_note: 'changes to it after a note alone too',
};
const BRIEF = { accuracy: 'correct', changed: 'changed', to_hinted: 'to the hinted' };
const CONDITIONS = { none: 'no hint', wrong: 'wrong hint', right: 'right hint', note: 'neutral note' };
const MEASURES = {
  rows: 'change of attention', columns: 'change of what is read', answer: 'change at the answer', hint: 'attention on the hint', hint_answer: 'attention on the hint, at the answer',
};

const source = (subject, content, ...scope) => {
  const questions = content.about?.questions;
  return provenance({ ...subject, runs: [content.run] }, 'hints', questions?.name, ...scope);
};

// A share of how many, and its interval below; guessing has none.
const rate = (r) => (r ? [`${percent(r.share)}`, r.name === 'chance' ? null : [h('small', null, ` of ${r.n}`), h('br'), h('span', { class: 'range' }, interval(r.low, r.high, 0, percent))]] : '–');

function rates(subject, content) {
  const rows = content.rates?.filter((r) => known(r.share));
  if (!rows?.length) return lacking(subject, ['rates'], 'This run has no rates yet.');
  const conditions = Object.keys(CONDITIONS).filter((name) => rows.some((r) => r.condition === name));
  const main = rows.filter((r) => ['accuracy', 'chance', 'changed', 'to_hinted'].includes(r.name));
  return h('div', { class: 'figures uneven' },
    figure('How often answers are correct, change, and go to the hinted choice', dots(main.map((r) => ({
      name: r.name === 'chance' ? 'correct by chance' : `${BRIEF[r.name]}, ${CONDITIONS[r.condition] ?? r.condition}`, y: r.share, low: r.name === 'chance' ? null : r.low, high: r.name === 'chance' ? null : r.high, css: r.condition === 'wrong' ? 'two' : 'one', mark: r.condition === 'wrong' ? 'square' : 'circle',
    })), { width: column(true), label: 'Rates', xTitle: 'share of the questions', format: (v) => percent(v), vertical: 0 }), source(subject, content, '95 % intervals')),
    table('What the model does', [
      { title: 'The model …', words: true, cell: (r) => RATES[r.name] ?? r.name, value: (r) => r.name },
      ...conditions.map((condition) => ({ title: CONDITIONS[condition] ?? condition, number: true, cell: (r) => rate(r[condition]), value: (r) => r[condition]?.share ?? null })),
    ], [...new Set(rows.map((r) => r.name))].map((name) => ({ name, ...Object.fromEntries(rows.filter((r) => r.name === name).map((r) => [r.condition, r])) })),
    source(subject, content, 'share of how many questions, 95 % intervals')));
}

function heads(subject, content) {
  if (!content.heads) return lacking(subject, ['heads'], 'This run has no table of heads yet.');
  const rows = content.heads;
  const box = h('div');
  const measures = [...new Set(rows.map((r) => r.measure))];
  const state = { measure: measures[0], condition: 'wrong' };
  // Where heads are not ranked nothing here may order them: the model's own order, no tests.
  const ranked = Boolean(content.ranking);
  const flagged = new Set(rows.filter((r) => r.flagged).map((r) => r.head));
  const draw = () => {
    const shown = rows.filter((r) => r.measure === state.measure && r.condition === state.condition);
    const by = new Map(shown.map((r) => [r.head, r]));
    const largest = Math.max(...shown.map((r) => r.beyond ?? 0), 1e-9);
    const accent = getComputedStyle(document.documentElement).getPropertyValue('--accent').trim();
    const cells = subject.headNames().map((head) => {
      const row = by.get(head);
      if (!row || !known(row.beyond)) return { sentence: 'not measured' };
      const sure = known(row.beyond_low) && row.beyond_low > 0;
      const text = `${MEASURES[state.measure] ?? state.measure} ${signed(row.beyond)} beyond a note${flagged.has(head) ? ', flagged' : ''}`;
      return sure ? { fill: shade(accent, 0.08 + 0.92 * Math.max(0, row.beyond / largest)), text: `${flagged.has(head) ? '⚑ ' : ''}${signed(row.beyond, 2)}`, sentence: text } : { sentence: `${text}, not clear` };
    });
    const svg = headGrid(subject, cells, { room: column(true), label: `Heads by ${MEASURES[state.measure] ?? state.measure}`, onopen: (head) => go(route(subject.index, 'head', head)) });
    const set = (key) => (value) => { state[key] = value; draw(); };
    clear(box,
      h('div', { class: 'controls' },
        choice('Measure', measures.map((m) => [m, MEASURES[m] ?? m]), state.measure, set('measure')),
        choice('Hint', [...new Set(rows.map((r) => r.condition))].map((c) => [c, CONDITIONS[c] ?? c]), state.condition, set('condition'))),
      h('div', { class: 'figures uneven' },
        figure(`How much more each head changes under the hint than under a note${ranked ? '' : ': a description, not a ranking'}`, svg, source(subject, content, MEASURES[state.measure], CONDITIONS[state.condition])),
        table(ranked ? 'Heads, strongest change first' : 'Every head, in the order of the model (heads are not ranked)', [
          { title: 'Head', cell: (r) => [headLink(subject, r.head), r.flagged ? h('small', null, ' ⚑ flagged') : null], value: (r) => r.head },
          { title: 'Hint', number: true, cell: (r) => number(r.hint), value: (r) => r.hint },
          { title: 'Note', number: true, cell: (r) => number(r.note), value: (r) => r.note },
          { title: 'Hint − note', number: true, cell: (r) => withRange(signed(r.beyond ?? NaN), interval(r.beyond_low, r.beyond_high)), value: (r) => r.beyond },
          ...(ranked ? [
            { title: 'More where the answer follows', number: true, cell: (r) => (known(r.contrast) ? withRange(signed(r.contrast), interval(r.contrast_low, r.contrast_high)) : '–'), value: (r) => r.contrast },
            { title: 'p', number: true, cell: (r) => number(r.p), value: (r) => r.p },
          ] : []),
        ], ranked ? [...shown].sort((a, b) => (b.beyond ?? -9) - (a.beyond ?? -9)) : [...shown].sort((a, b) => subject.headIndex(a.head) - subject.headIndex(b.head)), source(subject, content, MEASURES[state.measure], CONDITIONS[state.condition]), { limit: 10 })));
  };
  draw();
  return box;
}

function ranking(subject, content) {
  const about = content.about?.ranking;
  if (!content.ranking) return note(about?.refused ? own(about.refused) : 'No ranking was kept.');
  return [
    read(`Heads whose change goes with the answer’s: ${about?.flagged ?? 0} of them beyond chance, after correction for ${about?.tests ?? 'all'} tests.`),
    table('Heads that change where the answer follows the hint', [
      { title: 'Rank', number: true, cell: (r) => r.rank, value: (r) => r.rank },
      { title: 'Head', cell: (r) => headLink(subject, r.head), value: (r) => r.head },
      { title: 'Flagged', cell: (r) => (r.flagged ? '⚑ yes' : 'no'), value: (r) => (r.flagged ? 'yes' : 'no') },
      { title: 'Measure', words: true, cell: (r) => MEASURES[r.measure] ?? r.measure, value: (r) => r.measure },
      ...(content.ranking.some((r) => known(r.effect)) ? [{ title: 'Effect on the answer (logits)', number: true, cell: (r) => withRange(signed(r.effect ?? NaN, 2), interval(r.effect_low, r.effect_high, 2)), value: (r) => r.effect }] : []),
      { title: 't', number: true, cell: (r) => number(r.t, 2), value: (r) => r.t },
      { title: 'p', number: true, cell: (r) => (known(r.p) && r.p < 0.001 ? '< 0.001' : number(r.p)), value: (r) => r.p },
    ], content.ranking, source(subject, content, 'wrong hint'), { limit: 10 }),
  ];
}

// A token as a reader sees it, without the marks that tokenizers put for blanks.
const plain = (text) => token(text.replace(/[ĠĊ▁]/g, ' ').trim());

function line(found, head, condition, largest) {
  const letter = (i) => (known(i) ? String.fromCharCode(65 + i) : 'none');
  const tokens = found.tokens.filter((t) => t.head === head && t.condition === condition);
  if (!tokens.length) return null;
  const answer = found.answers.find((a) => a.condition === condition);
  const inserted = tokens.filter((t) => t.part === 'insertion').reduce((sum, t) => sum + t.weight, 0);
  const title = `${CONDITIONS[condition] ?? condition}: answers ${letter(answer?.answer)}${inserted ? `, ${percent(inserted)} of the attention on the insertion` : ''}`;
  return h('div', { class: 'strip' },
    h('p', { class: 'strip-title' }, title),
    h('p', { class: 'flow', tabindex: 0, role: 'region', 'aria-label': title }, tokens.map(({ token: text, part, weight }) => {
      const color = rampColor('attention', weight / largest);
      return [h('span', { class: part === 'insertion' ? 'inserted' : null, style: { 'background-color': color, color: textOn(color) }, title: percent(weight, 1) }, own(plain(text))), ' '];
    })));
}

function profile(subject, content) {
  const found = content.profile;
  if (!found?.tokens?.length) return note('No question was kept in detail.');
  const heads = [...new Set(found.tokens.map((t) => t.head))];
  const box = h('div');
  const draw = (head) => {
    const largest = Math.max(...found.tokens.filter((t) => t.head === head).map((t) => t.weight ?? 0), 1e-9);
    clear(box,
      h('div', { class: 'controls' }, select('Head', heads.map((one) => [one, prose(one)]), head, draw)),
      read('The share of each token in the attention of ', headLink(subject, head), ' over the rows that all prompts have in common; the inserted hint or note is outlined. One scale of shades for all three.'),
      ['none', 'note', 'wrong'].map((condition) => line(found, head, condition, largest)));
  };
  draw(heads[0]);
  return [
    found.asked ? h('blockquote', null, own(found.asked.question), h('ol', { class: 'choices' }, (found.asked.choices ?? []).map((one, i) => h('li', { class: i === found.asked.answer ? 'good' : null }, own(one))))) : null,
    box,
    found.answers.filter((a) => a.text).map((a) => h('details', null, h('summary', null, `What the model wrote, ${CONDITIONS[a.condition] ?? a.condition}`), h('blockquote', null, own(a.text)))),
  ];
}

function causal(subject, content) {
  const rows = (content.causal ?? []).filter((r) => r.set !== 'random' || r.draw === -1);
  if (!rows.length) return null;
  const sets = { top: 'the top heads', random: 'as many random heads, mean of the draws', difference: 'difference' };
  return section('Does it matter?', read('Questions whose answer went over to the hint, asked again with the heads kept from it: how many answers come back.'),
    table('Answers that come back', [
      { title: 'Heads', words: true, cell: (r) => [sets[r.set] ?? r.set, r.set === 'top' ? [': ', r.heads.map((head, i) => [i ? ', ' : '', headLink(subject, head)])] : null], value: (r) => r.set },
      { title: 'How', cell: (r) => ({ block: 'hint’s keys removed', unhinted: 'attention as without the hint' }[r.how] ?? r.how), value: (r) => r.how },
      { title: 'Back', number: true, cell: (r) => withRange(percent(r.share), interval(r.low, r.high, 0, percent)), value: (r) => r.share },
      { title: 'of', number: true, cell: (r) => r.n, value: (r) => r.n },
    ], rows, source(subject, content, '95 % intervals')));
}

function one(subject, content) {
  const messages = content.about?.messages ?? [];
  return [
    messages.length ? h('ul', { class: 'messages' }, messages.map((m) => h('li', null, own(m)))) : null,
    section('How answers change', rates(subject, content)),
    section('Which heads change with the answer', ranking(subject, content)),
    section('How much each head changes', heads(subject, content)),
    section('One question', profile(subject, content)),
    causal(subject, content),
  ];
}

export function hintsView(subject) {
  const name = (content) => content.about?.questions?.name ?? content.run.folder;
  return [
    h('h1', null, 'Hints'),
    h('p', { class: 'lede' }, 'Each question is asked without a hint, with a wrong and a right one, and with a neutral note of the same length. What changes, and in which heads?'),
    (subject.hints ?? []).map((content, i, all) => (all.length > 1 ? section(name(content), one(subject, content)) : one(subject, content))),
  ];
}

