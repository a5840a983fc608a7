// The few charts of a report: estimates with intervals, curves, bars. Drawn as plain SVG.

import { extent, max, min } from 'd3-array';
import { scaleLinear } from 'd3-scale';
import { line as path } from 'd3-shape';

import { s } from './dom.js';
import { cut, interval, known, number } from './format.js';

const MARKS = {
  circle: (x, y) => s('circle', { cx: x, cy: y, r: 4 }),
  square: (x, y) => s('rect', { x: x - 3.6, y: y - 3.6, width: 7.2, height: 7.2 }),
  diamond: (x, y) => s('path', { d: `M${x} ${y - 5}L${x + 5} ${y}L${x} ${y + 5}L${x - 5} ${y}Z` }),
  triangle: (x, y) => s('path', { d: `M${x} ${y - 5}L${x + 5} ${y + 4}L${x - 5} ${y + 4}Z` }),
  cross: (x, y) => s('path', { d: `M${x - 4} ${y - 4}L${x + 4} ${y + 4}M${x - 4} ${y + 4}L${x + 4} ${y - 4}`, 'stroke-width': 2 }),
  plus: (x, y) => s('path', { d: `M${x - 5} ${y}H${x + 5}M${x} ${y - 5}V${y + 5}`, 'stroke-width': 2 }),
  ring: (x, y) => s('circle', { cx: x, cy: y, r: 3.6, fill: 'none', 'stroke-width': 2 }),
};
export const SHAPES = Object.keys(MARKS);

function axes(size, margin, x, y, { xTicks, xTitle, yTitle, yFormat = (v) => number(v, 2), xFormat = String }) {
  const [width, height] = size;
  const bottom = height - margin.bottom;
  return s('g', { class: 'axes' },
    y.ticks(5).map((t) => [
      s('line', { x1: margin.left, x2: width - margin.right, y1: y(t), y2: y(t), class: 'rule' }),
      s('text', { x: margin.left - 7, y: y(t) + 4, 'text-anchor': 'end', class: 'tick' }, yFormat(t))]),
    xTicks.map((t) => s('text', { x: x(t), y: bottom + 17, 'text-anchor': 'middle', class: 'tick' }, xFormat(t))),
    s('text', { x: (margin.left + width - margin.right) / 2, y: height - 4, 'text-anchor': 'middle', class: 'axis' }, xTitle),
    s('text', { transform: `translate(12 ${(margin.top + bottom) / 2}) rotate(-90)`, 'text-anchor': 'middle', class: 'axis' }, yTitle));
}

function legend(series, left, room) {
  let [x, y] = [left, 12];
  const items = series.map(({ name, css, shape }) => {
    const width = 26 + name.length * 6.6;
    if (x + width > left + room) { x = left; y += 18; }
    const item = s('g', { class: css }, MARKS[shape](x + 6, y), s('text', { x: x + 16, y: y + 4, class: 'legend' }, name));
    x += width;
    return item;
  });
  return { node: s('g', null, items), height: y + 12 };
}

const described = (series) => series
  .map(({ name, points }) => `${name}: ${points.map((p) => `${p.label ?? p.x} ${number(p.y)}${known(p.low) ? ` (${interval(p.low, p.high)})` : ''}`).join(', ')}`)
  .join('; ');

