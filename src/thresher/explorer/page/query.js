// What the reviewer brings along to look for. The gallery then lists the most like it first; the chip says so, keeps
// only the nearest if asked, and takes it away.
import { complain, make, sendFile } from './ask.js';

const at = (id) => document.getElementById(id);

export class Query {
  // `changed(words, key)` is called after each act; `told` is what the server can look for.
  constructor(told, changed) {
    this.told = told;
    this.changed = changed;
    at('picture').hidden = !told.picture;
    at('picture').addEventListener('click', () => at('picture-file').click());
    at('picture-file').accept = told.types.join(',');
    at('picture-file').addEventListener('change', ({ target }) => { if (target.files.length) this.picture(target.files[0]); target.value = ''; });
    at('words').parentElement.hidden = !told.words;
    at('words').addEventListener('change', ({ target }) => this.say(target.value.trim()));
    at('query-nearest').addEventListener('change', () => this.keep(Number(at('query-nearest').value)));
    at('query-off').addEventListener('click', () => this.take(null, 'no longer by likeness'));
    if (told.picture) this.drops();
    this.set(null);
  }

  // A file may be dropped anywhere on the page; anything else is dragged as ever.
  drops() {
    const files = ({ dataTransfer }) => Boolean(dataTransfer?.types.includes('Files'));
    document.addEventListener('dragover', (event) => { if (files(event)) { event.preventDefault(); document.body.classList.add('dropping'); } });
    document.addEventListener('dragleave', (event) => { if (!event.relatedTarget) document.body.classList.remove('dropping'); });
    document.addEventListener('drop', (event) => {
      document.body.classList.remove('dropping');
      if (!files(event)) return;
      event.preventDefault();
      this.picture(event.dataTransfer.files[0]);
    });
  }

  async picture(file) {
    const [most, before] = [this.told.most_bytes, at('shown').textContent];
    try {
      if (file.size > most) throw new Error(`${file.name}: ${Math.ceil(file.size / 1e6).toLocaleString()} MB; expected at most ${most / 1e6} MB.`);
      at('shown').textContent = `Looking at ${file.name}…`;
      const { vector } = await (await sendFile('api/picture', file)).json();
      complain(null);
      this.take({ vector, name: file.name, image: URL.createObjectURL(file), nearest: null }, `most like ${file.name}`);
    } catch (error) {
      at('shown').textContent = before;
      complain(error);
    }
  }

  say(words) {
    if (words) this.take({ words, nearest: this.now?.nearest || null }, `looks like ${words}`, 'words');
    else if (this.now?.words) this.take(null, 'no longer by likeness');
  }

  keep(number) {
    const nearest = number >= 1 ? Math.round(number) : null;
    this.take({ ...this.now, nearest }, nearest ? `the ${nearest.toLocaleString()} nearest` : 'all, however near', 'nearest');
  }

  take(now, words, key = null) {
    const first = now && !this.now;
    this.set(now);
    this.changed(words, key, first);
  }

  // What the server needs of it.
  get asked() { return this.now && { vector: this.now.vector, words: this.now.words, nearest: this.now.nearest }; }

  get() { return this.now; }

  set(now) {
    this.now = now;
    at('query').hidden = !now;
    at('words').value = now?.words || '';
    if (now?.words) at('query-shown').replaceChildren(`Looks like “${now.words}”`);
    else at('query-shown').replaceChildren(...(now ? [make('img', { src: now.image, alt: '' }), `Most like ${now.name}`] : []));
    at('query-nearest').value = now?.nearest || '';
  }
}
