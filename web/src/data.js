// The document of the page: parsed once, its packed arrays unpacked when a view asks for them.

import { known } from './format.js';

export const data = JSON.parse(document.getElementById('data').textContent);

// Every table of a part, {columns, rows}, as a list of objects: see headscribe.report.schema. Texts and
// scores are packed and have none.
function opened(value, name) {
  if (value === null || typeof value !== 'object' || name === 'examples' || name === 'scores') return value;
  if (Array.isArray(value)) return value.map((one) => opened(one));
  const { columns, rows } = value;
  if (Array.isArray(columns) && Array.isArray(rows)) return rows.map((row) => Object.fromEntries(columns.map((column, i) => [column, row[i]])));
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, opened(one, key)]));
}

const GRID = 8192;
const MISSING = -32768;
const MIN_COVERAGE = 0.05;

async function inflate(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i += 1) bytes[i] = binary.charCodeAt(i);
  const stream = new ReadableStream({ start(source) { source.enqueue(bytes); source.close(); } });
  const reader = stream.pipeThrough(new DecompressionStream('deflate')).getReader();
  const parts = [];
  for (let part = await reader.read(); !part.done; part = await reader.read()) parts.push(part.value);
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) { whole.set(part, at); at += part.length; }
  return whole;
}

async function numbers(text) {
  const bytes = await inflate(text);
  const values = new Int16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 1);
  return Float32Array.from(values, (v) => (v === MISSING ? NaN : v / GRID));
}

const memo = (make) => {
  const made = new Map();
  return (...key) => {
    const name = key.join('|');
    if (!made.has(name)) made.set(name, make(...key));
    return made.get(name);
  };
};

function grouped(rows) {
  const found = new Map();
  for (const row of rows) { if (!found.has(row.head)) found.set(row.head, []); found.get(row.head).push(row); }
  return found;
}

