import { h } from './dom.js';

export function compareView() { return h('h1', null, 'compare'); }
