// The explorer: settings go to the server, its choice comes back, tables, gallery and dots follow.
import { complain, get, make, post } from './ask.js';
import { Controls } from './controls.js';
import { Gallery } from './gallery.js';
import { Plane } from './plane.js';

const at = (id) => document.getElementById(id);
const summary = await get('api/summary');
document.title = `${summary.title} – thresher explorer`;
at('title').textContent = summary.title;

let bounds = null;
let number = 0;
const ask = () => ({ ...controls.ask(), bounds });

const choose = async ({ gallery: also = true } = {}) => {
  const mine = ++number;
  try {
    const answer = await (await post('api/choose', ask())).json();
    if (mine !== number) return;
    const marks = Object.entries(answer.marks).map(([mark, count]) => `${count.toLocaleString()} ${mark}`);
    const missed = Object.entries(answer.unmet).map(([name, [there, asked]]) => `${name}: ${there} of ${asked}`);
    at('status').textContent = [`${answer.count.toLocaleString()} of ${answer.candidates.toLocaleString()} candidates chosen`, ...marks,
      ...(missed.length ? [`quotas not met: ${missed.join(', ')}`] : [])].join(' · ');
    controls.show(answer);
    plane.show(answer);
    document.body.dataset.chosen = String(Number(document.body.dataset.chosen || 0) + 1);
    complain(null);
    if (also) await gallery.load();
  } catch (error) {
    if (mine === number) complain(error);
  }
};

const controls = new Controls(summary, () => choose());
const gallery = new Gallery(summary, ask, () => choose({ gallery: false }));
const plane = new Plane(summary, (within) => {
  bounds = within;
  at('view').value = within ? 'rectangle' : 'chosen';
  gallery.load();
});

const dialog = (name, open) => {
  at(`open-${name}`).addEventListener('click', () => { open?.(); at(name).showModal(); });
  at(name).querySelectorAll('[data-close]').forEach((button) => button.addEventListener('click', () => at(name).close()));
};
const selections = (names) => {
  summary.selections = names;
  controls.against(names);
  at('export-name').replaceChildren(...names.map((name) => make('option', { value: name, textContent: name })));
};
const failed = (name, error) => { at(name).querySelector('.error').textContent = error ? error.message : ''; };

dialog('help');
dialog('save', () => failed('save'));
dialog('export', () => failed('export'));
selections(summary.selections);
at('export-format').replaceChildren(...summary.formats.map((name) => make('option', { value: name, textContent: name.replaceAll('_', ' ') })));

at('save-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  try {
    const saved = await (await post('api/save', { ...controls.ask(), name: at('save-name').value, replace: at('save-replace').checked })).json();
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

await choose();
await plane.load();