class Subject {
  constructor(content, index) {
    Object.assign(this, opened(content));
    this.index = index;
    this.patterns = this.survey?.about?.patterns ?? [];
    this.patternNamed = new Map(this.patterns.map((p, i) => [p.name, { ...p, index: i }]));
    this.metrics = this.survey?.about?.metrics ?? [];
    this.count = this.layers * this.heads;
    this.names = Array.from({ length: this.count }, (_, i) => `${Math.floor(i / this.heads)}.${i % this.heads}`);
    this.byHead = memo((part, kind) => grouped(this.get(part, kind) ?? []));
    this.block = memo((metric, view, split) => this.#block(metric, view, split));
    this.matrices = memo((source, id) => this.#matrices(source, id));
  }

  get blocks() { return this.survey?.scores?.blocks ?? {}; }

  get formulas() { return this.fit?.formulas ?? null; }

  has(metric, view, split) { return `${metric}|${view}|${split}` in this.blocks; }

  get(part, kind = 'survey') { return this[kind]?.[part] ?? null; }

  // The rows of a part that speak of a head.
  ofHead(part, kind, head) { return this.byHead(part, kind).get(head) ?? []; }

  headNames() { return this.names; }

  headIndex(name) {
    const [layer, head] = name.split('.').map(Number);
    return layer < this.layers && head < this.heads ? layer * this.heads + head : -1;
  }

  family(pattern) { return this.patternNamed.get(pattern)?.family ?? 'custom'; }

  async #block(metric, view, split) {
    const raw = this.blocks[`${metric}|${view}|${split}`];
    if (!raw) return null;
    const names = ['score', 'low', 'high', 'gain', 'gain_low', 'gain_high', 'coverage'];
    const arrays = await Promise.all(names.map((name) => (raw[name] ? numbers(raw[name]) : null)));
    const block = Object.fromEntries(names.map((name, i) => [name, arrays[i]]));
    return { ...block, baseline: await inflate(raw.baseline), texts: raw.texts };
  }

  // One pattern on one head, as `headscribe show` has it.
  line(block, pattern, head) {
    const at = pattern * this.count + head;
    const value = (name) => (block[name] && known(block[name][at]) ? block[name][at] : null);
    const score = value('score');
    if (score === null) return null;
    const found = {
      pattern: this.patterns[pattern].name, head: this.names[head], score, low: value('low'), high: value('high'),
      gain: value('gain'), gain_low: value('gain_low'), gain_high: value('gain_high'), coverage: value('coverage'),
      baseline: block.baseline[at] ? this.survey.scores.baselines[block.baseline[at] - 1] : null, texts: block.texts,
    };
    // Gain spread over all rows; none where its interval reaches 0, or is not known.
    const sure = found.gain !== null && found.gain_low !== null && found.gain_low > 0;
    found.worth = sure ? Math.max(found.gain * found.coverage, 0) : 0;
    return found;
  }

  // By head the pattern that is worth most on it; null where none is better than the baselines.
  findings(block) {
    return this.headNames().map((_, head) => {
      let best = null;
      this.patterns.forEach((pattern, index) => {
        if (pattern.baseline) return;
        const line = this.line(block, index, head);
        if (!line || line.coverage < MIN_COVERAGE || line.worth <= 0) return;
        if (!best || line.worth > best.worth) best = line;
      });
      return best;
    });
  }

  // All patterns on one head, best first; those of which the same is said (as of most baselines under
  // a causal mask) are one line with several `names`.
  linesOfHead(block, head, metric) {
    const higher = this.metrics.find((m) => m.name === metric)?.higher;
    const groups = new Map();
    this.patterns.forEach((_, index) => {
      const line = this.line(block, index, head);
      if (!line || line.coverage < MIN_COVERAGE) return;
      const said = [line.score, line.low, line.high, line.coverage].join(' ');
      const same = groups.get(said);
      if (same) same.names.push(line.pattern); else groups.set(said, { ...line, names: [line.pattern] });
    });
    return [...groups.values()].sort((a, b) => (higher ? b.score - a.score : a.score - b.score));
  }

  // All heads under one pattern, best first.
  linesOfPattern(block, pattern, metric) {
    const higher = this.metrics.find((m) => m.name === metric)?.higher;
    return this.headNames()
      .map((_, head) => this.line(block, pattern, head))
      .filter((line) => line && line.coverage >= MIN_COVERAGE)
      .sort((a, b) => (higher ? b.score - a.score : a.score - b.score));
  }

  // How many patterns had the chance to explain a head.
  get scored() { return this.patterns.filter((pattern) => !pattern.baseline).length; }

  // What the formula of a head gains over its profile: mean, low, high; null for none.
  formulaGain(head, view = 'raw', metric = 'iou') {
    const gain = this.formulas?.[head]?.scores?.[`gain_${view}_${metric}`];
    return known(gain?.[0]) ? gain : null;
  }

  formulaBetter(head, view, metric) { return (this.formulaGain(head, view, metric)?.[1] ?? 0) > 0; }

  labels(head) { return [...new Set(this.formulas?.[head]?.labels ?? [])]; }

  // The runs that keep example texts: the fit, the survey, and every discovery by its number.
  get sources() {
    return ['fit', 'survey', ...(this.discovery ?? []).map((_, i) => `discovery/${i}`)].filter((name) => this.texts(name).length);
  }

  texts(source) {
    const [kind, index] = source.split('/');
    return (index === undefined ? this[kind] : this[kind]?.[Number(index)])?.examples?.texts ?? [];
  }

  // The matrices of one example text by `kind:name`, as attention of 0..1.
  async #matrices(source, id) {
    const text = this.texts(source).find((one) => one.id === id);
    const size = text.labels.length ** 2;
    const table = Float32Array.from({ length: text.levels + 1 }, (_, level) => (level / text.levels) ** 2);
    const found = new Map();
    for (const pack of text.packs) {
      const bytes = await inflate(pack.data);
      pack.matrices.forEach((name, i) => {
        found.set(name, () => Float32Array.from(bytes.subarray(i * size, (i + 1) * size), (v) => table[v]));
      });
    }
    return found;
  }
}

export const subjects = data.subjects.map((content, index) => new Subject(content, index));
