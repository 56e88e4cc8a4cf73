// The explorer: settings go to the server, its choice comes back, tables, gallery and dots follow. Every act is noted in
// one history.
import { complain, get, make, post } from './ask.js';
import { Controls } from './controls.js';
import { Details } from './details.js';
import { Gallery } from './gallery.js';
import { History } from './history.js';
import { Notice } from './notice.js';
import { Plane } from './plane.js';
import { WishList } from './wishes.js';

const at = (id) => document.getElementById(id);
const summary = await get('api/summary');
document.title = `${summary.title} – thresher explorer`;
at('title').textContent = summary.title;

let region = null;
let marks = new Map();
let history = null;
let said = '';
// The settings of the last choice that could be made, with the version of its marks: what is shown, and asked about,
// until there is another. Slower choices than this wait for a click.
let [made, marked, cost] = [null, false, 0];
const AT_ONCE_S = 0.5;
const ask = () => ({ ...controls.get(), ...wishes.get(), region });
const thorough = ({ coverage, duplicate_cosine: cosine }) => coverage !== 'off' || cosine > 0;
const plain = ({ region: _, against: __, version: ___, ...settings }) => JSON.stringify(settings);
// Whether the settings' choice takes so long that it is not made with every move of a slider.
const slow = (wanted) => made && thorough(wanted) && cost > AT_ONCE_S && (marked || plain(wanted) !== plain(made));
const shown = () => (made ? { ...made, region, against: controls.get().against } : ask());
const state = () => ({ settings: controls.get(), wishes: wishes.get(), shown: gallery.get(), region, marks: [...marks].sort(([a], [b]) => a - b) });

const notice = new Notice({
  apply: () => refresh(true, true),
  back: () => {
    const steps = history?.toMet || 0;
    if (steps) return [steps === 1 ? `Undo: ${history.back}` : `Undo the last ${steps} acts`, () => step('undo', steps)];
    const { quotas } = controls.get();
    const lists = wishes.get();
    if (!Object.keys(quotas).length && !Object.values(lists).some((each) => each.length)) return null;
    return ['Take all wishes away', () => { controls.set({ ...controls.get(), quotas: {} }); wishes.set({}); note('all wishes taken away'); soon(); }];
  },
});

const buttons = () => {
  for (const [id, words, name] of [['undo', history?.back, 'Undo'], ['redo', history?.forth, 'Redo']]) {
    at(id).disabled = words === null || words === undefined;
    at(id).title = at(id).disabled ? '' : `${name}: ${words}`;
  }
};
const note = (words, key = null) => { said = ''; history?.note(state(), words, key); buttons(); };

const tell = (answer) => {
  const counted = Object.entries(answer.marks).map(([mark, count]) => `${count.toLocaleString()} ${mark}`);
  const missed = Object.entries(answer.unmet).map(([name, [there, asked]]) => `${name}: ${Number(there.toPrecision(4))} of ${Number(asked.toPrecision(4))}`);
  at('status').textContent = [`${answer.count.toLocaleString()} of ${answer.candidates.toLocaleString()} candidates chosen`, ...counted,
    ...(missed.length ? [`not met: ${missed.join(', ')}`] : []), ...(said ? [said] : [])].join(' · ');
};

const choose = async (wanted) => {
  try {
    const answer = await (await post('api/choose', wanted)).json();
    made = { ...wanted, version: answer.version };
    marked = false;
    if (thorough(wanted)) cost = answer.seconds;
    if (JSON.stringify(wanted) === JSON.stringify(ask())) history?.meets();
    marks = new Map(answer.marked);
    tell(answer);
    controls.show(answer);
    plane.show(answer);
    document.body.dataset.chosen = String(Number(document.body.dataset.chosen || 0) + 1);
    complain(null);
    return null;
  } catch (error) {
    return error;
  }
};

// One question at a time: while it is being answered, only the newest wish waits.
let [busy, waiting, timer] = [null, null, 0];
const refresh = async (cards = true, anyway = false, wanted = ask()) => {
  if (busy) { waiting = { cards: cards || waiting?.cards, anyway: anyway || waiting?.anyway }; return busy; }
  if (!anyway && slow(wanted)) {
    notice.tell('choice', null);
    notice.wait({ busy: false, seconds: cost });
    if (cards) notice.tell('cards', await gallery.load());
    return undefined;
  }
  busy = (async () => {
    const first = made && !thorough(made) && cards;
    const words = setTimeout(() => notice.wait({ busy: true, seconds: cost, first }), anyway ? 0 : 1000 * AT_ONCE_S);
    const chosen = choose(wanted); // asked for first: it is what a slider waits for
    const listed = cards ? gallery.load(wanted) : null;
    const failed = await chosen;
    clearTimeout(words);
    notice.wait(null);
    notice.tell('choice', failed);
    if (!cards) return;
    const error = await listed;
    notice.tell('cards', error === undefined ? await gallery.load() : error);
  })();
  await busy;
  busy = null;
  const next = waiting;
  waiting = null;
  return next ? refresh(next.cards, next.anyway) : undefined;
};
const soon = () => { clearTimeout(timer); timer = setTimeout(() => refresh(), 0); };

const mark = async (rows, value) => {
  try {
    await post('api/mark', { marks: rows.map((row) => [row, value]) });
    marked = true;
    for (const row of rows) if (value === 'none') marks.delete(row); else marks.set(row, value);
    gallery.marked(marks);
    details.marked(marks);
    note(`${value === 'none' ? 'mark removed' : value}, ${rows.length === 1 ? 'one image' : `${rows.length.toLocaleString()} images`}`);
    await refresh(false);
  } catch (error) {
    complain(error);
  }
};

