// An opened image: large, with its marks, reasons and neighbours; to the previous and the next one; zoom.
import { complain, get, make } from './ask.js';
import { broken, fillReasons, held, readable, round, shot, showMark } from './cards.js';
import { MARKS } from './gallery.js';

const at = (id) => document.getElementById(id);
const MOST_ZOOM = 12;
const [LARGE, FULL] = [1280, 4096];

// A picture that is enlarged about the pointer and moved by dragging.
class Zoom {
  constructor(frame) {
    this.frame = frame;
    this.inside = frame.firstChild;
    this.show(1, 0, 0);
    frame.addEventListener('wheel', (event) => { event.preventDefault(); this.by(event.deltaY < 0 ? 1.25 : 0.8, event); }, { passive: false });
    frame.addEventListener('pointerdown', (event) => { if (this.scale > 1) { frame.setPointerCapture(event.pointerId); this.from = [event.clientX - this.x, event.clientY - this.y]; event.preventDefault(); } });
    frame.addEventListener('pointermove', (event) => { if (this.from) this.show(this.scale, event.clientX - this.from[0], event.clientY - this.from[1]); });
    frame.addEventListener('pointerup', () => { this.from = null; });
  }

  by(factor, event = null) {
    const box = this.frame.getBoundingClientRect();
    const [px, py] = event ? [event.clientX - box.left, event.clientY - box.top] : [box.width / 2, box.height / 2];
    const scale = Math.max(1, Math.min(MOST_ZOOM, this.scale * factor));
    this.show(scale, px - ((px - this.x) * scale) / this.scale, py - ((py - this.y) * scale) / this.scale);
  }

  show(scale, x, y) {
    const { clientWidth: width, clientHeight: height } = this.frame;
    this.scale = scale;
    this.x = Math.min(0, Math.max(width - width * scale, x));
    this.y = Math.min(0, Math.max(height - height * scale, y));
    this.inside.style.transform = `translate(${this.x}px, ${this.y}px) scale(${scale})`;
    this.frame.classList.toggle('zoomed', scale > 1);
    const image = this.inside.querySelector('img');
    if (scale > 1.5 && image && image.src.endsWith(`/${LARGE}`)) image.src = image.src.replace(/\d+$/, FULL);
  }
}

export class Details {
  // `acts`: shown() gives the settings of the selection that is shown, mark(rows, mark) marks, like(row) shows what is like it.
  constructor(summary, gallery, acts) {
    Object.assign(this, { summary, gallery, acts });
    at('details').addEventListener('error', (event) => broken(event.target), true);
    at('details').addEventListener('keydown', (event) => this.key(event));
    at('details').addEventListener('close', () => { const card = gallery.card(this.row); if (card) gallery.focus(gallery.cards().indexOf(card)); });
    at('previous').addEventListener('click', () => this.go(-1));
    at('next').addEventListener('click', () => this.go(1));
    at('like').addEventListener('click', () => { at('details').close(); acts.like(this.row); });
    at('closer').addEventListener('click', () => this.zoom?.by(1.5));
    at('farther').addEventListener('click', () => this.zoom?.by(1 / 1.5));
    at('whole').addEventListener('click', () => this.zoom?.show(1, 0, 0));
    at('details-bar').addEventListener('click', ({ target }) => { if (target.dataset.mark) this.mark(at('details').dataset.mark === target.dataset.mark ? 'none' : target.dataset.mark); });
  }

  place() { return this.gallery.cards().findIndex((card) => Number(card.dataset.row) === this.row); }

  async go(step) {
    const to = this.place() + step;
    if (to < 0) return;
    if (to >= this.gallery.cards().length) {
      if (to >= this.gallery.total) return;
      await this.gallery.more();
    }
    const card = this.gallery.cards()[to];
    if (card) await this.open(Number(card.dataset.row));
  }

