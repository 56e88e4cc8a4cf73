// The dots of a plane: places, colours, and how they are painted. Nothing here knows of controls or of the server.
const MARGIN = 12;
export const CATEGORIES = ['#4e79a7', '#f28e2b', '#59a14f', '#b07aa1', '#edc948', '#76b7b2', '#ff9da7', '#9c755f', '#e15759', '#86bcb6', '#d37295', '#8cd17d'];
const OTHER = '#9a9aa2';
const RAMP = ['#440154', '#414487', '#2a788e', '#22a884', '#7ad151', '#fde725'];

export const unpacked = (text, count) => {
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const found = new Uint8Array(count);
  for (let row = 0; row < count; row += 1) found[row] = (bytes[row >> 3] >> (row & 7)) & 1;
  return found;
};

export const numbersOf = (text, Kind) => new Kind(Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0)).buffer);

export const limits = (values) => {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) { if (value < low) low = value; if (value > high) high = value; }
  return low < high ? [low, high] : [low - 1, low + 1];
};

// A number in each dot's colour, and the legend: colours in the order of their numbers. 255 is not shown.
export const byNumber = (values) => {
  const sorted = Float32Array.from(values.filter((value) => !Number.isNaN(value))).sort();
  const few = [];
  for (const value of sorted) { if (few[few.length - 1] !== value) few.push(value); if (few.length > RAMP.length) break; }
  const single = few.length <= RAMP.length;
  const cuts = single ? few.slice(1) : [...new Set(RAMP.slice(1).map((_, n) => sorted[Math.floor(((n + 1) * sorted.length) / RAMP.length)]))];
  const ends = [sorted[0], ...cuts, sorted[sorted.length - 1]];
  const colours = ends.slice(0, -1).map((_, n) => RAMP[Math.round((n * (RAMP.length - 1)) / Math.max(1, ends.length - 2))]);
  const codes = new Uint8Array(values.length);
  for (let row = 0; row < values.length; row += 1) {
    let code = 255;
    if (!Number.isNaN(values[row])) { code = 0; while (code < cuts.length && values[row] >= cuts[code]) code += 1; }
    codes[row] = code;
  }
  const words = (value) => (Number.isInteger(value) ? value.toLocaleString() : value.toPrecision(3));
  const legend = sorted.length ? colours.map((colour, n) => ({ colour, words: single ? words(few[n]) : `${words(ends[n])} to ${words(ends[n + 1])}` })) : [];
  return { codes, legend };
};

export const byName = (places, names, more) => {
  const codes = Uint8Array.from(places, (place) => (place < 0 ? 255 : Math.min(place, names.length)));
  const legend = names.map((name, n) => ({ colour: CATEGORIES[n % CATEGORIES.length], words: name, name }));
  if (more) legend.push({ colour: OTHER, words: `${more.toLocaleString()} more` });
  return { codes, legend };
};

// Where the dots are on the screen: the plane's limits fill it at zoom 1.
export class View {
  constructor(across, up, width, height) {
    Object.assign(this, { across, up, width, height, zoom: 1, left: 0, top: 0 });
    [[this.x0, this.x1], [this.y0, this.y1]] = [limits(across), limits(up)];
  }

  resize(width, height) { Object.assign(this, { width, height }); }

  to(x, y) {
    return [
      (MARGIN + ((x - this.x0) / (this.x1 - this.x0)) * (this.width - 2 * MARGIN)) * this.zoom + this.left,
      (this.height - MARGIN - ((y - this.y0) / (this.y1 - this.y0)) * (this.height - 2 * MARGIN)) * this.zoom + this.top];
  }

  from(px, py) {
    const [x, y] = [(px - this.left) / this.zoom, (py - this.top) / this.zoom];
    return [
      this.x0 + ((x - MARGIN) / (this.width - 2 * MARGIN)) * (this.x1 - this.x0),
      this.y0 + ((this.height - MARGIN - y) / (this.height - 2 * MARGIN)) * (this.y1 - this.y0)];
  }

  by(factor, px, py) {
    const zoom = Math.max(1, Math.min(200, this.zoom * factor));
    this.move(px - ((px - this.left) * zoom) / this.zoom - this.left, py - ((py - this.top) * zoom) / this.zoom - this.top, zoom);
  }

  // Moved by so many pixels, never off the plane.
  move(dx, dy, zoom = this.zoom) {
    this.zoom = zoom;
    this.left = Math.min(0, Math.max(this.width * (1 - zoom), this.left + dx));
    this.top = Math.min(0, Math.max(this.height * (1 - zoom), this.top + dy));
  }

  nearest(px, py, most) {
    let [best, found] = [most, -1];
    const [ax, bx] = this.line(0);
    const [ay, by] = this.line(1);
    for (let row = 0; row < this.across.length; row += 1) {
      const far = (this.across[row] * ax + bx - px) ** 2 + (this.up[row] * ay + by - py) ** 2;
      if (far < best) { best = far; found = row; }
    }
    return found;
  }

  // A place on the screen is factor · value + shift, for each of the two axes.
  line(axis) {
    const at = (value) => this.to(...(axis ? [this.x0, value] : [value, this.y0]))[axis];
    const [low, high] = axis ? [this.y0, this.y1] : [this.x0, this.x1];
    const factor = (at(high) - at(low)) / (high - low);
    return [factor, at(low) - factor * low];
  }
}

const rgba = (colour) => {
  const value = parseInt(colour.slice(1), 16);
  return 0xff000000 | ((value & 0xff) << 16) | (value & 0xff00) | (value >> 16);
};

// Paints the dots pixel by pixel: codes below `first` come last, so that they lie upon the others.
export const paint = (context, view, scale, codes, colours, size, above) => {
  const [width, height] = [Math.round(view.width * scale), Math.round(view.height * scale)];
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const inks = Uint32Array.from(colours, rgba);
  const [ax, bx] = view.line(0);
  const [ay, by] = view.line(1);
  const { across, up } = view;
  for (const upper of above.some(Boolean) ? [false, true] : [false]) {
    const dot = Math.max(1, Math.round((upper ? size + 1 : size) * scale));
    for (let row = 0; row < codes.length; row += 1) {
      const code = codes[row];
      if (code === 255 || Boolean(above[code]) !== upper) continue;
      const x = Math.round((across[row] * ax + bx) * scale - dot / 2);
      const y = Math.round((up[row] * ay + by) * scale - dot / 2);
      if (!(x > -dot && y > -dot && x < width && y < height)) continue; // not a number, or off the screen
      const [right, bottom] = [Math.min(width, x + dot), Math.min(height, y + dot)];
      const [ink, left] = [inks[code], Math.max(0, x)];
      for (let line = Math.max(0, y); line < bottom; line += 1) {
        for (let at = line * width + left; at < line * width + right; at += 1) pixels[at] = ink; // `fill` costs more for so few
      }
    }
  }
  context.putImageData(image, 0, 0);
};
