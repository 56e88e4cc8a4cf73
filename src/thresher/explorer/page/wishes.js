// Wishes in the words of the command line: caps, shares, least numbers, tests of columns, lists to keep and to exclude.
import { make } from './ask.js';
import { Texts } from './texts.js';

const at = (id) => document.getElementById(id);
export const KINDS = ['at_least', 'at_most', 'share', 'where', 'exclude', 'keep'];
const FLAGS = { at_least: '--at-least', at_most: '--at-most', share: '--share', where: '--where', exclude: '--exclude', keep: '--keep' };
const COUNTED = ['at_least', 'at_most', 'share'];
const TOLD = {
  at_least: 'At least so many images (20) or this share of the selection (10%); with ? at the end as far as it goes: bus=20, objects:bus=50?, dataset:kitti=30%.',
  at_most: 'No more than so many images or this share: sequence:*=20 is at most 20 of each sequence.',
  share: 'Exactly this share, uniform, or target (as in the target): dataset:kitti=30%, dataset:*=uniform, class:*=target.',
  where: 'Only images that pass a test; what is not known never passes: width_px >= 1280 and path ~ night.',
  exclude: 'Never these images: the name of a selection, or a test: chosen_before > 0.',
  keep: 'Always these images, which count towards the number and all other wishes: the name of a selection, or a test.',
};

export class WishList {
  constructor(summary, changed) {
    this.summary = summary;
    this.lists = Object.fromEntries(KINDS.map((kind) => {
      const list = make('ul', { className: 'chips', ariaLabel: FLAGS[kind] });
      const part = make('div', { className: 'wish-kind', hidden: true }, make('span', { textContent: FLAGS[kind] }), list);
      at('wish-lists').append(part);
      return [kind, new Texts(list, (words) => { this.shown(); changed(`${FLAGS[kind]} ${words}`); })];
    }));
    at('wish-kind').addEventListener('change', () => this.follow());
    at('wish-subject').addEventListener('change', () => { at('wish-text').value = at('wish-subject').value; at('wish-text').focus(); });
    at('wish-add').addEventListener('click', () => this.add());
    at('wish-text').addEventListener('keydown', (event) => { if (event.key === 'Enter') { event.preventDefault(); this.add(); } });
    this.follow();
  }

  // The subjects that can be picked for the kind of wish: `bus=`, `dataset:kitti=`, `width_px >= `, names of selections.
  follow() {
    const kind = at('wish-kind').value;
    const { classes, columns, selections } = this.summary;
    const texts = columns.filter((each) => each.kind === 'text' && !['path', 'cluster'].includes(each.name));
    const subjects = COUNTED.includes(kind)
      ? [...classes.map((each) => `${each.name}=`), ...classes.map((each) => `objects:${each.name}=`), 'class:*=',
        ...texts.flatMap((each) => [`${each.name}:*=`, ...(each.values || []).map((value) => `${each.name}:${value}=`)])]
      : [...(kind === 'where' ? [] : selections), ...columns.filter((each) => each.name !== 'cluster')
        .map((each) => `${each.name} ${each.kind === 'text' || each.kind === 'flag' ? '=' : '>='} `)];
    at('wish-subject').replaceChildren(make('option', { value: '', textContent: 'pick…' }), ...subjects.map((each) => make('option', { value: each, textContent: each })));
    at('wish-told').textContent = TOLD[kind];
    at('wish-text').placeholder = { at_least: 'bus=20', at_most: 'sequence:*=20', share: 'dataset:*=uniform', where: 'width_px >= 1280' }[kind] || 'layout < 0';
  }

  add() {
    const text = at('wish-text').value.trim();
    if (!text) return;
    at('wish-text').value = '';
    this.lists[at('wish-kind').value].add(text);
  }

  shown() {
    for (const each of Object.values(this.lists)) each.list.parentElement.hidden = !each.texts.length;
    const number = Object.values(this.lists).reduce((sum, each) => sum + each.texts.length, 0);
    at('wish-count').textContent = number ? `(${number})` : '';
  }

  get() { return Object.fromEntries(KINDS.map((kind) => [kind, [...this.lists[kind].texts]])); }

  set(wishes) {
    for (const kind of KINDS) this.lists[kind].set(wishes[kind] || []);
    this.shown();
  }
}
