// Discovery: for each head what was seen, supposed, written and measured, and whether it stayed.

import { code, h, own } from './dom.js';
import { examples } from './examples.js';
import { count, interval, known, number, percent, plural, prose, signed } from './format.js';
import { headLink, lacking, note, provenance, read, section, table, withRange } from './parts.js';
import { link, route } from './router.js';

const FATES = { accepted: 'accepted', rejected: 'not better', failed: 'did not run', invalid: 'not usable' };
const KINDS = { fit: 'on the texts that it was shown', select: 'on texts that it was not shown' };

const badge = (fate) => h('span', { class: `badge ${fate}` }, FATES[fate] ?? fate ?? '–');

const source = (subject, content) => provenance({ ...subject, runs: [content.run] }, 'discover', content.tally?.asked?.proposer, 'IoU on test texts');

function summary(content) {
  const tally = content.tally?.tally;
  if (!tally) return null;
  const sum = (counts) => Object.values(counts ?? {}).reduce((a, b) => a + b, 0);
  return h('p', { class: 'headline' }, h('strong', null, `${count(tally.accepted)} of ${plural(tally.heads, 'head')}`), ` got a better program, from ${plural(tally.proposals, 'proposal')}: `,
    `${count(sum(tally.rejected))} were tried and not better, ${count(sum(tally.failed))} did not run, ${count(sum(tally.invalid))} were not usable.`,
    tally.calls ? ` ${plural(tally.calls, 'call')} of a language model, ${count(tally.tokens)} tokens${known(tally.usd) && tally.usd > 0 ? `, ${number(tally.usd, 2)} USD` : ''}.` : '');
}

const storyLink = (subject, name) => h('a', { ...link(route(subject.index, 'discovery', name)), class: 'head' }, name);

function overview(subject, content) {
  if (!content.heads) return lacking(subject, ['heads', 'stories', 'tally'], 'This discovery has no table of heads yet.');
  return [
    summary(content),
    read('A program is accepted only where it is better than the head’s formula on texts that the proposer did not see; its gain is then measured once more, on test texts that decided nothing.'),
    table('Heads examined', [
      { title: 'Head', cell: (r) => storyLink(subject, r.head), value: (r) => r.head },
      { title: 'Outcome', cell: (r) => badge(r.status), value: (r) => r.status },
      { title: 'Gain in IoU', number: true, cell: (r) => (known(r.gain) ? h('span', { class: r.gain_low > 0 ? 'good' : null }, withRange(signed(r.gain), interval(r.gain_low, r.gain_high))) : '–'), value: (r) => r.gain },
      { title: 'Formula', number: true, cell: (r) => number(r.iou_formula), value: (r) => r.iou_formula },
      { title: 'Program', number: true, cell: (r) => number(r.iou_program), value: (r) => r.iou_program },
      { title: 'Hypothesis, or why not', words: true, cell: (r) => own(r.statement || r.reason || ''), value: (r) => r.statement || r.reason },
      { title: 'Rounds', number: true, cell: (r) => r.rounds, value: (r) => r.rounds },
    ], content.heads, source(subject, content)),
    Array.isArray(content.tally?.left_out) && content.tally.left_out.length ? h('details', null, h('summary', null, 'Known programs that could not run here'), h('ul', null, content.tally.left_out.map((one) => h('li', null, own(typeof one === 'string' ? one : Object.values(one).join(': ')))))) : null,
  ];
}

function program(found) {
  if (!found) return null;
  if (found.kind === 'python') return h('pre', { tabindex: 0, role: 'region', 'aria-label': 'Program' }, code(found.code));
  const fresh = new Set(found.fresh);
  return h('pre', { tabindex: 0, role: 'region', 'aria-label': 'Program' }, found.terms.map(([weight, relation]) => [
    h('span', { class: fresh.has(relation) ? 'fresh' : null }, code(`${weight >= 0 ? '+' : '−'}${Math.abs(weight).toFixed(2)}  ${relation}`), fresh.has(relation) ? '   ← new' : ''), '\n']));
}

function attempt(one) {
  const proposal = one.proposal;
  return h('li', { class: 'attempt' },
    h('h3', null, `Proposal ${one.round} `, badge(one.fate), one.fate === 'rejected' && KINDS[one.kind] ? h('small', null, ` ${KINDS[one.kind]}`) : null, h('small', null, ' by ', own(String(one.source).slice(0, 60)))),
    one.message ? h('p', null, own(one.message)) : null,
    proposal ? [
      h('ul', { class: 'hypotheses' }, proposal.hypotheses.map((hypothesis, i) => h('li', { class: i === proposal.chosen ? 'chosen' : null },
        own(hypothesis.statement), i === proposal.chosen ? h('small', null, ' (chosen)') : null,
        (hypothesis.evidence ?? []).length ? h('ul', null, hypothesis.evidence.map((e) => h('li', { class: 'small' }, own(e)))) : null))),
      proposal.validation ? h('p', { class: 'small' }, 'Why: ', own(proposal.validation)) : null,
      h('pre', { tabindex: 0, role: 'region', 'aria-label': `Code of proposal ${one.round}` }, code(proposal.program || proposal.relations.join('\n'))),
    ] : null,
    h('p', { class: 'small' }, [
      known(one.fit_iou) ? `IoU ${number(one.fit_iou)} on the shown texts (${signed(one.fit_gain ?? NaN)} over the formula)` : null,
      known(one.select_p) ? `p ${number(one.select_p)} on unseen texts` : null,
      known(one.example_agreement) ? `its own example agrees with its code in ${percent(one.example_agreement)} of the cells` : null,
    ].filter(Boolean).join(' · ')),
    (one.notes ?? []).length ? h('p', { class: 'small' }, one.notes.map((n) => [own(n), ' '])) : null);
}

