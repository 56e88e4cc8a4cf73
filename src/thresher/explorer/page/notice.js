// What stands above the images while they are not what the settings ask for: why, and the one click that mends it.
const at = (id) => document.getElementById(id);

export class Notice {
  // `acts`: back() tells what leads back to a choice that could be made, as [words, act]; null if nothing does.
  constructor(acts) {
    this.acts = acts;
    this.faults = { choice: null, cards: null };
    at('notice-act').addEventListener('click', () => this.act?.());
  }

  // What became of the choice, or of the list of images: an error, or null.
  tell(what, error) {
    this.faults[what] = error;
    this.show();
  }

  show() {
    const { choice, cards } = this.faults;
    const error = choice || cards;
    const [words, act] = (error && this.acts.back()) || [null, null];
    this.act = act;
    at('notice').hidden = !error;
    document.body.classList.toggle('behind', Boolean(error));
    if (!error) return;
    at('notice-words').textContent = error.message;
    at('notice-shown').textContent = at('gallery').children.length ? `Below is still the ${choice ? 'selection' : 'list'} of before.` : '';
    at('notice-act').textContent = words || '';
    at('notice-act').hidden = !act;
  }
}
