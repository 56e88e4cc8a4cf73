// What stands above the images while they are not what the settings ask for: why, and the one click that mends it.
const at = (id) => document.getElementById(id);

export class Notice {
  // `acts`: back() tells what leads back to a choice that could be made, as [words, act]; null if nothing does.
  // apply() makes the choice that waits.
  constructor(acts) {
    this.acts = acts;
    this.faults = { choice: null, cards: null };
    this.waits = null;
    at('notice-act').addEventListener('click', () => this.act?.());
  }

  // What became of the choice, or of the list of images: an error, or null.
  tell(what, error) {
    this.faults[what] = error;
    this.show();
  }

  // The settings have changed, and the choice waits for a click or is being made: `busy`, and about how many seconds it
  // takes, if that is known; null if nothing waits.
  wait(waits) {
    this.waits = waits;
    this.show();
  }

  show() {
    const { choice, cards } = this.faults;
    const error = choice || cards;
    at('notice').hidden = !error && !this.waits;
    at('notice').classList.toggle('waits', !error && Boolean(this.waits));
    at('notice').ariaBusy = String(Boolean(this.waits?.busy));
    document.body.classList.toggle('behind', Boolean(error));
    if (this.waits) this.showWaits();
    else if (error) this.showFault(error, choice ? 'selection' : 'list');
  }

  showFault(error, what) {
    const [words, act] = this.acts.back() || [null, null];
    this.say(error.message, at('gallery').children.length ? `Below is still the ${what} of before.` : '', words, act);
  }

  showWaits() {
    const { busy, seconds, first } = this.waits;
    const about = Number.isFinite(seconds) && seconds > 0 ? `This takes about ${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s.` : '';
    if (busy) this.say(first ? 'Working out coverage and near-duplicates; until then the best ranked are shown.' : 'Working out the selection…', about);
    else this.say('The settings have changed; below is the selection of before.', about, 'Apply', this.acts.apply);
  }

  say(words, more, button = null, act = null) {
    this.act = act;
    at('notice-words').textContent = words;
    at('notice-shown').textContent = more;
    at('notice-act').textContent = button || '';
    at('notice-act').hidden = !act;
  }
}