  async mark(mark) {
    if (this.row >= this.summary.pool) return;
    showMark(at('details'), mark);
    await this.acts.mark([this.row], mark);
  }

  marked(marks) { if (at('details').open) showMark(at('details'), marks.get(this.row) || 'none'); }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || ['INPUT', 'SELECT'].includes(event.target.tagName)) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key === 'ArrowLeft' || key === 'ArrowRight') this.go(key === 'ArrowLeft' ? -1 : 1);
    else if (key in MARKS) this.mark(MARKS[key]).then(() => this.go(1));
    else if (key === '+' || key === '=') this.zoom?.by(1.5);
    else if (key === '-') this.zoom?.by(1 / 1.5);
    else if (key === '0') this.zoom?.show(1, 0, 0);
    else if (key === 'b') at('boxes').click();
    else return;
    event.preventDefault();
  }

  async open(row) {
    try {
      const each = await get(`api/details/${row}`);
      this.row = row;
      const [boxes, place] = [held(this.summary, each), this.place()];
      const inPool = row < this.summary.pool;
      at('details-title').textContent = each.id;
      at('details-place').textContent = place < 0 ? '' : `${(place + 1).toLocaleString()} of ${this.gallery.total.toLocaleString()}`;
      at('previous').disabled = place <= 0;
      at('next').disabled = place < 0 || place + 1 >= this.gallery.total;
      showMark(at('details'), each.mark || 'none');
      for (const button of at('details-bar').querySelectorAll('.marks button')) button.disabled = !inPool;
      at('like').disabled = !this.summary.columns.some(({ name }) => name === 'cluster');
      const rows = Object.entries(each.numbers).map(([name, value]) => make('div', {}, make('dt', { textContent: readable(name) }), make('dd', { textContent: round(value) })));
      const near = each.nearest.map((other) => make('figure', {}, shot(this.summary, other, 320, `Target image ${other.id}`), make('figcaption', { textContent: other.id })));
      const drawn = [this.drawing(`heat/${row}/${this.heat()}`, `Heat map: ${this.heat()}`, `Image ${each.id}, and beside it the same in grey, each part coloured by how near it is to the target; yellow is like it, violet is not`)];
      if (each.labels) drawn.push(this.drawing(`labels/${row}`, `Pixel labels: ${each.labels}`, `Image ${each.id}, and beside it its pixel labels in the colours of the classes; white is no label`));
      const frame = make('div', { className: 'frame' }, shot(this.summary, each, LARGE, `Image ${each.id}; ${boxes ? `boxes: ${boxes}` : 'no boxes'}`));
      const reasons = make('div', { className: 'reasons' });
      at('details-body').replaceChildren(
        frame,
        make('p', { textContent: `${each.dataset}. ${boxes || 'No boxes'}.` }),
        make('dl', { className: 'facts' }, ...rows),
        make('h3', { textContent: 'Why, or why not' }), reasons,
        ...drawn.flat(),
        make('h3', { textContent: near.length ? 'Most like it, of the target' : 'No nearest target images are known.' }),
        make('div', { className: 'near' }, ...near));
      this.zoom = new Zoom(frame);
      if (!at('details').open) at('details').showModal();
      at('details').scrollTop = 0;
      await fillReasons(this.summary, reasons, this.acts.shown(), row);
    } catch (error) {
      complain(error);
    }
  }

  // What the heat map shows: the score by which the selection ranks.
  heat() { return this.summary.heats[this.acts.shown().method]; }

  // A button, and the place below it where the picture appears while the button is on.
  drawing(address, words, told) {
    const button = make('button', { type: 'button', textContent: words, ariaExpanded: 'false' });
    const place = make('div', { className: 'heat' });
    button.addEventListener('click', () => {
      const open = button.ariaExpanded !== 'true';
      button.ariaExpanded = String(open);
      place.replaceChildren(...(open ? [make('span', { className: 'shot' }, make('img', { src: address, alt: told }))] : []));
    });
    return [button, place];
  }
}
