// All images as dots on a canvas: where they lie, how they are coloured, what the pointer is over; zoom, rectangle, lasso.
import { complain, make, points, post } from './ask.js';
import { View, byName, byNumber, numbersOf, paint, unpacked } from './dots.js';

const at = (id) => document.getElementById(id);
const FEW_PIXELS = 3;
const dark = window.matchMedia('(prefers-color-scheme: dark)');
const inks = () => (dark.matches
  ? { target: '#5db4e6', pool: '#8a7650', chosen: '#f07ab8', other: '#8fd18f', both: '#ffffff', ink: '#f4f4f5', paper: '#1c1c20' }
  : { target: '#0072b2', pool: '#d9b98a', chosen: '#a6326f', other: '#2f7d32', both: '#18181b', ink: '#18181b', paper: '#ffffff' });

export class Plane {
  // `acts`: marked(region) is called with a new region, filter(test) with a test of the column by which it is coloured.
  constructor(summary, acts) {
    Object.assign(this, { summary, acts, canvas: at('canvas'), region: null, columns: new Map(), coloured: null });
    const { columns } = summary;
    at('colour').replaceChildren(make('option', { value: '', textContent: 'choice' }), ...columns.filter(({ name }) => name !== 'path').map(({ name }) => make('option', { value: name, textContent: name })));
    at('plane').addEventListener('change', () => { this.view = null; this.acts.marked(null, 'plane'); this.draw(); });
    at('colour').addEventListener('change', () => this.colour());
    dark.addEventListener('change', () => this.draw());
    new ResizeObserver(() => this.draw()).observe(this.canvas.parentElement);
    for (const [name, act] of [['pointerdown', 'press'], ['pointermove', 'move'], ['pointerup', 'release']]) this.canvas.addEventListener(name, (event) => this[act](event));
    this.canvas.addEventListener('pointerleave', () => { at('hover').hidden = true; });
    this.canvas.addEventListener('wheel', (event) => { event.preventDefault(); this.zoom(event.deltaY < 0 ? 1.25 : 0.8, this.place(event)); }, { passive: false });
    this.canvas.addEventListener('keydown', (event) => this.key(event));
    at('zoom-in').addEventListener('click', () => this.zoom(1.5));
    at('zoom-out').addEventListener('click', () => this.zoom(1 / 1.5));
    at('zoom-all').addEventListener('click', () => { this.view = null; this.draw(); });
    at('bounds').addEventListener('submit', (event) => event.preventDefault());
    at('bounds').addEventListener('reset', () => setTimeout(() => this.typed()));
    at('bounds').addEventListener('input', () => this.typed());
  }

  async load() {
    try {
      const [buffer] = await Promise.all([points(), this.column('layout'), this.column('diversity')]);
      const { rows } = this.summary;
      [this.x, this.y] = [new Float32Array(buffer, 0, rows), new Float32Array(buffer, rows * 4, rows)];
      at('drawing').hidden = true;
      this.canvas.dataset.ready = 'yes';
      this.draw();
    } catch (error) {
      at('drawing').textContent = `The map cannot be drawn: ${error.message}`;
    }
  }

  async column(name) {
    if (!this.columns.has(name)) {
      const answer = await (await post('api/column', { name })).json();
      const values = numbersOf(answer.values, answer.kind === 'number' ? Float32Array : Int16Array);
      this.columns.set(name, { ...answer, values });
    }
    return this.columns.get(name);
  }

  async colour() {
    const name = at('colour').value;
    try {
      const column = name && await this.column(name);
      if (name !== at('colour').value) return;
      this.coloured = !name ? null : column.kind === 'number' ? byNumber(column.values) : byName(column.values, column.names, column.more);
      if (name === 'chosen_before') this.columns.delete(name); // changes with every selection that is saved
      complain(null);
    } catch (error) {
      this.coloured = null;
      complain(error);
    }
    this.draw();
  }

  show(answer) {
    this.chosen = unpacked(answer.rows, this.summary.pool);
    this.other = answer.other ? unpacked(answer.other.rows, this.summary.pool) : null;
    this.draw();
  }

