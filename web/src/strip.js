// Attention on the text itself: point at a word (or move to it by arrow keys) and the words that it
// reads are shaded; tags stand under the words.

import { rampColor, textOn } from './colors.js';
import { clear, h, own, roving } from './dom.js';
import { about, token } from './format.js';

// units: {label, tag}; rows: {title, values, uncovered}; levels: how many shades a value had; toward: whether `reads` or `is read by`.
export function strip(units, rows, { levels, onpick }) {
  const n = units.length;
  let toward = 'reads';
  let at = 0;
  const readout = h('p', { class: 'readout', role: 'status' });
  const line = (row, number) => {
    const words = units.map((unit, i) => h(number === 0 ? 'button' : 'span', {
      class: 'unit', type: number === 0 ? 'button' : null, 'data-unit': i, 'aria-pressed': number === 0 ? 'false' : null,
    }, own(token(unit.label), { class: 'word' }), unit.tag ? h('small', { dir: 'ltr' }, unit.tag) : null));
    return { ...row, words, node: h('div', { class: 'strip', role: 'group', 'aria-label': row.title }, h('p', { class: 'strip-title' }, row.title), h('div', number === 0 ? { class: 'units' } : { class: 'units', tabindex: 0, role: 'region', 'aria-label': `${row.title}, on the text` }, words)) };
  };
  const lines = rows.map(line);
  const weight = (row, i) => (toward === 'reads' ? row.values[at * n + i] : row.values[i * n + at]);
  const silent = (row) => toward === 'reads' && row.uncovered?.[at];
  const strongest = (row) => Array.from({ length: n }, (_, i) => i)
    .filter((i) => weight(row, i) >= 0.02)
    .sort((a, b) => weight(row, b) - weight(row, a))
    .slice(0, 4);
  const said = (row) => {
    if (silent(row)) return 'says nothing about it';
    const best = strongest(row);
    if (!best.length) return toward === 'reads' ? 'nothing in particular' : 'hardly read';
    return best.map((i, k) => [k ? ', ' : '', own(token(units[i].label)), ` ${about(weight(row, i), levels)}`]);
  };
  const draw = () => {
    for (const row of lines) {
      row.node.classList.toggle('silent', Boolean(silent(row)));
      row.words.forEach((word, i) => {
        const color = rampColor('attention', Math.min(1, weight(row, i)));
        word.style.setProperty('background-color', color);
        word.style.setProperty('color', textOn(color));
        word.classList.toggle('query', i === at);
        if (word.hasAttribute('aria-pressed')) word.setAttribute('aria-pressed', String(i === at));
      });
    }
    clear(readout, own(token(units[at].label), { class: 'query' }), toward === 'reads' ? ' reads ' : ' is read by ',
      lines.map((row, k) => [k ? h('span', { class: 'second' }, ` · ${row.short}: `) : '', said(row)]));
    onpick?.(at, toward);
  };
  const pick = (i) => { if (i !== at) { at = i; draw(); } };
  const units0 = lines[0].node.querySelector('.units');
  roving(units0, '.unit', 1);
  // Long texts scroll: all lines together.
  units0.addEventListener('scroll', () => lines.slice(1).forEach((row) => { row.node.querySelector('.units').scrollTop = units0.scrollTop; }));
  for (const row of lines) {
    row.node.addEventListener('pointerover', (event) => { const unit = event.target.closest('.unit'); if (unit) pick(Number(unit.dataset.unit)); });
  }
  units0.addEventListener('focusin', (event) => { const unit = event.target.closest('.unit'); if (unit) pick(Number(unit.dataset.unit)); });
  const turn = h('button', { type: 'button', class: 'turn', onclick: () => {
    toward = toward === 'reads' ? 'read' : 'reads';
    turn.textContent = toward === 'reads' ? 'Show who reads it instead' : 'Show what it reads instead';
    draw();
  } }, 'Show who reads it instead');
  at = telling(rows[0].values, n, units);
  draw();
  return { node: h('div', { class: 'strips' }, h('div', { class: 'strip-head' }, readout, turn), lines.map((row) => row.node)), pick };
}

// The word to begin with: the one that reads a single other word with content most.
function telling(values, n, units) {
  let [best, found] = [-1, 0];
  for (let i = 0; i < n; i += 1) {
    if (units[i].special) continue;
    for (let j = 1; j < n; j += 1) {
      if (i !== j && !units[j].special && values[i * n + j] > best) { best = values[i * n + j]; found = i; }
    }
  }
  return found;
}
