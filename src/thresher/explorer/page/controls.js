// The settings of the choice: sliders, data sets and quotas; and the tables of shares beside them.
import { make } from './ask.js';

const at = (id) => document.getElementById(id);
const percent = (share) => (share === null || !Number.isFinite(share) ? '–' : `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`);
// Fields that count when they are left, not while they are typed.
const TYPED = ['shortlist', 'duplicates'];
const COVERAGES = { off: 'off', images: 'images: by their looks', clusters: 'clusters: cheaper', by_class: 'by_class: class by class', modes: 'modes: looks as in the target' };
const options = (names) => names.map((name) => make('option', { value: name, textContent: name.replaceAll('_', ' ') }));

const share = (value, kind) => {
  const cell = make('td', { className: 'share' });
  const bar = make('i', { className: kind });
  bar.style.width = `${Math.min(100, 100 * (value || 0))}%`;
  cell.append(bar, make('span', { textContent: percent(value) }));
  return cell;
};

export class Controls {
  constructor(summary, changed) {
    this.summary = summary;
    this.changed = changed;
    at('method').replaceChildren(...options(summary.methods));
    at('coverage').replaceChildren(...summary.coverages.map((name) => make('option', { value: name, textContent: COVERAGES[name] || name })));
    at('cover').hidden = summary.coverages.length < 2;
    this.against(summary.selections);
    this.rows();
    this.start(summary.start);
    at('controls').addEventListener('submit', (event) => event.preventDefault());
    at('controls').addEventListener('input', ({ target }) => { if (!TYPED.includes(target.id)) this.act(target); });
    for (const id of TYPED) at(id).addEventListener('change', ({ target }) => this.act(target));
  }

  act(target) {
    this.follow(target);
    this.changed(this.words(target), target.ariaLabel || target.id);
  }

  // What an act on a control is called.
  words(target) {
    if (target.classList.contains('set')) return `data set ${this.summary.datasets[target.dataset.number].name}`;
    if (target.classList.contains('quota')) return `at least, ${this.summary.classes[target.dataset.number].name}`;
    return { method: 'ranked by', weight: 'weight', budget: 'number of images', 'budget-slider': 'number of images', against: 'compare with', coverage: 'coverage', shortlist: 'shortlist', duplicates: 'near-duplicates' }[target.id];
  }

  against(selections) {
    const kept = at('against').value;
    at('against').replaceChildren(make('option', { value: '', textContent: 'nothing' }),
      ...selections.map((name) => make('option', { value: name, textContent: name })));
    at('against').value = selections.includes(kept) ? kept : '';
  }

  rows() {
    at('classes').tBodies[0].replaceChildren(...this.summary.classes.map((each, number) => make('tr', {},
      make('th', { scope: 'row', className: each.rare ? 'rare' : '', textContent: each.name, title: each.rare ? 'rare in the pool' : '' }),
      ...[1, 2, 3, 4].map(() => make('td')),
      make('td', {}, make('input', { type: 'number', min: 0, step: 1, className: 'quota', 'data-number': number, ariaLabel: `At least so many images with ${each.name}` })))));
    at('datasets').tBodies[0].replaceChildren(...this.summary.datasets.map((each, number) => make('tr', {},
      make('th', { scope: 'row' }, make('label', {}, make('input', { type: 'checkbox', className: 'set', checked: true, 'data-number': number }), ` ${each.name}`)),
      ...[1, 2, 3].map(() => make('td')))));
  }

  start(settings) {
    const count = settings.budget.endsWith('%') ? Math.round(this.summary.pool * parseFloat(settings.budget) / 100) : Number(settings.budget);
    const quotas = Object.fromEntries(settings.quotas.map((text) => {
      const cut = text.lastIndexOf('=');
      return [text.slice(0, cut), Number(text.slice(cut + 1))];
    }));
    at('budget').max = this.summary.pool;
    this.set({ ...settings, budget: String(Math.max(1, count)), quotas, against: '' });
  }

