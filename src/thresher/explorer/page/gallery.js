// The gallery: which images it shows, in which order; moving through them, selecting and marking them by keyboard.
import { make, post } from './ask.js';
import { broken, fillReasons, makeCard, showMark, updateCard } from './cards.js';
import { Query } from './query.js';
import { Texts, testMaker } from './texts.js';

const at = (id) => document.getElementById(id);
const PAGE = 60;
export const MARKS = { a: 'accepted', r: 'rejected', p: 'pinned', u: 'none' };
const WORDS = {
  chosen: 'chosen, best first', last: 'the last ones taken', 'left out': 'the first ones left out', duplicates: 'left out as near-duplicates', all: 'the whole pool',
  random: 'drawn at random from the pool', accepted: 'accepted', pinned: 'pinned', rejected: 'rejected',
  region: 'inside the rectangle or lasso', like: 'most like one image', 'only here': 'only in this choice',
  'only there': 'only in the other', 'in both': 'in both',
};

export class Gallery {
  // `acts` has what the page does with it: changed(words, key) notes an act on what is shown,
  // shown() gives the settings of the selection that is shown, mark(rows, mark) marks, open(row) opens, wish(tests) makes
  // wishes of the filter, failed(error) takes what became of the list.
  constructor(summary, acts) {
    this.summary = summary;
    this.acts = acts;
    this.list = at('gallery');
    this.picked = new Set();
    this.like = null;
    this.number = 0;
    this.total = 0;
    at('view').replaceChildren(...Object.entries(WORDS).map(([value, words]) => make('option', { value, textContent: words })));
    at('sort').replaceChildren(make('option', { value: '', textContent: 'as listed' }), ...summary.columns.map(({ name }) => make('option', { value: name, textContent: name })));
    this.filters = new Texts(at('filters'), (words) => this.changed(`filter ${words}`));
    // The whole pool is looked through first; another view can be chosen then.
    this.query = new Query(summary.query, (words, key, first) => {
      if (first) [at('view').value, at('sort').value] = ['all', ''];
      this.changed(words, key);
    });
    testMaker(at('filter-form'), summary.columns, (text) => this.filters.add(text));
    at('filter-wish').addEventListener('click', () => acts.wish(this.filters.texts));
    for (const [name, words] of [['view', 'view'], ['search', 'search'], ['sort', 'order'], ['descending', 'order']]) {
      at(name).addEventListener(name === 'search' ? 'input' : 'change', () => this.changed(words, name));
    }
    at('more').addEventListener('click', () => this.more());
    at('boxes').addEventListener('change', () => document.body.classList.toggle('no-boxes', !at('boxes').checked));
    this.list.addEventListener('keydown', (event) => this.key(event));
    this.list.addEventListener('click', (event) => this.click(event));
    // Errors of pictures do not bubble, so they are caught on their way down.
    this.list.addEventListener('error', (event) => broken(event.target), true);
    at('picks').addEventListener('click', ({ target }) => { if (target.dataset.mark) this.mark([...this.picked], target.dataset.mark); });
    at('unpick').addEventListener('click', () => this.pick([]));
    this.follow();
  }

  get() {
    return { view: at('view').value, like: this.like, search: at('search').value.trim(), query: this.query.get(), filter: [...this.filters.texts], sort: at('sort').value, descending: at('descending').checked };
  }

  set(shown) {
    at('view').value = shown.view;
    this.like = shown.like;
    at('search').value = shown.search;
    this.query.set(shown.query);
    this.filters.set(shown.filter);
    at('sort').value = shown.sort;
    at('descending').checked = shown.descending;
    this.follow();
  }

  follow() {
    const number = this.filters.texts.length;
    at('filter-count').textContent = number ? `(${number})` : '';
    at('filter-wish').hidden = !number;
    at('sort').options[0].textContent = this.query.get() ? 'likeness' : 'as listed';
    at('descending').parentElement.hidden = !at('sort').value;
  }

  async changed(words, key = null) {
    this.follow();
    this.acts.changed(words, key);
    const failed = await this.load();
    if (failed !== undefined) this.acts.failed(failed);
  }

  show(view, words, like = this.like) {
    at('view').value = view;
    this.like = like;
    return this.changed(words);
  }

  async more() { this.acts.failed(await this.load(this.acts.shown(), this.list.children.length)); }

  // Cards that are there already stay: their pictures are not fetched again. All stay if there is an error, which is
  // returned; undefined if another list has been asked for since.
  async load(asked = this.acts.shown(), from = 0) {
    const number = ++this.number;
    try {
      const answer = await (await post('api/gallery', { ...asked, ...this.get(), query: this.query.asked, from, most: PAGE })).json();
      if (number !== this.number) return undefined;
      const there = new Map(from ? [] : this.cards().map((card) => [Number(card.dataset.row), card]));
      const focused = from ? null : document.activeElement.closest?.('#gallery .card');
      const cards = answer.cards.map((each) => {
        const card = there.get(each.row);
        if (!card) return makeCard(this.summary, each);
        updateCard(card, each);
        return card;
      });
      if (from) this.list.append(...cards);
      else if (cards.length !== this.list.children.length || cards.some((card, place) => card !== this.list.children[place])) this.list.replaceChildren(...cards);
      if (focused?.isConnected && focused !== document.activeElement) focused.focus();
      this.total = answer.total;
      this.tidy();
      if (from && cards.length) cards[0].focus();
      document.body.dataset.shown = String(Number(document.body.dataset.shown || 0) + 1);
      return null;
    } catch (error) {
      return number === this.number ? error : undefined;
    }
  }

