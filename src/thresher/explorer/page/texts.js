// Lists of texts, each with a button that takes it away: wishes and filters. A text is added by typing it, or made of
// a column, a sign and a value.
import { make } from './ask.js';

const SIGNS = { number: ['>=', '<=', '>', '<', '=', '!='], class: ['>=', '<=', '='], flag: ['='], text: ['=', '!=', 'in', '~'] };
const WORDS = { '>=': 'at least', '<=': 'at most', '>': 'more than', '<': 'less than', '=': 'is', '!=': 'is not', in: 'is one of', '~': 'matches' };
const plain = (value) => (/^[\w.+/-]+$/.test(value) && !['and', 'in'].includes(value) ? value : `"${value.replaceAll('"', '')}"`);
const written = (sign, value) => (sign === 'in' ? value.split(',').map((each) => plain(each.trim())).join(', ') : plain(value));

// The texts of one kind, shown as chips.
export class Texts {
  constructor(list, changed) {
    this.list = list;
    this.changed = changed;
    this.set([]);
  }

  set(texts) {
    this.texts = [...texts];
    this.list.replaceChildren(...this.texts.map((text) => make('li', {}, make('code', { textContent: text }),
      make('button', { type: 'button', textContent: '✕', ariaLabel: `Remove ${text}`, onclick: () => this.remove(text) }))));
    this.list.hidden = !this.texts.length;
  }

  add(text) {
    const wanted = text.trim();
    if (!wanted || this.texts.includes(wanted)) return;
    this.set([...this.texts, wanted]);
    this.changed(`+ ${wanted}`);
  }

  remove(text) {
    this.set(this.texts.filter((each) => each !== text));
    this.changed(`− ${text}`);
  }
}

// A column, a sign and a value become a test, such as `width_px >= 1280`.
export const testMaker = (form, columns, add) => {
  const { column, sign, value } = form.elements;
  const known = form.querySelector('datalist');
  const groups = { class: 'objects of a class', number: 'numbers', text: 'texts', flag: 'true or false' };
  column.replaceChildren(...Object.entries(groups).map(([kind, words]) => [words, columns.filter((each) => each.kind === kind)])
    .filter(([, own]) => own.length).map(([label, own]) => make('optgroup', { label }, ...own.map((each) => make('option', { value: each.name, textContent: each.name })))));
  const kindOf = () => columns.find((each) => each.name === column.value);
  const follow = () => {
    const { kind, values } = kindOf();
    sign.replaceChildren(...SIGNS[kind].map((each) => make('option', { value: each, textContent: WORDS[each] })));
    known.replaceChildren(...(values || (kind === 'flag' ? ['true', 'false'] : [])).map((each) => make('option', { value: each })));
    value.value = kind === 'class' ? '1' : '';
    value.placeholder = kind === 'text' ? 'value' : '';
  };
  column.addEventListener('change', follow);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (value.value.trim()) add(`${plain(column.value)} ${sign.value} ${written(sign.value, value.value.trim())}`);
  });
  if (columns.length) follow();
};