  axes() { return at('plane').value === 'map' ? [this.x, this.y] : ['layout', 'diversity'].map((name) => this.columns.get(name).values); }

  // The code of each dot's colour: by the choice (the target's dots too), or by a column of the pool.
  codes() {
    if (this.coloured) return { codes: this.coloured.codes, legend: this.coloured.legend, above: [] };
    const ink = inks();
    const codes = new Uint8Array(this.axes()[0].length).fill(1, this.summary.pool);
    for (let row = 0; row < this.summary.pool; row += 1) {
      const [here, there] = [this.chosen?.[row], this.other?.[row]];
      codes[row] = here && there ? 4 : here ? 2 : there ? 3 : 0;
    }
    const legend = [['pool', ink.pool], ['target', ink.target], ['chosen', ink.chosen], ['only in the other', ink.other], ['in both', ink.both]]
      .map(([words, colour]) => ({ words, colour }));
    return { codes, legend: this.other ? legend : legend.slice(0, 3), above: [false, true, true, true, true] };
  }

  draw() {
    if (!this.x || this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.drawn(); });
  }

  drawn() {
    const scale = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width) return;
    if (!this.view) this.view = new View(...this.axes(), width, height);
    this.view.resize(width, height);
    [this.canvas.width, this.canvas.height] = [Math.round(width * scale), Math.round(height * scale)];
    const context = this.canvas.getContext('2d');
    const { codes, legend, above } = this.codes();
    const dots = this.view.across.length;
    const size = Math.min(8, (dots > 20000 ? 2 : dots > 4000 ? 3 : 4) * Math.sqrt(this.view.zoom) ** 0.8);
    paint(context, this.view, scale, codes, legend.map(({ colour }) => colour), size, above);
    context.setTransform(scale, 0, 0, scale, 0, 0);
    this.legend(legend);
    if (at('colour').value === 'cluster' && this.coloured) this.names(context, codes, legend);
    this.outline(context);
  }

  legend(legend) {
    const name = at('colour').value;
    at('legend').replaceChildren(...legend.map(({ words, colour, name: value }) => {
      const sign = make('i');
      sign.style.background = colour;
      if (value === undefined || !name) return make('li', {}, sign, words);
      return make('li', {}, make('button', { type: 'button', title: `Show only ${name} ${words}`, onclick: () => this.acts.filter(`${name} = ${/^[\w.+/-]+$/.test(value) ? value : `"${value}"`}`) }, sign, words));
    }));
  }

  // The number of each cluster, in the middle of its dots.
  names(context, codes, legend) {
    context.font = '600 13px system-ui, sans-serif';
    context.textAlign = 'center';
    legend.forEach(({ words }, code) => {
      const [across, up] = [this.view.across, this.view.up].map((values) => values.subarray(0, codes.length).filter((value, row) => codes[row] === code && !Number.isNaN(value)).sort());
      if (!across.length) return;
      const [px, py] = this.view.to(across[across.length >> 1], up[up.length >> 1]);
      context.lineWidth = 4;
      context.strokeStyle = inks().paper;
      context.strokeText(words, px, py);
      context.fillStyle = inks().ink;
      context.fillText(words, px, py);
    });
  }

  outline(context) {
    const region = this.drag?.region || this.region;
    if (!region || region.plane !== at('plane').value) return;
    const { x0, x1, y0, y1 } = region;
    const corners = region.polygon || [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
    context.strokeStyle = inks().ink;
    context.lineWidth = 1.5;
    context.beginPath();
    for (const corner of corners) context.lineTo(...this.view.to(...corner));
    context.closePath();
    context.stroke();
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  zoom(factor, [px, py] = [this.canvas.clientWidth / 2, this.canvas.clientHeight / 2]) {
    if (!this.view) return;
    this.view.by(factor, px, py);
    at('hover').hidden = true;
    this.draw();
  }

  key(event) {
    const moves = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] };
    if (event.ctrlKey || event.metaKey || event.altKey || !this.view) return;
    if (event.key in moves) { this.view.move(...moves[event.key]); this.draw(); }
    else if (event.key === '+' || event.key === '=') this.zoom(1.5);
    else if (event.key === '-') this.zoom(1 / 1.5);
    else if (event.key === '0') { this.view = null; this.draw(); }
    else return;
    event.preventDefault();
  }

  press(event) {
    if (!this.view) return;
    this.canvas.setPointerCapture(event.pointerId);
    const here = this.place(event);
    this.drag = { tool: event.button === 0 ? at('tool').value : 'move', start: here, last: here, corners: [this.view.from(...here)] };
    at('hover').hidden = true;
  }

  move(event) {
    if (!this.view) return;
    const here = this.place(event);
    const { drag } = this;
    if (!drag) { this.hover(here); return; }
    const plane = at('plane').value;
    if (drag.tool === 'move') this.view.move(here[0] - drag.last[0], here[1] - drag.last[1]);
    else if (drag.tool === 'lasso') {
      if (Math.hypot(here[0] - drag.last[0], here[1] - drag.last[1]) < FEW_PIXELS) return;
      drag.corners.push(this.view.from(...here));
      drag.region = { plane, polygon: drag.corners };
    } else {
      const [[ax, ay], [bx, by]] = [this.view.from(...drag.start), this.view.from(...here)];
      drag.region = { plane, x0: Math.min(ax, bx), x1: Math.max(ax, bx), y0: Math.min(ay, by), y1: Math.max(ay, by) };
    }
    drag.last = here;
    this.draw();
  }

  release(event) {
    const { drag } = this;
    this.drag = null;
    if (!drag || drag.tool === 'move') return;
    const small = Math.hypot(drag.last[0] - drag.start[0], drag.last[1] - drag.start[1]) < FEW_PIXELS && !drag.region?.polygon;
    if (small && !this.region) return;
    const region = small || (drag.region?.polygon?.length < 3) ? null : drag.region;
    this.acts.marked(region && (region.polygon ? { ...region, polygon: region.polygon.filter((_, n, all) => n % Math.ceil(all.length / 1500) === 0) } : region), drag.tool);
  }

  // A region from elsewhere: typed, undone or just drawn.
  set(region) {
    this.region = region;
    if (region && region.plane !== at('plane').value) { at('plane').value = region.plane; this.view = null; }
    const form = at('bounds').elements;
    const active = document.activeElement;
    for (const name of ['x0', 'x1', 'y0', 'y1']) {
      if (form[name] !== active) form[name].value = region && name in region && Number.isFinite(region[name]) ? Number(region[name].toFixed(4)) : '';
    }
    this.draw();
  }

  typed() {
    if (!this.x) return;
    const view = new View(...this.axes(), 1, 1);
    const whole = { x0: view.x0, x1: view.x1, y0: view.y0, y1: view.y1 };
    const form = at('bounds').elements;
    const names = Object.keys(whole).filter((name) => form[name].value !== '');
    this.acts.marked(names.length ? { plane: at('plane').value, ...whole, ...Object.fromEntries(names.map((name) => [name, Number(form[name].value)])) } : null, 'bounds');
  }

  hover([px, py]) {
    const nearest = this.view.nearest(px, py, 64);
    const box = at('hover');
    box.hidden = nearest < 0;
    if (nearest < 0 || nearest === this.over) return;
    this.over = nearest;
    box.querySelector('img').src = `picture/${nearest}/320`;
    const value = this.coloured && nearest < this.summary.pool ? this.valueOf(nearest) : '';
    box.querySelector('span').textContent = `${nearest >= this.summary.pool ? 'target' : 'pool'}${this.chosen?.[nearest] ? ', chosen' : ''}${value}`;
    box.style.left = px > this.canvas.clientWidth / 2 ? `${px - 220}px` : `${px + 16}px`;
    box.style.top = `${Math.max(0, py - 80)}px`;
  }

  valueOf(row) {
    const name = at('colour').value;
    const { kind, values, names } = this.columns.get(name) || {};
    if (!values) return '';
    return `; ${name}: ${kind === 'number' ? Number(values[row].toPrecision(4)) : names[values[row]] ?? 'another'}`;
  }
}
