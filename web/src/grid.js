// Layers x heads, one cell a head. Arrow keys move, Enter opens; a reader hears each cell's sentence.

import { roving, s, unique } from './dom.js';
import { textOn } from './colors.js';
import { cut, inTwo, prose } from './format.js';

// cells: by head {fill, text, sentence}; without `fill` where nothing explains the head, or, `partly`,
// something of another kind.
export function headGrid(subject, cells, { label, room = 900, least = 15, onfocus, onopen, chosen = null }) {
  const { layers, heads } = subject;
  const width = Math.max(least, Math.min(128, Math.floor((room - 36) / heads)));
  const height = Math.max(15, Math.min(36, width));
  const named = width >= 58;
  const [left, top] = [34, 30];
  const hatch = unique('hatch');
  const size = [left + heads * width + 2, top + layers * height + 2];
  const axis = (text, x, y, anchor) => s('text', { x, y, 'text-anchor': anchor, class: 'tick' }, text);
  const step = width >= 20 ? 1 : 4;
  const svg = s('svg', {
    class: 'grid', width: size[0], height: size[1], viewBox: `0 0 ${size[0]} ${size[1]}`,
  },
  s('defs', null, s('pattern', { id: hatch, width: 6, height: 6, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' },
    s('rect', { width: 6, height: 6, class: 'empty' }), s('line', { x1: 0, y1: 0, x2: 0, y2: 6, class: 'hatching' }))),
  s('g', { 'aria-hidden': true },
    axis('head', left + (heads * width) / 2, 10, 'middle'),
    Array.from({ length: heads }, (_, i) => (i % step ? null : axis(i, left + (i + 0.5) * width, 24, 'middle'))),
    Array.from({ length: layers }, (_, i) => axis(i, left - 7, top + (i + 0.5) * height + 4, 'end')),
    s('text', { transform: `translate(9 ${top + (layers * height) / 2}) rotate(-90)`, 'text-anchor': 'middle', class: 'tick' }, 'layer')));
  const rows = s('g', { role: 'grid', 'aria-label': label, 'aria-rowcount': layers, 'aria-colcount': heads });
  svg.append(rows);
  for (let layer = 0; layer < layers; layer += 1) {
    const row = s('g', { role: 'row' });
    for (let head = 0; head < heads; head += 1) {
      const name = `${layer}.${head}`;
      const cell = cells[layer * heads + head];
      const [x, y] = [left + head * width, top + layer * height];
      row.append(s('g', { role: 'gridcell', class: name === chosen ? 'cell chosen' : 'cell', 'data-head': name, 'aria-label': `${prose(name)}: ${cell.sentence}` },
        s('rect', { x: x + 1, y: y + 1, width: width - 2, height: height - 2, rx: 2, fill: cell.fill ?? (cell.partly ? null : `url(#${hatch})`), class: cell.fill ? 'filled' : cell.partly ? 'empty' : 'unexplained' }),
        s('title', null, `${prose(name)}: ${cell.sentence}`),
        named && cell.text ? words(cell, x + width / 2, y + height / 2, width - 4) : null));
    }
    rows.append(row);
  }
  roving(svg, '.cell', heads, Math.max(0, chosen ? subject.headIndex(chosen) : 0));
  const headOf = (event) => event.target.closest?.('.cell')?.dataset.head;
  for (const kind of ['pointerover', 'focusin']) {
    svg.addEventListener(kind, (event) => { const head = headOf(event); if (head) onfocus?.(head); });
  }
  svg.addEventListener('click', (event) => { const head = headOf(event); if (head) onopen?.(head); });
  svg.addEventListener('keydown', (event) => {
    const head = headOf(event);
    if (head && (event.key === 'Enter' || event.key === ' ')) { event.preventDefault(); onopen?.(head); }
  });
  return svg;
}

const [FONT, SMALLEST, LETTER] = [10.5, 8.5, 0.6];

// The name in a cell, on two lines and in smaller letters where it is too long for one.
function words(cell, x, y, room) {
  const letters = (font) => Math.floor(room / (LETTER * font));
  const lines = cell.text.length <= letters(FONT) ? [cell.text] : inTwo(cell.text).map((line) => cut(line, letters(SMALLEST)));
  const font = Math.min(FONT, room / (LETTER * Math.max(...lines.map((line) => line.length))));
  return s('text', { style: { 'font-size': `${font}px` }, 'text-anchor': 'middle', class: cell.fill ? 'cell-name' : 'cell-name faint', fill: cell.fill ? textOn(cell.fill) : null, 'aria-hidden': true },
    lines.map((line, i) => s('tspan', { x, y: y + 3.5 + (i - (lines.length - 1) / 2) * 12 }, line)));
}
