import { h } from './dom.js';

export function replacementView() { return h('h1', null, 'replacement'); }
