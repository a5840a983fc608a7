// Numbers and names as a reader sees them.

export const number = (value, digits = 3) =>
  value === null || value === undefined || Number.isNaN(value) ? '–' : value.toFixed(digits).replace('-', '−');

export const signed = (value, digits = 3) => (value > 0 ? '+' : '') + number(value, digits);

export const percent = (share, digits = 0) =>
  share === null || share === undefined || Number.isNaN(share) ? '–' : `${(100 * share).toFixed(digits).replace('-', '−')} %`;

export const change = (share) => (share > 0 ? '+' : '') + percent(share, Math.abs(share) < 0.1 ? 1 : 0);

export function interval(low, high, digits = 3, shown = number) {
  if (!known(low) || !known(high)) return '';
  const between = low < 0 ? ' to ' : '–';
  return `${shown(low, digits)}${between}${shown(high, digits)}`;
}

export const known = (value) => value !== null && value !== undefined && !Number.isNaN(value);

export const count = (value) => (known(value) ? value.toLocaleString('en-US') : '–');

export const plural = (n, word, many = `${word}s`) => `${count(n)} ${n === 1 ? word : many}`;

export const prose = (head) => `L${head.replace('.', 'H')}`;

export const short = (pattern) => pattern.replaceAll('_token', '').replaceAll('_', ' ');

export const cut = (text, width) => (text.length <= width ? text : `${text.slice(0, width - 1)}…`);

export const title = (pattern) => pattern.replaceAll('_', ' ');

// A token that is only blanks is shown as such.
export const token = (label) => (label.trim() ? label : '␣');

export const listed = (items) => items.join(', ').replace(/, ([^,]*)$/, ' and $1');
