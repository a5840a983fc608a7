// One box that takes a head (7.10, L7H10) or a pattern's name and goes there.

import { subjects } from './data.js';
import { h, unique } from './dom.js';
import { prose } from './format.js';
import { go, route } from './router.js';

const HEAD = /^\s*L?(\d{1,4})\s*[.H]\s*(\d{1,4})\s*$/i;

// Where a query leads, best first: [{text, note, to}].
export function find(query, index) {
  const subject = subjects[index] ?? subjects[0];
  const wanted = query.trim().toLowerCase();
  if (!wanted) return [];
  const head = query.match(HEAD);
  const found = [];
  if (head) {
    const name = `${Number(head[1])}.${Number(head[2])}`;
    if (subject.headIndex(name) >= 0) found.push({ text: prose(name), note: `layer ${head[1]}, head ${head[2]}`, to: route(subject.index, 'head', name) });
  } else if (/^l?\d+\.?$/i.test(wanted)) {
    const layer = wanted.match(/\d+/)[0];
    subject.headNames().filter((name) => name.startsWith(`${layer}.`)).slice(0, 12)
      .forEach((name) => found.push({ text: prose(name), note: 'head', to: route(subject.index, 'head', name) }));
  }
  const words = wanted.split(/[\s_]+/).filter(Boolean);
  const rank = (pattern) => {
    const name = pattern.name.toLowerCase();
    return name === wanted ? 0 : name.startsWith(wanted.replaceAll(' ', '_')) ? 1 : words.every((w) => name.includes(w)) ? 2
      : words.every((w) => `${name} ${pattern.sentence ?? ''}`.toLowerCase().includes(w)) ? 3 : 9;
  };
  return found.concat(subject.patterns.map((p) => [rank(p), p]).filter(([r]) => r < 9).sort((a, b) => a[0] - b[0])
    .map(([, p]) => ({ text: p.name, note: p.baseline ? 'baseline' : p.family, to: route(subject.index, 'pattern', p.name) }))).slice(0, 12);
}

export function searchBox(current) {
  const id = unique('found');
  let [found, at] = [[], 0];
  const list = h('ul', { id, role: 'listbox', 'aria-label': 'Results', hidden: true });
  const input = h('input', {
    type: 'search', placeholder: '7.10 or a pattern', 'aria-label': 'Go to a head, such as 7.10, or a pattern',
    role: 'combobox', 'aria-expanded': 'false', 'aria-controls': id, 'aria-autocomplete': 'list', autocomplete: 'off', spellcheck: 'false',
  });
  const show = () => {
    list.replaceChildren(...found.map((one, i) => h('li', { id: `${id}-${i}`, role: 'option', 'aria-selected': String(i === at), 'data-at': i },
      h('bdi', null, one.text), h('small', null, ` ${one.note}`))));
    if (input.value.trim() && !found.length) list.replaceChildren(h('li', { class: 'none', role: 'option', 'aria-selected': 'false', 'aria-disabled': 'true' }, 'No head or pattern of this name'));
    list.hidden = !input.value.trim();
    input.setAttribute('aria-expanded', String(!list.hidden));
    if (found.length) input.setAttribute('aria-activedescendant', `${id}-${at}`); else input.removeAttribute('aria-activedescendant');
  };
  const close = () => { list.hidden = true; input.setAttribute('aria-expanded', 'false'); };
  const open = (one) => { if (!one) return; input.value = ''; found = []; close(); go(one.to); };
  input.addEventListener('input', () => { found = find(input.value, current()); at = 0; show(); });
  input.addEventListener('keydown', (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && found.length) { event.preventDefault(); at = (at + step + found.length) % found.length; show(); }
    else if (event.key === 'Enter') { event.preventDefault(); open(found[at]); }
    else if (event.key === 'Escape') { input.value = ''; found = []; close(); }
  });
  list.addEventListener('pointerdown', (event) => {
    const item = event.target.closest('[data-at]');
    if (item) { event.preventDefault(); open(found[Number(item.dataset.at)]); }
  });
  input.addEventListener('blur', close);
  return h('div', { class: 'search', role: 'search' }, input, list);
}