  tidy() {
    const cards = this.cards();
    if (cards.length && !this.list.querySelector('.card[tabindex="0"]')) cards[0].tabIndex = 0;
    at('shown').textContent = `${cards.length.toLocaleString()} of ${this.total.toLocaleString()}`;
    at('more').hidden = cards.length >= this.total;
    const there = new Set(cards.map((card) => Number(card.dataset.row)));
    this.pick([...this.picked].filter((row) => there.has(row)));
  }

  cards() { return [...this.list.children]; }

  card(row) { return this.list.querySelector(`.card[data-row="${row}"]`); }

  pick(rows) {
    this.picked = new Set(rows);
    for (const card of this.cards()) {
      const on = this.picked.has(Number(card.dataset.row));
      card.classList.toggle('picked', on);
      card.querySelector('.pick').checked = on;
    }
    at('picks').hidden = !rows.length;
    at('picked').textContent = `${rows.length.toLocaleString()} selected`;
  }

  // Turns one card over, or with `shift` selects all from the last one to it.
  turn(card, shift) {
    const cards = this.cards();
    const [first, last] = [cards.indexOf(this.last?.isConnected ? this.last : card), cards.indexOf(card)].sort((a, b) => a - b);
    const row = Number(card.dataset.row);
    const picked = new Set(this.picked);
    if (shift) for (const each of cards.slice(first, last + 1)) picked.add(Number(each.dataset.row));
    else if (!picked.delete(row)) picked.add(row);
    this.last = card;
    this.pick([...picked]);
  }

  click(event) {
    const { target } = event;
    const card = target.closest('.card');
    if (!card) return;
    if (target.closest('button[data-mark]')) this.mark([Number(card.dataset.row)], target.dataset.mark, true);
    else if (target.closest('.ask')) this.why(card);
    else if (event.shiftKey || event.ctrlKey || event.metaKey || target.closest('.pick')) { this.turn(card, event.shiftKey); if (!target.closest('.pick')) event.preventDefault(); }
    else if (target.closest('.shot') && !target.closest('.reasons')) this.acts.open(Number(card.dataset.row));
  }

  columns() {
    const cards = this.cards();
    const next = cards.findIndex((card) => card.offsetTop > cards[0].offsetTop);
    return next < 0 ? cards.length : next;
  }

  focus(number) {
    const cards = this.cards();
    const card = cards[Math.max(0, Math.min(cards.length - 1, number))];
    for (const other of this.list.querySelectorAll('.card[tabindex="0"]')) other.tabIndex = -1;
    card.tabIndex = 0;
    card.focus();
    card.scrollIntoView({ block: 'nearest' });
    return card;
  }

  key(event) {
    const card = event.target.closest('.card');
    if (!card || event.altKey || event.target.tagName === 'BUTTON') return;
    const place = this.cards().indexOf(card);
    const moves = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: () => this.columns(), ArrowUp: () => -this.columns(), Home: -Infinity, End: Infinity };
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const row = Number(card.dataset.row);
    if (event.ctrlKey || event.metaKey) {
      if (key !== 'a') return;
      this.pick(this.cards().map((each) => Number(each.dataset.row)));
    } else if (key in moves) {
      if (event.shiftKey && !this.picked.size) this.turn(card, false);
      const next = this.focus(place + (typeof moves[key] === 'function' ? moves[key]() : moves[key]));
      if (event.shiftKey) this.turn(next, true);
    } else if (key in MARKS) {
      if (this.picked.size) this.mark([...this.picked], MARKS[key]);
      else { this.focus(place + 1); this.mark([row], MARKS[key]); }
    } else if (key === 'x' || key === ' ') this.turn(card, event.shiftKey);
    else if (key === 'Escape') this.pick([]);
    else if (key === 'Enter') this.acts.open(row);
    else if (key === 'w') this.why(card);
    else if (key === 'b') at('boxes').click();
    else return;
    event.preventDefault();
  }

  // A button pressed a second time takes its mark back.
  mark(rows, mark, turn = false) {
    const card = turn && this.card(rows[0]);
    return this.acts.mark(rows, card && card.dataset.mark === mark ? 'none' : mark);
  }

  // The cards stay where they are, so that nothing jumps under the finger; the numbers around them change at once.
  marked(marks) {
    for (const card of this.cards()) showMark(card, marks.get(Number(card.dataset.row)) || 'none');
  }

  async why(card) {
    const [button, place] = [card.querySelector('.ask'), card.querySelector('.reasons')];
    place.hidden = !place.hidden;
    button.ariaExpanded = String(!place.hidden);
    if (!place.hidden) await fillReasons(this.summary, place, this.acts.shown(), Number(card.dataset.row), true);
  }
}
