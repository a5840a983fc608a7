// Numbers and names as a reader sees them.

export const number = (value, digits = 3) =>
  typeof value !== 'number' || !known(value) ? '–' : value.toFixed(digits).replace(/^-(?=0(\.0*)?$)/, '').replace('-', '−');

export const signed = (value, digits = 3) => (value > 0 ? '+' : '') + number(value, digits);

export const percent = (share, digits = 0) => (known(share) ? `${number(100 * share, digits)} %` : '–');

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
