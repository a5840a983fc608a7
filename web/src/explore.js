// The explorer: a text, and what every head does with it.

import { onSystemTheme, theme } from './colors.js';
import { clear, h, own, select } from './dom.js';
import { address, ask, begin, go, here, recorded, saved, texts, version, whole } from './explore-ask.js';
import { changeView, compareView, fill, headsView, headView, opened, relationView, spoken, subject, withTexts, wordsView } from './explore-views.js';
import { plural } from './format.js';
import { offer } from './save.js';

const VIEWS = {
  heads: ['Heads', headsView], words: ['Words', wordsView], head: ['One head', headView],
  relation: ['Relation', relationView], change: ['Change', changeView], compare: ['Compare', compareView],
};

withTexts(texts);
const body = h('div', { class: 'body' });
const said = h('p', { class: 'small', role: 'status' });
const top = h('header', { class: 'top' });
const box = recorded ? null : h('textarea', { rows: 3, id: 'text', dir: 'auto', readonly: Boolean(saved) });
const main = h('main', { id: 'main', tabindex: -1 },
  h('h1', null, 'What the heads of ', own(subject.name), ' do on your text'),
  recorded
    ? h('div', { class: 'controls' }, select('Recorded text', texts, here().text ?? texts[0][0], (text) => go({ text, at: null, to: null })))
    : h('label', { class: 'field' }, h('span', null, 'A text, up to 512 tokens'), box),
  recorded ? h('p', { class: 'note' }, 'This is recorded attention: only the texts that were recorded can be looked at. With the model itself any text can.') : null,
  said, spoken, body);

function bar() {
  const dark = theme() === 'dark';
  const turn = h('button', { type: 'button', class: 'theme', 'aria-label': dark ? 'Light colours' : 'Dark colours', onclick: () => {
    document.documentElement.dataset.theme = dark ? 'light' : 'dark';
    draw();
  } }, dark ? '☀' : '☾');
  const save = saved ? null : h('button', { type: 'button', class: 'meanings', title: 'One file that opens without a network and holds what you have looked at', onclick: async () => {
    try {
      offer(await whole(), 'headscribe-explore.html');
    } catch (error) { clear(said, own(error.message)); }
  } }, 'Save');
  const view = here().view in VIEWS ? here().view : 'heads';
  clear(top,
    h('a', { class: 'skip', href: '#main', onclick: (event) => { event.preventDefault(); main.focus(); } }, 'Skip to the content'),
    h('div', { class: 'bar' },
      h('a', { href: address({ view: 'heads' }), class: 'brand', onclick: opened({ view: 'heads' }) }, 'Headscribe'),
      h('div', { class: 'tools' }, save, turn),
      h('nav', { 'aria-label': 'Views' }, Object.entries(VIEWS).map(([name, [title]]) => h('a', { href: address({ view: name }), onclick: opened({ view: name }), 'aria-current': name === view ? 'page' : null }, title)))));
}

// What is drawn anew keeps the keyboard where it was: on the control of the same name, else on the
// heading of the view.
function refocus() {
  const name = (node) => node.getAttribute('aria-label') ?? (node.matches('select, input, textarea') ? node.closest('label')?.firstChild : node)?.textContent;
  const was = document.activeElement;
  if (!was || !(body.contains(was) || top.contains(was))) return () => {};
  const [tag, called, within] = [was.tagName, name(was), body.contains(was) ? body : top];
  return () => {
    if (within.contains(document.activeElement)) return;
    const same = [...within.querySelectorAll(tag)].find((node) => name(node) === called);
    const heading = body.querySelector('h2, .headline');
    if (!same) heading?.setAttribute('tabindex', '-1');
    (same ?? heading)?.focus();
  };
}

function draw() {
  const state = here();
  const [title, view] = VIEWS[state.view] ?? VIEWS.heads;
  document.title = `${title} · ${subject.name} · Headscribe`;
  const back = refocus();
  bar();
  back();
  if (box && document.activeElement !== box) box.value = state.text;
  fill(body, async () => {
    const reading = await ask('read', { text: state.text });
    clear(said, reading.cut ? `The text was cut: ${plural(reading.cut, 'token')} behind the first ${reading.labels.length} are not read.` : `${plural(reading.labels.length, 'token')}.`);
    return view(reading);
  }).then(back);
}

let timer = null;
box?.addEventListener('input', () => {
  clearTimeout(timer);
  timer = setTimeout(() => go({ text: box.value, at: null, to: null }, { step: false }), 250);
});

clear(document.getElementById('app'), top, main, h('footer', null, h('p', null, saved
  ? `Saved from headscribe explore ${version}. The page is whole: it needs no network and sends nothing.`
  : `headscribe explore ${version}, on this machine alone: nothing that you type leaves it.`)));
begin(draw);
onSystemTheme(() => { if (!document.documentElement.dataset.theme) draw(); });
