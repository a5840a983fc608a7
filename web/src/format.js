// Numbers and names as a reader sees them.

export const number = (value, digits = 3) =>
  typeof value !== 'number' || !known(value) ? '–' : value.toFixed(digits).replace(/^-(?=0(\.0*)?$)/, '').replace('-', '−');

export const signed = (value, digits = 3) => (value > 0 ? '+' : '') + number(value, digits);

export const percent = (share, digits = 0) => (known(share) ? `${number(100 * share, digits)}\u00a0%` : '–');

export const change = (share) => (share > 0 ? '+' : '') + percent(share, Math.abs(share) < 0.1 ? 1 : 0);

export function interval(low, high, digits = 3, shown = number) {
  if (!known(low) || !known(high)) return '';
  const [from, to] = [shown(low, digits), shown(high, digits)];
  return `${from}${/[−+]/.test(from + to) ? ' to ' : '–'}${to}`;
}

export const known = (value) => value !== null && value !== undefined && !Number.isNaN(value);

export const count = (value) => (known(value) ? value.toLocaleString('en-US') : '–');

export const plural = (n, word, many = `${word}s`) => `${count(n)} ${n === 1 ? word : many}`;

export const prose = (head) => `L${head.replace('.', 'H')}`;

export const short = (pattern) => pattern.replaceAll('_token', '').replaceAll('_', ' ');

export const cut = (text, width) => (text.length <= width ? text : `${text.slice(0, width - 1)}…`);

export const title = (pattern) => pattern.replaceAll('_', ' ');

// A token that is only blanks is shown as such.
export const token = (label) => (/^[\sĠ▁Ċ]*$/u.test(label) ? '␣' : label);

export const listed = (items) => items.join(', ').replace(/, ([^,]*)$/, ' and $1');

// A name in two lines, parted near its middle at a blank or behind a colon.
export function inTwo(text) {
  const parts = [...text.matchAll(/ |:(?=.)/g)].map((m) => m.index + (m[0] === ':' ? 1 : 0));
  if (!parts.length) return [text];
  const at = parts.reduce((a, b) => (Math.abs(b - text.length / 2) < Math.abs(a - text.length / 2) ? b : a));
  return [text.slice(0, at), text.slice(at).trimStart()];
}

// A share that was read off shades, rounded to what those can tell: 1 % of 63, 5 % of 15, 10 % of 5.
// With no end of shades it is the share itself.
export function about(share, levels) {
  if (levels === Infinity) return percent(share);
  const step = levels >= 50 ? 0.01 : levels >= 12 ? 0.05 : 0.1;
  return `≈ ${percent(Math.round(share / step) * step)}`;
}

// How far a share may be from what its shade says, at most: half a step below 1.
export const slack = (levels) => (1 - ((levels - 1) / levels) ** 2) / 2;

// A metric as it is written: JSD, IoU, overlap.
export const metricName = (name) => ({ jsd: 'JSD', iou: 'IoU', sae: 'SAE' }[name] ?? name);
