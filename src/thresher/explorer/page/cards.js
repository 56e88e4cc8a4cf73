// Pictures with boxes, and cards of images.
import { get, make, post } from './ask.js';

const SVG = 'http://www.w3.org/2000/svg';
const SIGNS = [['accepted', '✓', 'Accept'], ['rejected', '✕', 'Reject'], ['pinned', '★', 'Pin']];
export const round = (value) => (Number.isInteger(value) ? value.toLocaleString() : value.toPrecision(4));
export const readable = (name) => name.replace('_nats', '').replaceAll('_', ' ');

export const shot = (summary, each, side, alt) => {
  const image = make('img', { src: `picture/${each.row}/${side}`, alt, loading: 'lazy', decoding: 'async' });
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 1 1');
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('aria-hidden', 'true');
  for (const [x0, y0, x1, y1, number] of each.boxes.slice(0, 60)) {
    const rect = document.createElementNS(SVG, 'rect');
    const title = document.createElementNS(SVG, 'title');
    title.textContent = summary.classes[number].name;
    rect.setAttribute('class', `k${number % 12}`);
    for (const [name, value] of [['x', x0], ['y', y0], ['width', x1 - x0], ['height', y1 - y0]]) rect.setAttribute(name, value);
    rect.append(title);
    svg.append(rect);
  }
  return make('span', { className: 'shot' }, image, svg);
};

export const held = (summary, each) => {
  const counts = new Map();
  for (const box of each.boxes) counts.set(box[4], (counts.get(box[4]) || 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]).map(([number, count]) => `${count} ${summary.classes[number].name}`).join(', ');
};

export const broken = (image) => {
  if (image.tagName !== 'IMG') return;
  const words = make('span', { className: 'unreadable', textContent: `${image.alt} cannot be shown.` });
  const address = image.getAttribute('src');
  image.closest('.shot').replaceChildren(words);
  get(address).catch((error) => { words.textContent = `Cannot be shown: ${error.message}`; });
};

export const showMark = (holder, mark) => {
  holder.dataset.mark = mark;
  for (const button of holder.querySelectorAll('.marks button[data-mark]')) button.ariaPressed = String(button.dataset.mark === mark);
};

export const makeCard = (summary, each) => {
  const boxes = held(summary, each);
  const numbers = Object.entries(each.numbers).slice(0, 3).map(([name, value]) => make('div', {},
    make('dt', { textContent: readable(name) }), make('dd', { textContent: round(value) }),
    make('dd', { className: 'rank', textContent: each.ranks[`${name}_rank`] ? `rank ${round(each.ranks[`${name}_rank`])}` : '' })));
  const marks = SIGNS.map(([mark, sign, words]) => make('button', { type: 'button', tabIndex: -1, textContent: sign, ariaLabel: words, title: words, 'data-mark': mark }));
  const card = make('li', { className: 'card', tabIndex: -1, 'data-row': each.row },
    shot(summary, each, 320, `Image ${each.id}; ${boxes ? `boxes: ${boxes}` : 'no boxes'}`),
    make('div', { className: 'head' },
      make('label', {}, make('input', { type: 'checkbox', className: 'pick', tabIndex: -1, ariaLabel: `Select ${each.id}` }), make('b')),
      make('span', { className: 'marks' }, make('button', { type: 'button', tabIndex: -1, className: 'ask', textContent: '?', ariaLabel: 'Why, or why not', title: 'Why, or why not', ariaExpanded: 'false' }), ...marks)),
    make('p', { className: 'name', textContent: each.dataset }),
    make('p', { className: 'held', textContent: boxes || 'no boxes' }),
    make('dl', { className: 'numbers' }, ...numbers),
    make('p', { className: 'likeness' }),
    make('p', { className: 'edge' }),
    make('p', { className: 'id', textContent: each.id }),
    make('div', { className: 'reasons', hidden: true }));
  updateCard(card, each);
  return card;
};

// What changes from choice to choice: the rank, the mark, and with them the reasons.
export const updateCard = (card, each) => {
  card.querySelector('.head b').textContent = each.rank ? `rank ${each.rank.toLocaleString()}` : 'not chosen';
  const likeness = card.querySelector('.likeness');
  likeness.hidden = each.cosine === null || each.cosine === undefined;
  likeness.textContent = likeness.hidden ? '' : `cosine ${each.cosine.toFixed(3)} to what you look for`;
  const edge = card.querySelector('.edge');
  edge.textContent = each.edge ? `Left out by ${each.edge}.` : '';
  edge.hidden = !each.edge;
  card.dataset.chosen = String(Boolean(each.rank));
  card.querySelector('.reasons').hidden = true;
  card.querySelector('.ask').ariaExpanded = 'false';
  showMark(card, each.mark || 'none');
};

// Puts the reasons for an image, by the settings of the moment, into a place.
export const fillReasons = async (summary, place, ask, row, brief = false) => {
  place.textContent = 'Looking for the reasons…';
  try {
    const told = await (await post('api/why', { ...ask, row })).json();
    const near = told.instead ? [make('figure', {}, shot(summary, told.instead, 320, `Chosen image ${told.instead.id}`), make('figcaption', { textContent: `${told.instead.id}, rank ${told.instead.rank.toLocaleString()}` }))] : [];
    place.replaceChildren(
      make('ul', {}, ...told.words.map((words) => make('li', { textContent: words }))),
      make('dl', { className: 'facts', hidden: brief }, ...told.places.map((each) => make('div', {},
        make('dt', { textContent: readable(each.score) }), make('dd', { textContent: `place ${each.place.toLocaleString()} of ${each.of.toLocaleString()}` })))),
      make('div', { className: 'near' }, ...near));
  } catch (error) {
    place.textContent = error.message;
  }
};
