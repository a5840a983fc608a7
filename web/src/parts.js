// What every view is built of: sections, figures with their buttons, tables.

import { h, own, unique } from './dom.js';
import { listed } from './format.js';
import { link } from './router.js';
import { saveCsv, savePng, saveSvg } from './save.js';

// One line that says what a figure or table shows: model, texts, scope, version, seed.
export function provenance(subject, kind, ...scope) {
  const run = subject.runs.find((one) => one.kind === kind) ?? subject.runs[0];
  const { Version, Seed, Texts } = run.facts;
  const said = [subject.name, Texts, ...scope, Version, Seed === 'not recorded' ? '' : `seed ${Seed}`];
  return said.filter((one) => one && one !== 'not recorded').join(' · ');
}

export function section(heading, ...content) {
  const id = unique('section');
  return h('section', { 'aria-labelledby': id }, h('h2', { id }, heading), content);
}

export const read = (...sentence) => h('p', { class: 'read' }, sentence);

export const note = (...sentence) => h('p', { class: 'note' }, sentence);

const button = (title, label, onclick) => h('button', { type: 'button', class: 'save', 'aria-label': label, onclick }, title);

// A drawing with its caption, provenance (which a saved one carries in any case) and the ways to save it.
export function figure(caption, svg, source, { said = true } = {}) {
  return h('figure', null,
    h('figcaption', null, caption),
    h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption }, svg),
    h('div', { class: 'source' }, h('span', null, said ? source : null),
      h('span', { class: 'saves' },
        button('SVG', `Save “${caption}” as SVG`, () => saveSvg(svg, caption, source)),
        button('PNG', `Save “${caption}” as PNG`, () => savePng(svg, caption, source)))));
}

// columns: {title, cell(row), value(row) for sorting and CSV, number}
export function table(caption, columns, rows, source, { limit = 0, starred = false } = {}) {
  let order = rows;
  let all = limit === 0 || rows.length <= limit;
  const body = h('tbody');
  const value = (column, row) => (column.value ? column.value(row) : null);
  const draw = () => {
    body.replaceChildren(...(all ? order : order.slice(0, limit)).map((row, i) => h('tr', { class: starred && i === 0 && order === rows ? 'best' : null },
      columns.map((column, k) => h(k === 0 ? 'th' : 'td', { scope: k === 0 ? 'row' : null, class: column.number ? 'number' : column.words ? 'words' : null },
        column.cell(row, i))))));
    more.hidden = all;
  };
  const sort = (column, th) => {
    const falling = th.getAttribute('aria-sort') === 'ascending';
    for (const other of th.parentNode.children) other.removeAttribute('aria-sort');
    th.setAttribute('aria-sort', falling ? 'descending' : 'ascending');
    const key = (row) => { const v = value(column, row); return v === null || v === undefined ? (falling ? -Infinity : Infinity) : v; };
    order = [...rows].sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      const c = typeof x === 'string' && typeof y === 'string' ? x.localeCompare(y, 'en', { numeric: true }) : x < y ? -1 : x > y ? 1 : 0;
      return falling ? -c : c;
    });
    draw();
  };
  const head = columns.map((column) => {
    const th = h('th', { scope: 'col', class: column.number ? 'number' : null });
    th.append(column.value ? h('button', { type: 'button', class: 'sort', onclick: () => sort(column, th) }, column.title) : column.title);
    return th;
  });
  const more = h('button', { type: 'button', class: 'more', onclick: () => { all = true; draw(); } }, `Show all ${rows.length} rows`);
  const save = () => saveCsv(
    [columns.map((c) => c.title), ...order.map((row) => columns.map((c) => value(c, row))), [], [source]], caption);
  draw();
  return h('div', { class: columns.length > 4 ? 'table full' : 'table' },
    h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption },
      h('table', null, h('caption', null, caption), h('thead', null, h('tr', null, head)), body)),
    more,
    h('div', { class: 'source' }, h('span', null, source), h('span', { class: 'saves' }, button('CSV', `Save “${caption}” as CSV`, save))));
}

export const headLink = (subject, head) => h('a', { ...link(`${subject.index}/head/${head}`), class: 'head' }, head);

export const patternLink = (subject, name) =>
  subject.patternNamed.has(name)
    ? h('a', { ...link(`${subject.index}/pattern/${encodeURIComponent(name)}`), class: 'name', dir: 'ltr' }, name)
    : own(name, { class: 'name' });

export const withRange = (value, range) => [value, range ? [' ', h('span', { class: 'range' }, range)] : null];

// What a view would need and the runs do not hold.
export function lacking(subject, what, how) {
  const reasons = subject.missing.filter((one) => what.includes(one.part));
  return h('div', { class: 'lacking' }, h('p', null, how),
    reasons.length ? h('ul', null, reasons.map((one) => h('li', null, own(one.run), ': ', own(one.why)))) : null);
}

// What the colours of a grid mean, for the families that it shows.
export const familyLegend = (names) => [...new Set(names.filter(Boolean))].sort()
  .map((name) => h('span', null, h('i', { class: `swatch f-${name}` }), ` ${name}: ${FAMILIES[name] ?? ''}`));

const FAMILIES = {
  positional: 'offsets only', lexical: 'the tokens themselves', syntactic: 'word classes or the parse',
  sink: 'sinks: opening and special tokens', custom: 'a pattern of your own',
};

export const families = (counts) => listed(Object.entries(counts).map(([name, n]) => `${n} ${name}`));
