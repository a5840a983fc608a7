// Colours of both themes, which the page brings along; see headscribe.report.theme.

import { data } from './data.js';

const media = matchMedia('(prefers-color-scheme: dark)');

export const theme = () => document.documentElement.dataset.theme ?? (media.matches ? 'dark' : 'light');

export const onSystemTheme = (told) => media.addEventListener('change', told);

const palette = () => data.themes[theme()];

export const rgb = (color) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));

const hex = (channels) => `#${channels.map((c) => Math.round(c).toString(16).padStart(2, '0')).join('')}`;

export function family(name) {
  const { families } = palette();
  return families[name] ?? families.custom;
}

export const surface = () => palette().surface;

// `color` over the surface at a strength of 0 to 1.
export function shade(color, strength) {
  const low = rgb(surface());
  const high = rgb(color);
  const at = Math.max(0, Math.min(1, strength));
  return hex(low.map((c, i) => c + (high[i] - c) * at));
}

const cache = new Map();

// 256 colours from the lowest to the highest value, for a canvas.
export function ramp(kind) {
  const key = `${theme()} ${kind}`;
  if (!cache.has(key)) {
    const stops = palette()[kind].map(rgb);
    const colors = Array.from({ length: 257 }, (_, i) => {
      const at = (i / 256) * (stops.length - 1);
      const low = Math.min(Math.floor(at), stops.length - 2);
      return stops[low].map((c, k) => c + (stops[low + 1][k] - c) * (at - low));
    });
    cache.set(key, colors);
  }
  return cache.get(key);
}

// Where a value of 0..1 (attention) or -1..1 (difference) lies on its ramp: by its square root.
export function onRamp(kind, value) {
  const root = Math.sign(value) * Math.sqrt(Math.min(1, Math.abs(value)));
  return Math.round(256 * (kind === 'difference' ? (root + 1) / 2 : Math.max(0, root)));
}

export const rampColor = (kind, value) => hex(ramp(kind)[onRamp(kind, value)]);

function luminance(color) {
  const [r, g, b] = rgb(color).map((c) => {
    const one = c / 255;
    return one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

export function contrast(one, other) {
  const [high, low] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (high + 0.05) / (low + 0.05);
}

// Ink or surface, whichever stands out more; black or white where that is not enough (WCAG AA).
export function textOn(color) {
  const best = (pair) => pair.reduce((a, b) => (contrast(a, color) >= contrast(b, color) ? a : b));
  const { ink, surface: paper } = palette();
  const found = best([ink, paper]);
  return contrast(found, color) >= 4.5 ? found : best(['#000000', '#ffffff']);
}
