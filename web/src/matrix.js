// An attention matrix: a raster of its cells under labels; queries are rows, keys columns.

import { onRamp, ramp } from './colors.js';
import { h, s, unique } from './dom.js';
import { cut, number, percent, token } from './format.js';

function raster(values, n, kind) {
  const canvas = h('canvas', { width: n, height: n });
  const context = canvas.getContext('2d');
  const image = context.createImageData(n, n);
  const colors = ramp(kind);
  for (let i = 0; i < n * n; i += 1) {
    const [r, g, b] = colors[onRamp(kind, values[i])];
    image.data.set([r, g, b, 255], i * 4);
  }
  context.putImageData(image, 0, 0);
  return canvas.toDataURL('image/png');
}

// How wide a label is, in letters; those of East Asia take two.
const letters = (text) => [...text].reduce((sum, c) => sum + (c.codePointAt(0) > 0x2e80 ? 2 : 1), 0);

// values: n*n, row by row. uncovered: rows of which the prediction says nothing.
export function matrix(labels, values, { kind = 'attention', description, uncovered = null, onpick, room, large = false }) {
  const n = labels.length;
  const names = labels.map((label) => cut(token(label), 12));
  const longest = Math.max(...names.map(letters));
  const fitting = (room - longest * 6.7 - 14) / n;
  const size = large ? Math.max(11, Math.min(22, fitting)) : Math.max(4, Math.min(22, fitting));
  const font = Math.max(9, Math.min(11.5, size * 0.82));
  const step = Math.ceil(9.5 / size);
  const margin = Math.round(longest * font * 0.58) + 10;
  const side = n * size;
  const total = margin + side + 2;
  const hatch = unique('rows');
  const middle = (i) => margin + (i + 0.5) * size;
  const row = s('rect', { class: 'cursor', x: margin, width: side, height: size, visibility: 'hidden' });
  const column = s('rect', { class: 'cursor', y: margin, width: size, height: side, visibility: 'hidden' });
  const svg = s('svg', {
    class: 'matrix', width: total, height: total, viewBox: `0 0 ${total} ${total}`, 'font-size': font,
    role: 'img', 'aria-label': `${description}, ${n} by ${n}; the text below holds the same values`,
  },
  s('defs', null, s('pattern', { id: hatch, width: 6, height: 6, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' },
    s('rect', { width: 6, height: 6, class: 'empty' }), s('line', { x1: 0, y1: 0, x2: 0, y2: 6, class: 'hatching' }))),
  s('image', { href: raster(values, n, kind), x: margin, y: margin, width: side, height: side, preserveAspectRatio: 'none', class: 'cells' }),
  uncovered ? [...uncovered].map((hidden, i) => (hidden ? s('rect', { x: margin, y: margin + i * size, width: side, height: size, fill: `url(#${hatch})` }) : null)) : null,
  s('rect', { x: margin - 0.5, y: margin - 0.5, width: side + 1, height: side + 1, class: 'frame' }),
  names.map((name, i) => (i % step ? null : s('text', { x: margin - 5, y: middle(i) + font * 0.35, 'text-anchor': 'end', 'data-query': i }, name))),
  names.map((name, i) => (i % step ? null : s('text', { transform: `translate(${middle(i) + font * 0.35} ${margin - 5}) rotate(-90)`, 'data-key': i }, name))),
  row, column);
  const show = (query, key) => {
    row.setAttribute('visibility', query === null ? 'hidden' : 'visible');
    column.setAttribute('visibility', key === null || key === undefined ? 'hidden' : 'visible');
    if (query !== null) row.setAttribute('y', margin + query * size);
    if (key !== null && key !== undefined) column.setAttribute('x', margin + key * size);
  };
  const at = (event) => {
    const box = svg.getBoundingClientRect();
    const scale = total / box.width;
    const key = Math.floor(((event.clientX - box.left) * scale - margin) / size);
    const query = Math.floor(((event.clientY - box.top) * scale - margin) / size);
    return query >= 0 && query < n && key >= 0 && key < n ? [query, key] : null;
  };
  svg.addEventListener('pointermove', (event) => { const cell = at(event); if (cell) onpick?.(...cell); });
  svg.show = show;
  return svg;
}

// The colour scale of a matrix.
export function scale(kind) {
  const stops = kind === 'difference' ? [-1, -0.25, 0, 0.25, 1] : [0, 0.05, 0.25, 0.5, 1];
  return h('div', { class: `scale ${kind}`, 'aria-hidden': true },
    kind === 'difference' ? h('span', null, 'only predicted') : h('span', null, 'attention 0'),
    h('i', { class: 'ramp' }),
    kind === 'difference' ? h('span', null, 'only real') : h('span', null, '1'),
    h('small', null, kind === 'difference' ? '' : `${percent(stops[1])} is already visible: the scale is a square root`));
}

// Token matrices taken together to words: sums over keys, means over queries.
export function byWords(text, values) {
  const groups = wordGroups(text);
  const n = text.labels.length;
  const of = new Int32Array(n);
  groups.forEach((group, g) => group.tokens.forEach((t) => { of[t] = g; }));
  const m = groups.length;
  const sums = new Float32Array(m * m);
  for (let i = 0; i < n; i += 1) {
    for (let j = 0; j < n; j += 1) sums[of[i] * m + of[j]] += values[i * n + j] / groups[of[i]].tokens.length;
  }
  return sums.map((v) => Math.min(v, 1)); // levels add up to a little more than 1
}

// Consecutive tokens of one word; special tokens and what belongs to no word stand alone.
export function wordGroups(text) {
  const groups = [];
  text.labels.forEach((label, i) => {
    const word = text.word_of_token[i];
    const last = groups.at(-1);
    if (last && word >= 0 && last.word === word) { last.tokens.push(i); last.label += label; }
    else groups.push({ word, tokens: [i], label });
  });
  return groups.map((group) => ({ ...group, label: group.word >= 0 && group.tokens.length > 1 ? (text.words.form?.[group.word] ?? group.label) : group.label }));
}

export const value = (v) => (Math.abs(v) < 0.0005 ? '0' : number(v, 2));
