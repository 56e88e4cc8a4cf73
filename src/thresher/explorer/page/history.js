// Undo and redo. A state is everything that an act can change, as plain data; there is one list of states, and an act
// adds one. Going back puts a state in place again, whatever the act was.
const TOGETHER_MS = 1200;
const choiceOf = ({ settings, wishes, marks }) => JSON.stringify([settings, wishes, marks]);

export class History {
  constructor(first) {
    this.past = [];
    this.now = { state: first, words: '', key: null, at: -Infinity, met: false };
    this.future = [];
  }

  // `key` names the control that was moved: what follows within a moment on the same one is part of the same act.
  note(state, words, key = null, at = performance.now()) {
    if (JSON.stringify(state) === JSON.stringify(this.now.state)) return;
    const same = key !== null && key === this.now.key && at - this.now.at < TOGETHER_MS;
    const met = this.now.met && choiceOf(state) === choiceOf(this.now.state);
    if (!same) this.past.push(this.now);
    this.now = { state, words, key, at, met };
    this.future = [];
  }

  undo() {
    if (!this.past.length) return null;
    this.future.push(this.now);
    const { words } = this.now;
    this.now = { ...this.past.pop(), key: null };
    return { state: this.now.state, words };
  }

  redo() {
    if (!this.future.length) return null;
    this.past.push(this.now);
    this.now = { ...this.future.pop(), key: null };
    return { state: this.now.state, words: this.now.words };
  }

  // The choice of the state of now could be made.
  meets() { this.now.met = true; }

  // How many steps back the last choice lies that could be made; 0 if there is none.
  get toMet() {
    const place = this.past.findLastIndex(({ met }) => met);
    return place < 0 ? 0 : this.past.length - place;
  }

  // What the next undo and redo are of; null if there is none.
  get back() { return this.past.length ? this.now.words : null; }

  get forth() { return this.future.length ? this.future[this.future.length - 1].words : null; }
}
