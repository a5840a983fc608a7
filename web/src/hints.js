import { h } from './dom.js';

export function hintsView() { return h('h1', null, 'hints'); }
