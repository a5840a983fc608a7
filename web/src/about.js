// What the report was made of: models, texts, versions, settings; what was left out or is missing.

import { h, own } from './dom.js';
import { count, known } from './format.js';
import { section, note } from './parts.js';

const reasons = (entries) => Object.entries(entries ?? {}).map(([name, why]) => h('li', null, own(name, { class: 'name' }), ': ', own(String(why))));

const block = (title, items) => (items.length ? [h('h3', null, title), h('ul', null, items)] : null);

export function aboutView(subject) {
  return [
    h('h1', null, 'What this report shows'),
    h('p', { class: 'lede' }, 'Every number of these pages comes from the runs below.'),
    subject.missing.length ? section('What is missing', h('ul', { class: 'missing' }, subject.missing.map((one) => h('li', null, own(one.run, { class: 'name' }), ': ', own(one.why))))) : null,
    subject.runs.map((run) => section(`${run.kind ?? 'Run'}: ${run.folder}`,
      run.complete ? null : note('This run is unfinished: parts are missing.'),
      run.damaged ? note(own(run.damaged)) : null,
      h('dl', { class: 'facts' },
        Object.entries(run.facts).map(([name, value]) => h('div', null, h('dt', null, name), h('dd', null, own(value)))),
        run.started ? h('div', null, h('dt', null, 'Made'), h('dd', null, own(String(run.started)), known(run.seconds) ? ` in ${count(Math.round(run.seconds))} s` : '')) : null,
        Object.entries(run.settings).filter(([name]) => !['seed', 'texts', 'tokens', 'fingerprint'].includes(name)).map(([name, value]) => h('div', null, h('dt', null, name.replaceAll('_', ' ')), h('dd', null, own(String(value)))))),
      block('Patterns that were not scored', reasons(run.skipped)),
      block('Patterns that failed on some texts', reasons(run.failures)),
      block('Texts that were left out', reasons(run.skippedTexts)),
      block('Notes', (run.notes ?? []).map((one) => h('li', null, own(String(one))))),
      block('Versions', Object.entries(run.versions ?? {}).map(([name, value]) => h('li', null, own(name), ' ', own(String(value))))))),
  ];
}