const controls = new Controls(summary, (words, key) => { note(words, key); soon(); });
const wishes = new WishList(summary, (words) => { note(words); soon(); });
const gallery = new Gallery(summary, {
  shown,
  failed: (error) => notice.tell('cards', error),
  changed: (words, key) => note(words, key),
  mark,
  open: (row) => details.open(row),
  wish: (tests) => {
    wishes.set({ ...wishes.get(), where: [...new Set([...wishes.get().where, ...tests.filter((each) => !each.startsWith('cluster '))])] });
    at('wishes').open = true;
    note('filter as a wish');
    soon();
  },
});
const details = new Details(summary, gallery, { shown, mark, like: (row) => gallery.show('like', 'more like this', row) });
const plane = new Plane(summary, {
  marked: (next, words) => {
    region = next;
    plane.set(region);
    at('view').value = region ? 'region' : at('view').value === 'region' ? 'chosen' : at('view').value;
    gallery.changed(words, `region ${words}`);
  },
  filter: (test) => gallery.filters.add(test),
});
wishes.set(summary.start);

const restore = async (which, steps, words) => {
  let found = null;
  for (let count = 0; count < steps; count += 1) found = history?.[which]() || found;
  if (!found) return;
  const { state: wanted } = found;
  const kept = new Map(wanted.marks);
  const differing = [...new Set([...marks.keys(), ...kept.keys()])].filter((row) => marks.get(row) !== kept.get(row));
  try {
    if (differing.length) await post('api/mark', { marks: differing.map((row) => [row, kept.get(row) || 'none']) });
  } catch (error) {
    for (let count = 0; count < steps; count += 1) history[which === 'undo' ? 'redo' : 'undo']();
    complain(error);
    return;
  }
  if (differing.length) marked = true;
  marks = kept;
  region = wanted.region;
  controls.set(wanted.settings);
  wishes.set(wanted.wishes);
  gallery.set(wanted.shown);
  gallery.marked(marks);
  details.marked(marks);
  plane.set(region);
  said = `${words}: ${found.words}`;
  buttons();
  await refresh();
};
let [undoing] = [Promise.resolve()];
const step = (which, steps = 1) => { undoing = undoing.then(() => restore(which, steps, which === 'undo' ? 'undone' : 'done again')); };
at('undo').addEventListener('click', () => step('undo'));
at('redo').addEventListener('click', () => step('redo'));
// In a field for a name the browser's own undo is the right one; everywhere else it would change a control unseen.
const own = (target) => target.id === 'save-name' || target.id === 'wish-text' || target.name === 'value';
document.addEventListener('keydown', (event) => {
  const key = event.key.toLowerCase();
  if (!(event.ctrlKey || event.metaKey) || event.altKey || !(key === 'z' || key === 'y') || own(event.target)) return;
  event.preventDefault();
  step(key === 'y' || event.shiftKey ? 'redo' : 'undo');
});
document.addEventListener('beforeinput', (event) => {
  if (!event.inputType.startsWith('history') || own(event.target)) return;
  event.preventDefault();
  step(event.inputType === 'historyUndo' ? 'undo' : 'redo');
});

const dialog = (name, open) => {
  at(`open-${name}`).addEventListener('click', () => { open?.(); at(name).showModal(); });
  at(name).querySelectorAll('[data-close]').forEach((button) => button.addEventListener('click', () => at(name).close()));
};
const selections = (names) => {
  summary.selections = names;
  controls.against(names);
  wishes.follow();
  at('export-name').replaceChildren(...names.map((name) => make('option', { value: name, textContent: name })));
};
const failed = (name, error) => { at(name).querySelector('.error').textContent = error ? error.message : ''; };
const there = () => {
  const name = at('save-name').value;
  at('save-there').textContent = summary.selections.includes(name) ? `There is a selection ${name} already.` : name && at('save-name').checkValidity() ? `Will be ${summary.title}/selections/${name}.parquet.` : '';
};

dialog('help');
dialog('save', () => { failed('save'); there(); });
dialog('export', () => failed('export'));
selections(summary.selections);
at('save-name').addEventListener('input', there);
at('export-format').replaceChildren(...summary.formats.map((name) => make('option', { value: name, textContent: name.replaceAll('_', ' ') })));

at('save-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  if (notice.waits) {
    failed('save', new Error('The settings have changed since the selection that is shown was made. Apply them first.'));
    return;
  }
  try {
    const saved = await (await post('api/save', { ...ask(), name: at('save-name').value, replace: at('save-replace').checked })).json();
    selections(saved.selections);
    at('export-name').value = saved.name;
    at('save').close();
    at('status').textContent = `Saved ${saved.name}: ${saved.images.toLocaleString()} images.`;
  } catch (error) {
    failed('save', error);
  }
});

at('export-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  try {
    const asked = { name: at('export-name').value, format: at('export-format').value, images: at('export-images').checked ? 'copy' : 'none' };
    const response = await post('api/export', asked);
    const named = /filename="?([^";]+)"?/.exec(response.headers.get('content-disposition') || '');
    const link = make('a', { href: URL.createObjectURL(await response.blob()), download: named ? named[1] : asked.name });
    link.click();
    URL.revokeObjectURL(link.href);
    at('export').close();
  } catch (error) {
    failed('export', error);
  }
});

if (summary.preview) {
  cost = Infinity; // not known yet, but long
  await refresh(true, true, { ...ask(), coverage: 'off', duplicate_cosine: 0 });
} else await refresh();
history = new History(state());
if (made) history.meets();
buttons();
if (summary.preview) await refresh(true, true);
await plane.load();
