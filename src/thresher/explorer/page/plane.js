// All images as dots on a canvas: where they lie, which are chosen, what the pointer is over, and a rectangle.
import { make, points } from './ask.js';

const at = (id) => document.getElementById(id);
const MARGIN = 12;
const CATEGORIES = ['#4e79a7', '#f28e2b', '#59a14f', '#b07aa1', '#edc948', '#76b7b2', '#ff9da7', '#9c755f', '#bab0ac', '#e15759'];
const RAMP = ['#440154', '#414487', '#2a788e', '#22a884', '#7ad151', '#fde725'];
const dark = window.matchMedia('(prefers-color-scheme: dark)');
const inks = () => (dark.matches
  ? { target: '#5db4e6', pool: '#8a7650', chosen: '#f07ab8', other: '#8fd18f', both: '#ffffff', paper: '#1c1c20', ink: '#f4f4f5' }
  : { target: '#0072b2', pool: '#d9b98a', chosen: '#a6326f', other: '#2f7d32', both: '#18181b', paper: '#ffffff', ink: '#18181b' });

export const unpacked = (text, count) => {
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const found = new Uint8Array(count);
  for (let row = 0; row < count; row += 1) found[row] = (bytes[row >> 3] >> (row & 7)) & 1;
  return found;
};

export class Plane {
  constructor(summary, brushed) {
    this.summary = summary;
    this.brushed = brushed;
    this.canvas = at('canvas');
    this.bounds = null;
    at('colour').replaceChildren(...[['set', 'choice'], ['layout', 'layout'], ['similarity', 'similarity'], ['diversity', 'diversity'], ['dataset', 'data set']]
      .map(([value, words]) => make('option', { value, textContent: words })));
    at('plane').addEventListener('change', () => { this.clear(); this.draw(); });
    at('colour').addEventListener('change', () => this.draw());
    dark.addEventListener('change', () => this.draw());
    new ResizeObserver(() => this.draw()).observe(this.canvas.parentElement);
    this.canvas.addEventListener('pointerdown', (event) => this.press(event));
    this.canvas.addEventListener('pointermove', (event) => this.move(event));
    this.canvas.addEventListener('pointerup', (event) => this.release(event));
    this.canvas.addEventListener('pointerleave', () => { at('hover').hidden = true; });
    at('bounds').addEventListener('submit', (event) => event.preventDefault());
    at('bounds').addEventListener('reset', () => setTimeout(() => this.typed()));
    at('bounds').addEventListener('input', () => this.typed());
  }

  async load() {
    try {
      const buffer = await points();
      const { rows, pool } = this.summary;
      const floats = (start, count) => new Float32Array(buffer, start * 4, count);
      this.x = floats(0, rows);
      this.y = floats(rows, rows);
      [this.layout, this.similarity, this.diversity] = [0, 1, 2].map((n) => floats(2 * rows + n * pool, pool));
      this.dataset = new Int16Array(buffer, (2 * rows + 3 * pool) * 4, rows);
      at('drawing').hidden = true;
      this.canvas.dataset.ready = 'yes';
      this.draw();
    } catch (error) {
      at('drawing').textContent = `The map cannot be drawn: ${error.message}`;
    }
  }

  show(answer) {
    this.chosen = unpacked(answer.rows, this.summary.pool);
    this.other = answer.other ? unpacked(answer.other.rows, this.summary.pool) : null;
    this.draw();
  }

  axes() { return at('plane').value === 'map' ? [this.x, this.y] : [this.layout, this.diversity]; }

  limits(values) {
    let [low, high] = [Infinity, -Infinity];
    for (const value of values) { if (value < low) low = value; if (value > high) high = value; }
    return low < high ? [low, high] : [low - 1, low + 1];
  }

  colours() {
    const by = at('colour').value;
    const ink = inks();
    const { pool } = this.summary;
    if (by === 'set') {
      return [(row) => {
        if (row >= pool) return ink.target;
        const here = this.chosen?.[row];
        const there = this.other?.[row];
        return here && there ? ink.both : here ? ink.chosen : there ? ink.other : ink.pool;
      }, [['target', ink.target], ['pool', ink.pool], ['chosen', ink.chosen], ...(this.other ? [['only in the other', ink.other], ['in both', ink.both]] : [])]];
    }
    if (by === 'dataset') {
      const names = this.summary.datasets.map((each) => each.name);
      return [(row) => (this.dataset[row] < 0 ? ink.target : CATEGORIES[this.dataset[row] % CATEGORIES.length]),
        [['target', ink.target], ...names.map((name, n) => [name, CATEGORIES[n % CATEGORIES.length]])]];
    }
    const values = this[by];
    const sorted = Float32Array.from(values.filter((value) => !Number.isNaN(value))).sort();
    const cuts = RAMP.slice(1).map((_, n) => sorted[Math.floor(((n + 1) * sorted.length) / RAMP.length)]);
    const ends = [sorted[0], ...cuts, sorted[sorted.length - 1]];
    return [(row) => (row >= pool || Number.isNaN(values[row]) ? null : RAMP[cuts.filter((cut) => values[row] >= cut).length]),
      RAMP.map((colour, n) => [`${ends[n]?.toPrecision(3)} to ${ends[n + 1]?.toPrecision(3)}`, colour])];
  }

