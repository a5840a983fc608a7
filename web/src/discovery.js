import { h } from './dom.js';

export function discoveryView() { return h('h1', null, 'discovery'); }