function scores(subject, content, story) {
  const rows = ['fit', 'select', 'test'].filter((split) => story.scores?.[split]).map((split) => ({ split, ...story.scores[split] }));
  if (!rows.length) return null;
  const columns = ['formula', 'program', 'catalogue', 'library'].filter((name) => rows.some((r) => known(r[name])));
  const rivals = story.rivals ?? {};
  return table('Mean IoU by split', [
    { title: 'Texts', cell: (r) => ({ fit: 'fit: shown to the proposer', select: 'select: decided', test: 'test: decided nothing' }[r.split]), value: (r) => r.split },
    ...columns.map((name) => ({ title: rivals[name] ? `${name}: ${rivals[name]}` : name, number: true, cell: (r) => number(r[name]), value: (r) => r[name] })),
  ], rows, source(subject, content));
}

function storyView(subject, content, index, name) {
  const story = content.stories?.[name];
  const row = content.heads?.find((one) => one.head === name);
  if (!story && !row) return [h('h1', null, 'No such story'), note(own(name), ' was not examined in this run.')];
  if (!story) return [h('h1', null, prose(name)), lacking(subject, ['stories'], 'What was tried for this head is missing or damaged.')];
  const gain = story.gains?.formula;
  return [
    h('p', { class: 'back' }, h('a', link(route(subject.index, 'discovery')), '← all heads examined')),
    h('h1', null, `Discovery on ${prose(name)} `, badge(story.status)),
    h('p', { class: 'headline' }, story.status === 'accepted'
      ? [own(row?.statement ?? ''), gain ? `. Gain ${signed(gain[0])} IoU on test texts${interval(gain[1], gain[2]) ? ` (${interval(gain[1], gain[2])})` : ''}, over the formula.` : '']
      : own(story.reason ?? '')),
    h('p', null, 'See ', headLink(subject, name), ' as a whole.'),
    story.program ? section('The program that stayed', program(story.program), story.looks_ahead ? note('It reads tokens after the query: it explains, but cannot replace the head of a causal model.') : null) : null,
    section('Scores', scores(subject, content, story)),
    section('How it came about', h('ol', { class: 'attempts' }, story.attempts.map(attempt))),
    section('On a text', examples(subject, name, { source: `discovery/${index}` })),
    section('What the proposer saw', story.formula ? h('details', null, h('summary', null, 'The formula before'), h('pre', { tabindex: 0, role: 'region', 'aria-label': 'The formula before' }, code(story.formula))) : null,
      story.evidence?.length ? story.evidence.map((text) => h('details', null,
        h('summary', null, 'Text ', own(String(text.text)), h('small', null, ' ', own(text.why ?? ''), known(text.iou) ? `, IoU of the formula ${number(text.iou, 2)}` : '')),
        h('p', { class: 'small' }, 'Strongest: ', text.pairs.map(([from, to, weight], i) => [i ? '; ' : '', own(from ?? ''), ' → ', own(to ?? ''), ` ${number(weight, 2)}`])),
        text.wrong.length ? h('p', { class: 'small' }, 'Where the formula errs: ', text.wrong.map(([, query, key, real, predicted], i) => [i ? '; ' : '', own(String(query)), ' → ', own(String(key)), ` real ${number(real, 2)}, predicted ${number(predicted, 2)}`])) : null)) : note('What was shown was not kept.')),
    content.elsewhere?.[name]?.length ? section('Where else it fits', h('p', { class: 'chips' }, content.elsewhere[name].map(([head, iou]) => h('span', { class: 'chip' }, headLink(subject, head), h('small', null, ` IoU ${number(iou, 2)}`))))) : null,
  ];
}

export function discoveryView(subject, name) {
  const runs = subject.discovery ?? [];
  if (!runs.length) return [h('h1', null, 'Discovery'), lacking(subject, [], 'No discovery of this model is in the report.')];
  if (name) {
    const index = Math.max(0, runs.findIndex((content) => content.stories?.[name]));
    return storyView(subject, runs[index], index, name);
  }
  return [
    h('h1', null, 'Discovery'),
    h('p', { class: 'lede' }, 'A proposer read what a head does, stated hypotheses and wrote programs; each was run, scored on unseen texts, and kept only where it was better.'),
    runs.map((content, i, all) => (all.length > 1 ? section(content.run.folder, overview(subject, content)) : overview(subject, content))),
  ];
}