// series: {name, css, shape, line, points: [{x, y, low, high, label}]}
export function estimates(series, { width = 620, height = 280, xTitle, yTitle, label, zero = false, xFormat, yFormat, xTicks, bands = false, yMax = null }) {
  const drawn = series.filter((one) => one.points.length);
  const all = drawn.flatMap((one) => one.points);
  const key = legend(drawn, 52, width - 60);
  const ends = all.flatMap((p) => [p.y, p.low, p.high]).filter(known);
  let [low, high] = ends.length ? [min(ends), max(ends)] : [0, 1];
  if (zero) low = Math.min(low, 0);
  if (yMax !== null) high = Math.min(high, yMax);
  if (low === high) { low -= 0.5; high += 0.5; }
  const widest = Math.max(...[low, high].map((v) => (yFormat ?? ((w) => number(w, 2)))(v).length));
  const margin = { left: 34 + 6.6 * widest, right: 14, top: key.height + 8, bottom: 42 };
  const xs = [...new Set(all.map((p) => p.x))].sort((a, b) => a - b);
  const pad = xs.length > 1 ? (bands ? 0.03 : 0.6) * (bands ? xs.at(-1) - xs[0] : 1) : 1;
  const x = scaleLinear([xs[0] - pad, xs.at(-1) + pad], [margin.left, width - margin.right]);
  const y = scaleLinear([low, high], [height - margin.bottom, margin.top]).nice(5);
  if (zero) y.domain([low, y.domain()[1]]); // an interval that ends a little below 0 takes no room of its own
  const shown = xTicks ?? (xs.length > 24 ? xs.filter((_, i) => i % 4 === 0) : xs);
  const clip = (v) => y(Math.max(y.domain()[0], Math.min(y.domain()[1], v)));
  return s('svg', { class: 'chart', width, height, viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': `${label}. ${described(drawn)}` },
    key.node,
    axes([width, height], margin, x, y, { xTicks: shown, xTitle, yTitle, xFormat, yFormat }),
    drawn.map(({ css, shape, points, line, dash }, k) => {
      const shift = bands ? 0 : (k - (drawn.length - 1) / 2) * Math.min(9, (x(1) - x(0)) / (drawn.length + 1));
      return s('g', { class: css },
        line ? s('path', { class: 'curve', d: path((p) => x(p.x), (p) => clip(p.y))(points), 'stroke-dasharray': dash ?? null }) : null,
        points.map((p) => [
          known(p.low) ? s('line', { x1: x(p.x) + shift, x2: x(p.x) + shift, y1: clip(p.low), y2: clip(p.high), class: 'whisker' }) : null,
          s('g', null, s('title', null, `${p.label ?? p.x}: ${(yFormat ?? number)(p.y)} ${known(p.low) ? `(${interval(p.low, p.high, 3, yFormat ?? number)})` : ''}`), MARKS[shape](x(p.x) + shift, clip(p.y)))]));
    }));
}

// One row a thing: a dot with its interval on a common scale. rows: {name, y, low, high, css, mark}
export function dots(rows, { width = 620, label, xTitle, format = number, vertical = null }) {
  const step = 22;
  const most = Math.floor(width * 0.52 / 6.4);
  const names = rows.map((r) => cut(r.name, most));
  const left = 18 + 6.4 * Math.max(8, ...names.map((name) => name.length));
  const height = rows.length * step + 46;
  const values = rows.flatMap((r) => [r.y, r.low, r.high]).filter(known);
  const [low, high] = extent(vertical === null ? values : [...values, vertical]);
  const x = scaleLinear([low, high === low ? low + 1 : high], [left, width - 18]).nice(5);
  const bottom = rows.length * step + 8;
  return s('svg', { class: 'chart', width, height, viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': `${label}. ${rows.map((r) => `${r.name} ${format(r.y)} ${interval(r.low, r.high)}`).join('; ')}` },
    x.ticks(width - left > 280 ? 5 : 3).map((t) => [
      s('line', { x1: x(t), x2: x(t), y1: 2, y2: bottom, class: 'rule' }),
      s('text', { x: x(t), y: bottom + 15, 'text-anchor': 'middle', class: 'tick' }, format(t, 2))]),
    vertical === null ? null : s('line', { x1: x(vertical), x2: x(vertical), y1: 2, y2: bottom, class: 'zero' }),
    rows.map((r, i) => {
      const y = i * step + 14;
      return s('g', { class: r.css },
        s('text', { x: left - 10, y: y + 4, 'text-anchor': 'end', class: 'row-name' }, s('title', null, r.name), names[i]),
        known(r.low) ? s('line', { x1: x(r.low), x2: x(r.high), y1: y, y2: y, class: 'whisker' }) : null,
        MARKS[r.mark ?? 'circle'](x(r.y), y));
    }),
    s('text', { x: (left + width - 18) / 2, y: height - 3, 'text-anchor': 'middle', class: 'axis' }, xTitle));
}

// A bar on a line of its own, for a table cell: from 0 to the value, both directions where needed.
export function bar(value, { low = 0, high, css = 'accent', width = 110, ends = null }) {
  const x = scaleLinear([Math.min(low, 0), Math.max(high, 0) || 1], [2, width - 2]).clamp(true);
  const [from, to] = value < 0 ? [x(value), x(0)] : [x(0), x(value)];
  return s('svg', { class: `bar ${css}`, width, height: 14, viewBox: `0 0 ${width} 14`, 'aria-hidden': true },
    s('rect', { x: from, y: 3, width: Math.max(to - from, 1), height: 8, rx: 1 }),
    s('line', { x1: x(0), x2: x(0), y1: 0, y2: 14, class: 'zero' }),
    ends && known(ends[0]) ? s('line', { x1: x(ends[0]), x2: x(ends[1]), y1: 7, y2: 7, class: 'whisker' }) : null);
}
