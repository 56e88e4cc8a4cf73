// Cards of images, moved through and marked by keyboard; a large view beside the target's images most like one.
import { complain, get, make, post } from './ask.js';

const at = (id) => document.getElementById(id);
const PAGE = 60;
const MARKS = { a: 'accepted', r: 'rejected', p: 'pinned', u: 'none' };
export const VIEWS = ['chosen', 'last', 'left out', 'random', 'accepted', 'pinned', 'rejected', 'rectangle', 'only here', 'only there', 'in both'];
const WORDS = {
  chosen: 'chosen, best first', last: 'the last ones taken', 'left out': 'the first ones left out', random: 'drawn at random from the pool',
  accepted: 'accepted', pinned: 'pinned', rejected: 'rejected', rectangle: 'inside the rectangle', 'only here': 'only in this choice',
  'only there': 'only in the other', 'in both': 'in both',
};
const SVG = 'http://www.w3.org/2000/svg';
const round = (value) => (Number.isInteger(value) ? value.toLocaleString() : value.toPrecision(4));

export class Gallery {
  constructor(summary, ask, marked) {
    this.summary = summary;
    this.ask = ask;
    this.marked = marked;
    this.list = at('gallery');
    at('view').replaceChildren(...VIEWS.map((name) => make('option', { value: name, textContent: WORDS[name] })));
    at('view').addEventListener('change', () => this.load());
    at('more').addEventListener('click', () => this.load(this.list.children.length));
    at('boxes').addEventListener('change', () => document.body.classList.toggle('no-boxes', !at('boxes').checked));
    this.list.addEventListener('keydown', (event) => this.key(event));
    this.list.addEventListener('click', (event) => {
      const card = event.target.closest('.card');
      const button = event.target.closest('button[data-mark]');
      if (card && button) this.mark(card, button.dataset.mark);
      else if (card && event.target.closest('.shot')) this.open(card);
    });
    // Errors of pictures do not bubble, so they are caught on their way down.
    this.list.addEventListener('error', (event) => this.broken(event.target), true);
    at('details').addEventListener('error', (event) => this.broken(event.target), true);
    this.number = 0;
  }

  async load(from = 0) {
    const number = ++this.number;
    const view = at('view').value;
    try {
      const answer = await (await post('api/gallery', { ...this.ask(), view, from, most: PAGE })).json();
      if (number !== this.number) return;
      const cards = answer.cards.map((each) => this.card(each));
      if (from) this.list.append(...cards); else this.list.replaceChildren(...cards);
      const there = this.list.children.length;
      if (there && !this.list.querySelector('[tabindex="0"]')) this.list.firstChild.tabIndex = 0;
      at('shown').textContent = `${there.toLocaleString()} of ${answer.total.toLocaleString()}`;
      at('more').hidden = there >= answer.total;
      if (from && cards.length) cards[0].focus();
      complain(null);
    } catch (error) {
      if (number === this.number) { this.list.replaceChildren(); at('shown').textContent = ''; at('more').hidden = true; complain(error); }
    }
  }

  shot(each, side, alt) {
    const image = make('img', { src: `picture/${each.row}/${side}`, alt, loading: 'lazy', decoding: 'async' });
    const svg = document.createElementNS(SVG, 'svg');
    svg.setAttribute('viewBox', '0 0 1 1');
    svg.setAttribute('preserveAspectRatio', 'none');
    svg.setAttribute('aria-hidden', 'true');
    for (const [x0, y0, x1, y1, number] of each.boxes.slice(0, 60)) {
      const rect = document.createElementNS(SVG, 'rect');
      const title = document.createElementNS(SVG, 'title');
      title.textContent = this.summary.classes[number].name;
      rect.setAttribute('class', `k${number % 12}`);
      for (const [name, value] of [['x', x0], ['y', y0], ['width', x1 - x0], ['height', y1 - y0]]) rect.setAttribute(name, value);
      rect.append(title);
      svg.append(rect);
    }
    return make('span', { className: 'shot' }, image, svg);
  }

  held(each) {
    const counts = new Map();
    for (const box of each.boxes) counts.set(box[4], (counts.get(box[4]) || 0) + 1);
    return [...counts].sort((a, b) => b[1] - a[1]).map(([number, count]) => `${count} ${this.summary.classes[number].name}`).join(', ');
  }

  card(each) {
    const held = this.held(each);
    const numbers = Object.entries(each.numbers).slice(0, 3).map(([name, value]) => make('div', {},
      make('dt', { textContent: name.replace('_nats', '').replaceAll('_', ' ') }), make('dd', { textContent: round(value) }),
      make('dd', { className: 'rank', textContent: each.ranks[`${name.replace('_nats', '')}_rank`] ? `rank ${round(each.ranks[`${name.replace('_nats', '')}_rank`])}` : '' })));
    const marks = [['accepted', '✓', 'Accept'], ['rejected', '✕', 'Reject'], ['pinned', '★', 'Pin']].map(([mark, sign, words]) => make('button', {
      type: 'button', tabIndex: -1, textContent: sign, ariaLabel: words, title: words, 'data-mark': mark, ariaPressed: String(each.mark === mark) }));
    const card = make('li', { className: 'card', tabIndex: -1, 'data-row': each.row },
      this.shot(each, 320, `Image ${each.id}; ${held ? `boxes: ${held}` : 'no boxes'}`),
      make('div', { className: 'head' }, make('b', { textContent: each.rank ? `rank ${each.rank.toLocaleString()}` : 'not chosen' }), make('span', { className: 'marks' }, ...marks)),
      make('p', { className: 'name', textContent: each.dataset }),
      make('p', { className: 'held', textContent: held || 'no boxes' }),
      make('dl', { className: 'numbers' }, ...numbers),
      make('p', { className: 'id', textContent: each.id }));
    card.dataset.mark = each.mark || 'none';
    card.dataset.chosen = String(Boolean(each.rank));
    return card;
  }

