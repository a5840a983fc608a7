// Elements from plain values. Strings only ever become text nodes and attribute values: nothing of
// a run is parsed as markup anywhere in this bundle.

const SVG = 'http://www.w3.org/2000/svg';

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === 'function') node.addEventListener(key.slice(2), value);
    else if (key === 'style') for (const [name, one] of Object.entries(value)) node.style.setProperty(name, one);
    else node.setAttribute(key, value === true ? '' : String(value));
  }
  append(node, children);
  return node;
}

export function append(node, children) {
  for (const child of [children].flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

export const h = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
export const s = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

// Text of a run: kept apart from its surroundings, whichever way it is written.
export const own = (text, attributes) => h('bdi', attributes, text);
export const code = (text, attributes) => h('code', { dir: 'ltr', ...attributes }, text);

export const clear = (node, ...children) => {
  node.replaceChildren();
  return append(node, children);
};

// Width that a drawing may take: the page's, within its margins, and at most so much.
export const room = (most) => Math.min(most, document.documentElement.clientWidth - (window.innerWidth > 640 ? 48 : 32));

// Width of a column of `.figures`, or of the first one of `.uneven` (the style sheet has the same
// numbers): all of the page where it is too narrow for two.
export const column = (uneven = false) => {
  const whole = room(1192);
  return whole < 1118 ? whole : Math.floor((whole - 40) * (uneven ? 5 / 12.6 : 0.5));
};

let last = 0;
export const unique = (prefix) => `${prefix}-${(last += 1)}`;

// A choice of one among a few, as a row of radio buttons.
export function choice(label, options, chosen, onchange) {
  const name = unique('choice');
  return h('fieldset', { class: 'choice' },
    h('legend', null, label),
    options.map(([value, title]) => h('label', null,
      h('input', { type: 'radio', name, value, checked: value === chosen, onchange: () => onchange(value) }),
      h('span', null, title))));
}

export function select(label, options, chosen, onchange, attributes) {
  const box = h('select', { onchange: (event) => onchange(event.target.value), ...attributes },
    options.map(([value, title]) => h('option', { value, selected: value === chosen }, title)));
  return h('label', { class: 'select' }, h('span', null, label), box);
}

// Arrow keys move within a set of elements, of which one is in the tab order.
export function roving(container, selector, columns, key = 0) {
  const items = () => [...container.querySelectorAll(selector)];
  let at = key;
  const move = (to, list) => {
    list[at]?.setAttribute('tabindex', '-1');
    at = Math.max(0, Math.min(list.length - 1, to));
    list[at].setAttribute('tabindex', '0');
    list[at].focus();
  };
  items().forEach((item, i) => item.setAttribute('tabindex', i === at ? '0' : '-1'));
  container.addEventListener('focusin', (event) => {
    const list = items();
    const found = list.indexOf(event.target.closest(selector));
    if (found < 0 || found === at) return;
    list[at]?.setAttribute('tabindex', '-1');
    at = found;
    list[at].setAttribute('tabindex', '0');
  });
  container.addEventListener('keydown', (event) => {
    const list = items();
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
    const to = step !== undefined ? at + step : event.key === 'Home' ? 0 : event.key === 'End' ? list.length - 1 : null;
    if (to === null || to < 0 || to >= list.length) return;
    event.preventDefault();
    move(to, list);
  });
}