  draw() {
    if (!this.x || this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.drawn(); });
  }

  drawn() {
    const scale = window.devicePixelRatio || 1;
    const width = this.canvas.clientWidth;
    const height = this.canvas.clientHeight;
    if (!width) return;
    this.canvas.width = width * scale;
    this.canvas.height = height * scale;
    const context = this.canvas.getContext('2d');
    context.scale(scale, scale);
    const [across, up] = this.axes();
    const [[x0, x1], [y0, y1]] = [this.limits(across), this.limits(up)];
    this.to = (x, y) => [MARGIN + ((x - x0) / (x1 - x0)) * (width - 2 * MARGIN), height - MARGIN - ((y - y0) / (y1 - y0)) * (height - 2 * MARGIN)];
    this.from = (px, py) => [x0 + ((px - MARGIN) / (width - 2 * MARGIN)) * (x1 - x0), y0 + ((height - MARGIN - py) / (height - 2 * MARGIN)) * (y1 - y0)];
    const [colour, legend] = this.colours();
    const groups = new Map();
    for (let row = 0; row < across.length; row += 1) {
      const ink = Number.isNaN(across[row]) || Number.isNaN(up[row]) ? null : colour(row);
      if (ink) { if (!groups.has(ink)) groups.set(ink, []); groups.get(ink).push(row); }
    }
    const size = across.length > 20000 ? 2 : across.length > 4000 ? 3 : 4;
    // The pool first: what is chosen lies upon it.
    const pool = inks().pool;
    for (const ink of [...groups.keys()].sort((a, b) => (b === pool) - (a === pool))) {
      context.fillStyle = ink;
      const own = ink === pool || at('colour').value !== 'set' ? size : size + 1;
      for (const row of groups.get(ink)) {
        const [px, py] = this.to(across[row], up[row]);
        context.fillRect(px - own / 2, py - own / 2, own, own);
      }
    }
    at('legend').replaceChildren(...legend.map(([words, ink]) => {
      const sign = make('i');
      sign.style.background = ink;
      return make('li', {}, sign, words);
    }));
    this.rectangle(context);
  }

  rectangle(context) {
    if (!this.bounds) return;
    const { x0, x1, y0, y1 } = this.bounds;
    const [left, bottom] = this.to(x0, y0);
    const [right, top] = this.to(x1, y1);
    context.strokeStyle = inks().ink;
    context.lineWidth = 1.5;
    context.strokeRect(left, top, right - left, bottom - top);
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  press(event) {
    if (!this.from) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.pressed = this.place(event);
    at('hover').hidden = true;
  }

  move(event) {
    if (!this.from) return;
    const here = this.place(event);
    if (!this.pressed) { this.hover(here); return; }
    const [[ax, ay], [bx, by]] = [this.from(...this.pressed), this.from(...here)];
    this.bounds = { x0: Math.min(ax, bx), x1: Math.max(ax, bx), y0: Math.min(ay, by), y1: Math.max(ay, by) };
    this.draw();
  }

  release(event) {
    if (!this.pressed) return;
    const [x, y] = this.place(event);
    const small = Math.hypot(x - this.pressed[0], y - this.pressed[1]) < 4;
    this.pressed = null;
    if (small) { this.clear(); this.draw(); this.brushed(null); return; }
    const form = at('bounds').elements;
    for (const name of ['x0', 'x1', 'y0', 'y1']) form[name].value = this.bounds[name].toFixed(4);
    this.brushed(this.within());
  }

  within() { return this.bounds && { plane: at('plane').value, ...this.bounds }; }

  clear() {
    this.bounds = null;
    at('bounds').querySelectorAll('input').forEach((input) => { input.value = ''; });
  }

  typed() {
    if (!this.x) return;
    const [across, up] = this.axes().map((values) => this.limits(values));
    const whole = { x0: across[0], x1: across[1], y0: up[0], y1: up[1] };
    const form = at('bounds').elements;
    const names = Object.keys(whole).filter((name) => form[name].value !== '');
    this.bounds = names.length ? { ...whole, ...Object.fromEntries(names.map((name) => [name, Number(form[name].value)])) } : null;
    this.draw();
    this.brushed(this.within());
  }

  hover([px, py]) {
    const [across, up] = this.axes();
    let [best, nearest] = [64, -1];
    for (let row = 0; row < across.length; row += 1) {
      const [x, y] = this.to(across[row], up[row]);
      const far = (x - px) ** 2 + (y - py) ** 2;
      if (far < best) { best = far; nearest = row; }
    }
    const box = at('hover');
    box.hidden = nearest < 0;
    if (nearest < 0 || nearest === this.over) return;
    this.over = nearest;
    box.querySelector('img').src = `picture/${nearest}/320`;
    const where = nearest >= this.summary.pool ? 'target' : this.summary.datasets[this.dataset[nearest]].name;
    box.querySelector('span').textContent = `${where}${this.chosen?.[nearest] ? ', chosen' : ''}`;
    box.style.left = px > this.canvas.clientWidth / 2 ? `${px - 220}px` : `${px + 16}px`;
    box.style.top = `${Math.max(0, py - 80)}px`;
  }
}
