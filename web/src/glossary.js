// The words of these pages, one key away: `?`, or the button beside the search.

import { h } from './dom.js';

const WORDS = [
  ['Head, query, key', 'For every token of a text (the query) an attention head spreads one unit of attention over the tokens that it may see (the keys). L7H10, or 7.10, is head 10 of layer 7; both are counted from 0.'],
  ['Behaviour', 'On the queries where something applies (a determiner), a head reads certain keys (its noun). Its share is the part of what the head reads there that goes to these keys. It is named on one half of the texts and confirmed on the other.'],
  ['Reads, rests', 'A head reads words and marks, and rests on sinks: special tokens such as [CLS] and [SEP], and the token that opens a text in a model that writes. Shares of what it reads leave sinks aside (content attention). Some models rest on a filler word such as “the” as well.'],
  ['Beyond position', 'The share, less what the head’s own mean attention by position would put on the same keys, estimated on other texts: the excess. A head that merely looks back three tokens has none for the words that happen to stand there.'],
  ['Budget', 'Where all of a head’s attention goes: opening and special tokens (sinks), the token itself, each behaviour beyond position, the neighbours, elsewhere. It adds up to 100 %.'],
  ['Pattern', 'A rule that says, from a text alone, where attention goes: “to the previous token”, “from a determiner to its noun”. The catalogue has many; a survey scores some of them, which its page Patterns lists.'],
  ['JSD', 'Jensen–Shannon distance (base 2) between the attention of a query and what is predicted for it, mean over queries and texts. 0: the same. 1: nothing in common. Lower is better.'],
  ['IoU', 'Intersection over union: the attention that head and prediction share, over what either of them spends. 1: the same. 0: nothing in common. Higher is better. Overlap is the shared part alone; SAE, the sum of absolute errors, is 2 minus twice the overlap.'],
  ['Profile', 'What a head does on average, by position alone: the mean of its attention on other texts. Much of a head is its profile, so that a pattern has to beat it.'],
  ['Baseline', 'The profile, and fixed rules without words: look at the first, last, previous or next token, at itself, at everything alike.'],
  ['Gain', 'How much better a pattern scores than the best baseline it was compared with, on the same queries. Above 0 the pattern says something that positions do not. Green, or a star: its whole interval lies above 0.'],
  ['Interval', 'The range in small print, 95 %, over documents: where the number would lie if other texts had been taken.'],
  ['Rows', 'The share of the queries that a pattern speaks of; of the others it says nothing. Shades of a grid are gain × rows.'],
  ['View', '“All tokens”: attention as it is. “Without sinks”: special tokens (and the first token of a model that writes) are left out and the rest is brought back to 1, for heads rest on such sinks where they have nothing to do.'],
  ['Split', '“All texts” describes them. “Test” counts only texts that decided nothing before: use it to claim something.'],
  ['Formula', 'A weighted sum of relations between query and key, put through a softmax, that was fitted to the head (headscribe fit). Its IoU and gain are those of texts on which it was not fitted.'],
  ['Label', 'A pattern that alone explains a fitted head so well that it may name it. A head can have a good formula and no label.'],
  ['Mixture', 'A head as a weighted mean of patterns of the catalogue.'],
  ['Gate', 'A head that rests on a sink, and leaves it only where its pattern applies.'],
  ['Hatched', 'In a grid of patterns: none that was scored is clearly better than the baselines (pale without hatching: but its fitted formula is better than its profile). In a picture of attention: the prediction says nothing of this query.'],
];

// A dialog that knows its key; added to the page once.
export function glossary() {
  const close = h('button', { type: 'button', class: 'more', onclick: () => box.close() }, 'Close');
  const box = h('dialog', { class: 'glossary', 'aria-label': 'Words of this report' },
    h('div', { class: 'title' }, h('h2', null, 'Words of this report'), close),
    h('dl', null, WORDS.map(([word, meaning]) => h('div', null, h('dt', null, word), h('dd', null, meaning)))));
  box.addEventListener('click', (event) => { if (event.target === box) box.close(); });
  document.addEventListener('keydown', (event) => {
    if (event.key !== '?' || event.ctrlKey || event.metaKey || event.target.matches?.('input, select, textarea')) return;
    event.preventDefault();
    if (box.open) box.close(); else box.showModal();
  });
  return { node: box, open: () => box.showModal() };
}
