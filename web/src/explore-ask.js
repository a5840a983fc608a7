// Questions to the server of the page, and where the reader is: the state lives in the address.

import { data } from './data.js';

export const { kind, saved, texts, mask, formulas, examples, version, at: opening } = data.explorer;
export const recorded = kind === 'recording';

const FIELDS = ['view', 'text', 'at', 'to', 'toward', 'head', 'formula', 'relation', 'off', 'put', 'other'];
const FIRST = 'The cat sat on the mat because it was tired.';

let drawn = () => {};
let state = {};

function read() {
  const given = new URLSearchParams(window.location.hash.slice(1) || (opening ?? '').slice(1));
  state = Object.fromEntries(FIELDS.map((name) => [name, given.get(name)]));
  state.text ??= recorded ? texts[0][0] : FIRST;
}

export const here = () => state;

export function address(changes = {}) {
  const known = Object.entries({ ...state, ...changes }).filter(([, value]) => value !== null && value !== undefined && value !== '');
  return `#${new URLSearchParams(known.map(([name, value]) => [name, String(value)]))}`;
}

// Move to another state. A step is a new entry of the history; `quiet`: the view shows it already.
export function go(changes, { step = true, quiet = false } = {}) {
  const to = address(changes);
  try {
    window.history[step ? 'pushState' : 'replaceState'](null, '', to);
    read();
  } catch { // an address too long for the browser: the page goes on without
    state = { ...state, ...changes };
  }
  if (!quiet) drawn();
}

export function begin(draw) {
  drawn = draw;
  read();
  window.addEventListener('popstate', () => { read(); drawn(); });
  drawn();
}

export const heads = (name) => (state[name] ? state[name].split(' ') : []);

// Nobody waits for this answer any more.
export class Stale extends Error {}

const page = Array.from(crypto.getRandomValues(new Uint32Array(2)), (n) => n.toString(36)).join('');
const KEPT = 64;
const known = new Map(Object.entries(saved ?? {}));
const waiting = new Map();
let number = 0;

const post = (path, body, signal) => fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body), signal });

async function sent(path, body, signal) {
  let response;
  try {
    response = await post(path, body, signal);
  } catch (error) {
    if (error.name === 'AbortError') throw new Stale();
    throw new Error('The server of this page has ended: start headscribe explore again.');
  }
  if (!response.ok) throw new Error(await response.text());
  return response;
}

// The answer to a question; a later one of its kind takes its place.
export async function ask(name, body, lane = name) {
  const key = `${name} ${JSON.stringify(body)}`;
  if (known.has(key)) {
    const found = known.get(key);
    known.delete(key);
    known.set(key, found);
    return found;
  }
  if (saved) throw new Error('This saved page holds what was looked at before it was saved. headscribe explore answers anything else.');
  waiting.get(lane)?.abort();
  const control = new AbortController();
  waiting.set(lane, control);
  const answer = await (await sent(`ask/${name}`, { ...body, page, number: (number += 1) }, control.signal)).json();
  if (answer.stale && waiting.get(lane) !== control) throw new Stale();
  if (answer.stale) throw new Error('The server has too much to do: ask again in a moment.');
  if (answer.error) throw new Error(answer.error);
  known.set(key, answer);
  if (known.size > KEPT) known.delete(known.keys().next().value);
  return answer;
}

// This page as a file that asks nothing: the answers that it has had of this text.
export async function whole() {
  if (saved) throw new Error('This page is saved already.');
  const asked = [...known.keys()].filter((key) => JSON.parse(key.slice(key.indexOf(' '))).text === state.text);
  return (await sent('save', { asked, at: address() })).blob();
}

if (!saved) {
  const tell = (here) => navigator.sendBeacon('pages', new Blob([JSON.stringify({ page, here })], { type: 'application/json' }));
  tell(true);
  window.addEventListener('pagehide', () => tell(false));
  window.addEventListener('pageshow', (event) => { if (event.persisted) tell(true); });
}

export function matrixOf(text) {
  const binary = atob(text);
  const bytes = Uint8Array.from(binary, (c) => c.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}