  broken(image) {
    if (image.tagName !== 'IMG') return;
    const words = make('span', { className: 'unreadable', textContent: `${image.alt} cannot be shown.` });
    const address = image.getAttribute('src');
    image.closest('.shot').replaceChildren(words);
    get(address).catch((error) => { words.textContent = `Cannot be shown: ${error.message}`; });
  }

  cards() { return [...this.list.children]; }

  columns() {
    const cards = this.cards();
    const top = cards[0].offsetTop;
    const next = cards.findIndex((card) => card.offsetTop > top);
    return next < 0 ? cards.length : next;
  }

  focus(number) {
    const cards = this.cards();
    const card = cards[Math.max(0, Math.min(cards.length - 1, number))];
    for (const other of this.list.querySelectorAll('.card[tabindex="0"]')) other.tabIndex = -1;
    card.tabIndex = 0;
    card.focus();
    card.scrollIntoView({ block: 'nearest' });
  }

  key(event) {
    const card = event.target.closest('.card');
    if (!card || event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === 'BUTTON') return;
    const place = this.cards().indexOf(card);
    const moves = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: () => this.columns(), ArrowUp: () => -this.columns(), Home: -Infinity, End: Infinity };
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key in moves) this.focus(place + (typeof moves[key] === 'function' ? moves[key]() : moves[key]));
    else if (key in MARKS) this.mark(card, MARKS[key], true);
    else if (key === 'Enter' || key === ' ') this.open(card);
    else if (key === 'b') at('boxes').click();
    else return;
    event.preventDefault();
  }

  // The card stays where it is, so that nothing jumps under the finger; the numbers around it change at once.
  async mark(card, mark, onwards = false) {
    const wanted = !onwards && card.dataset.mark === mark ? 'none' : mark;
    try {
      await post('api/mark', { row: Number(card.dataset.row), mark: wanted });
      card.dataset.mark = wanted;
      for (const button of card.querySelectorAll('button[data-mark]')) button.ariaPressed = String(button.dataset.mark === wanted);
      if (onwards && card.contains(document.activeElement)) this.focus(this.cards().indexOf(card) + 1);
      this.marked();
    } catch (error) {
      complain(error);
    }
  }

  async open(card) {
    try {
      const each = await get(`api/details/${card.dataset.row}`);
      const held = this.held(each);
      at('details-title').textContent = each.id;
      const rows = Object.entries(each.numbers).map(([name, value]) => make('div', {}, make('dt', { textContent: name.replaceAll('_', ' ') }), make('dd', { textContent: round(value) })));
      const near = each.nearest.map((other) => make('figure', {}, this.shot(other, 320, `Target image ${other.id}`), make('figcaption', { textContent: other.id })));
      const drawn = [this.drawing(`heat/${each.row}`, 'Heat map: similarity to the target', `Image ${each.id}, and beside it the same in grey, each part coloured by its log p under the target; yellow is like the target, violet is not`)];
      if (each.labels) drawn.push(this.drawing(`labels/${each.row}`, `Pixel labels: ${each.labels}`, `Image ${each.id}, and beside it its pixel labels in the colours of the classes; white is no label`));
      at('details-body').replaceChildren(
        this.shot(each, 1280, `Image ${each.id}; ${held ? `boxes: ${held}` : 'no boxes'}`),
        make('p', { textContent: `${each.dataset}. ${held || 'No boxes'}.` }),
        make('dl', { className: 'facts' }, ...rows),
        ...this.reasons(each.row, card.dataset.chosen === 'true'),
        ...drawn.flat(),
        make('h3', { textContent: near.length ? 'Most like it, of the target' : 'No nearest target images are known.' }),
        make('div', { className: 'near' }, ...near));
      at('details').showModal();
    } catch (error) {
      complain(error);
    }
  }

  // A button, and the place below it for the reasons, which are those of the settings of the moment.
  reasons(row, chosen) {
    const button = make('button', { type: 'button', textContent: chosen ? 'Why?' : 'Why not?', ariaExpanded: 'false', id: 'why' });
    const place = make('div', { className: 'reasons' });
    button.addEventListener('click', async () => {
      const open = button.ariaExpanded !== 'true';
      button.ariaExpanded = String(open);
      place.replaceChildren();
      if (!open) return;
      try {
        const told = await (await post('api/why', { ...this.ask(), row })).json();
        const near = told.instead ? [make('figure', {}, this.shot(told.instead, 320, `Chosen image ${told.instead.id}`), make('figcaption', { textContent: `${told.instead.id}, rank ${told.instead.rank.toLocaleString()}` }))] : [];
        place.replaceChildren(
          make('ul', {}, ...told.words.map((words) => make('li', { textContent: words }))),
          make('dl', { className: 'facts' }, ...told.places.map((each) => make('div', {},
            make('dt', { textContent: each.score.replaceAll('_', ' ') }), make('dd', { textContent: `place ${each.place.toLocaleString()} of ${each.of.toLocaleString()}` })))),
          make('div', { className: 'near' }, ...near));
      } catch (error) {
        place.textContent = error.message;
      }
    });
    return [button, place];
  }

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