  // The controls as `get` has given them.
  set(settings) {
    at('method').value = settings.method;
    at('weight').value = settings.diversity_weight;
    at('budget').value = settings.budget;
    at('against').value = settings.against;
    this.seed = settings.seed;
    at('coverage').value = settings.coverage;
    at('shortlist').value = settings.shortlist === 'auto' ? '' : settings.shortlist;
    at('duplicates').value = settings.duplicate_cosine || '';
    for (const box of document.querySelectorAll('.set')) {
      box.checked = !settings.datasets.length || settings.datasets.includes(this.summary.datasets[box.dataset.number].name);
    }
    for (const box of document.querySelectorAll('.quota')) box.value = settings.quotas[this.summary.classes[box.dataset.number].name] || '';
    this.follow(at('budget'));
  }

  // Slider and number of the budget say the same, the slider by its logarithm.
  follow(target) {
    const most = Math.log(this.summary.pool);
    if (target === at('budget-slider')) at('budget').value = Math.round(Math.exp(Number(target.value) * most));
    else at('budget-slider').value = Math.log(Math.max(1, Number(at('budget').value))) / most;
    at('budget-slider').setAttribute('aria-valuetext', `${at('budget').value} images`);
    at('weight-value').textContent = Number(at('weight').value).toFixed(2);
    at('shortlist').disabled = at('coverage').value === 'off';
    at('weight-field').hidden = !this.summary.weighted.includes(at('method').value);
  }

  get() {
    const boxes = [...document.querySelectorAll('.set')];
    const sets = boxes.filter((box) => box.checked).map((box) => this.summary.datasets[box.dataset.number].name);
    const quotas = {};
    for (const box of document.querySelectorAll('.quota')) {
      if (Number(box.value) > 0) quotas[this.summary.classes[box.dataset.number].name] = Number(box.value);
    }
    return {
      method: at('method').value,
      diversity_weight: Number(at('weight').value),
      budget: String(Math.max(1, Math.round(Number(at('budget').value) || 1))),
      seed: this.seed,
      coverage: at('coverage').value,
      shortlist: at('shortlist').value.trim() || 'auto',
      duplicate_cosine: Number(at('duplicates').value) || 0,
      datasets: sets.length === boxes.length ? [] : sets,
      quotas,
      against: at('against').value,
    };
  }

  show(answer) {
    const { other } = answer;
    at('coverage-told').textContent = [
      answer.shortlist ? `Of the ${answer.shortlist.toLocaleString()} best ranked, those that together cover the most.` : 'The best ranked, in order.',
      ...(answer.near_duplicates ? [`${answer.near_duplicates.toLocaleString()} near-duplicates left out.`] : [])].join(' ');
    for (const cell of document.querySelectorAll('th.other')) cell.hidden = !other;
    this.summary.classes.forEach((each, number) => {
      const row = at('classes').tBodies[0].rows[number];
      const cells = [share(each.pool / this.summary.pool, 'pool'), share(answer.class_images[number] / answer.count, 'chosen'),
        share(other ? other.class_images[number] / other.count : null, 'other'), share(each.target, 'target')];
      cells[2].hidden = !other;
      const missed = answer.unmet[each.name];
      row.cells[5].firstChild.setCustomValidity(missed ? `only ${missed[0]} images hold it` : '');
      row.cells[5].firstChild.title = missed ? `only ${missed[0]} images hold it` : '';
      cells.forEach((cell, place) => row.replaceChild(cell, row.cells[place + 1]));
    });
    this.summary.datasets.forEach((each, number) => {
      const row = at('datasets').tBodies[0].rows[number];
      const cells = [share(each.pool / this.summary.pool, 'pool'), share((answer.datasets[each.name] || 0) / answer.count, 'chosen'),
        share(other ? (other.datasets[each.name] || 0) / other.count : null, 'other')];
      cells[2].hidden = !other;
      cells.forEach((cell, place) => row.replaceChild(cell, row.cells[place + 1]));
    });
    at('compared').hidden = !other;
    if (other) {
      at('compared').textContent = `${other.count.toLocaleString()} in the other, ${answer.shared.toLocaleString()} in both: `
        + `${(answer.count - answer.shared).toLocaleString()} only here, ${(other.count - answer.shared).toLocaleString()} only there.`;
    }
  }
}
