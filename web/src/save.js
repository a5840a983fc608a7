// Figures as SVG and PNG, tables as CSV: files of the reader's own, made in the browser.

import { surface } from './colors.js';
import { h, s } from './dom.js';

const STYLES = ['fill', 'stroke', 'stroke-width', 'stroke-dasharray', 'stroke-opacity', 'fill-opacity', 'opacity', 'font-family',
  'font-size', 'font-weight', 'text-anchor', 'dominant-baseline', 'image-rendering', 'visibility'];

// An SVG that looks the same outside of the page: computed styles written out, its source below.
export function standalone(svg, note) {
  const copy = svg.cloneNode(true);
  const from = [svg, ...svg.querySelectorAll('*')];
  const into = [copy, ...copy.querySelectorAll('*')];
  from.forEach((node, i) => {
    const style = getComputedStyle(node);
    for (const name of STYLES) into[i].setAttribute(name, style.getPropertyValue(name));
    into[i].removeAttribute('class');
    into[i].removeAttribute('tabindex');
    if (style.display === 'none') into[i].setAttribute('display', 'none');
  });
  const box = svg.viewBox.baseVal;
  const [width, height] = [Math.max(box.width, 320), box.height + 22];
  copy.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
  copy.setAttribute('width', width);
  copy.setAttribute('height', height);
  copy.setAttribute('viewBox', `${box.x} ${box.y} ${width} ${height}`);
  copy.prepend(s('rect', { x: box.x, y: box.y, width, height, fill: surface() }));
  const color = getComputedStyle(document.documentElement).getPropertyValue('--muted').trim();
  copy.append(s('text', { x: box.x + 6, y: box.y + height - 7, fill: color, 'font-size': 9, 'font-family': 'sans-serif' }, note));
  return new XMLSerializer().serializeToString(copy);
}

export function offer(blob, name) {
  const address = URL.createObjectURL(blob);
  const link = h('a', { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

const fileName = (name) => name.toLowerCase().replace(/[^a-z0-9.]+/g, '-').replace(/^-|-$/g, '').slice(0, 80) || 'figure';

export const saveSvg = (svg, name, note) =>
  offer(new Blob([standalone(svg, note)], { type: 'image/svg+xml' }), `${fileName(name)}.svg`);

export async function savePng(svg, name, note, scale = 2) {
  const text = standalone(svg, note);
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const canvas = h('canvas', { width: image.width * scale, height: image.height * scale });
  canvas.getContext('2d').drawImage(image, 0, 0, canvas.width, canvas.height);
  canvas.toBlob((blob) => offer(blob, `${fileName(name)}.png`), 'image/png');
}

// A cell that a spreadsheet would take for a formula is marked as text; plain numbers stay numbers.
export function csvCell(value) {
  let text = value === null || value === undefined ? '' : String(value);
  if (/^[=+\-@\t\r]/.test(text) && !/^-?\d+(\.\d+)?(e-?\d+)?$/i.test(text)) text = `'${text}`;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export const csv = (rows) => rows.map((row) => row.map(csvCell).join(',')).join('\r\n') + '\r\n';

export const saveCsv = (rows, name) => offer(new Blob(['\ufeff', csv(rows)], { type: 'text/csv;charset=utf-8' }), `${fileName(name)}.csv`);
