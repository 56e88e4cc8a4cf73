'use strict';
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const counterparts = read('dark');
  const brushed = read('brushed');
  const dark = window.matchMedia('(prefers-color-scheme: dark)');
  const MOST = 24;

  // Data keeps its words, even where a name looks like a colour.
  const recoloured = (value, key) => {
    if (key === 'data' || key === 'datasets' || key === 'domain') return value;
    if (typeof value === 'string') return counterparts[value] || value;
    if (Array.isArray(value)) return value.map((each) => recoloured(each));
    if (value && typeof value === 'object') {
      return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, recoloured(each, name)]));
    }
    return value;
  };

  const darkened = (spec) => {
    const own = recoloured(spec);
    const light = { labelColor: counterparts['#18181b'], titleColor: counterparts['#18181b'], domainColor: '#71717a', tickColor: '#71717a' };
    own.config = { ...own.config, axis: { ...light, ...own.config.axis }, legend: { ...light, ...own.config.legend } };
    return own;
  };

  // As wide as the page allows; what stands beside the axes shrinks with it. The words stand above, where they can wrap.
  const MOST_WIDE = 1100, NARROW = 560;
  const fitted = (given, width) => {
    const { title, ...spec } = given;
    const narrower = (value) => {
      if (Array.isArray(value)) return value.map(narrower);
      if (!value || typeof value !== 'object') return value;
      return Object.fromEntries(Object.entries(value).map(([name, each]) => {
        if (name === 'data' || name === 'datasets') return [name, each];
        if (name === 'legend' && each) return [name, { ...each, columns: 2, gradientLength: 160, labelLimit: width / 2 - 50 }];
        if (name === 'labelLimit') return [name, Math.min(each, width / 3)];
        return [name, narrower(each)];
      }));
    };
    const own = width < NARROW ? narrower(spec) : spec;
    return { ...own, width: Math.min(width, MOST_WIDE), padding: 4, autosize: { type: 'fit-x', contains: 'padding' } };
  };
  const headed = (figure, title) => {
    const head = document.createElement('b');
    head.textContent = title?.text ?? '';
    const words = document.createElement('span');
    words.textContent = [title?.subtitle ?? []].flat().join(' ');
    figure.querySelector('.title').replaceChildren(head, words);
  };

  const rowsOf = (columns) => {
    const names = Object.keys(columns);
    if (!names.length) return null;
    return columns[names[0]].map((_, n) => Object.fromEntries(names.map((name) => [name, columns[name][n]])));
  };

  const inside = (row, x, y, bounds) => {
    const [x0, x1, y0, y1] = bounds;
    return (x0 === null || row[x] >= x0) && (x1 === null || row[x] <= x1)
      && (y0 === null || row[y] >= y0) && (y1 === null || row[y] <= y1);
  };

  const show = (figure, rows, fields, bounds) => {
    const status = figure.querySelector('.found');
    const list = figure.querySelector('.brushed');
    if (bounds.every((each) => each === null)) {
      status.textContent = '';
      list.replaceChildren();
      return;
    }
    const found = rows.filter((row) => inside(row, ...fields, bounds));
    const chosen = found.filter((row) => row.set === 'selection').length;
    const pictured = found.filter((row) => Object.hasOwn(brushed, row.image_id));
    pictured.sort((a, b) => b[fields[0]] - a[fields[0]]);
    status.textContent = `${found.length} images, ${chosen} of them selected; `
      + `shown are ${Math.min(MOST, pictured.length)} of the ${pictured.length} that have a picture in this page.`;
    list.replaceChildren(...pictured.slice(0, MOST).map((row) => {
      const item = document.createElement('li');
      const image = document.createElement('img');
      image.src = brushed[row.image_id];
      image.alt = `Image ${row.image_id}`;
      image.width = 128;
      const words = document.createElement('span');
      words.textContent = `${row.set === 'selection' ? '✓ ' : ''}${row.image_id}: ${row[fields[0]]}, ${row[fields[1]]}`;
      item.append(image, words);
      return item;
    }));
  };

  const brushing = (figure, data, rows, state) => {
    const form = figure.querySelector('.bounds');
    const inputs = ['x0', 'x1', 'y0', 'y1'].map((name) => form.elements[name]);
    const values = () => inputs.map((input) => (input.value === '' ? null : Number(input.value)));
    const refresh = () => show(figure, rows, state.fields, values());
    form.addEventListener('input', refresh);
    form.addEventListener('submit', (event) => event.preventDefault());
    form.addEventListener('reset', () => setTimeout(refresh));
    let waiting = false;
    state.brushed = (value) => {
      const ends = state.fields.flatMap((name) => value[name] || ['', '']);
      const sorted = [0, 2].flatMap((n) => (ends[n] <= ends[n + 1] ? [ends[n], ends[n + 1]] : [ends[n + 1], ends[n]]));
      inputs.forEach((input, n) => { input.value = sorted[n] === '' ? '' : Number(sorted[n]).toFixed(3); });
      if (!waiting) {
        waiting = true;
        requestAnimationFrame(() => { waiting = false; refresh(); });
      }
    };
    state.named = (spec) => {
      form.querySelector('[data-axis=x]').textContent = spec.encoding.x.field.replaceAll('_', ' ');
      form.querySelector('[data-axis=y]').textContent = spec.encoding.y.field;
      form.elements.x1.setAttribute('aria-label', `${spec.encoding.x.field} to`);
      form.elements.y1.setAttribute('aria-label', `${spec.encoding.y.field} to`);
    };
  };

  // What the dot under the pointer is, with its picture where the page has one.
  const previewing = (figure, view) => {
    const preview = figure.querySelector('.preview');
    view.addEventListener('pointermove', (event, item) => {
      const name = item?.datum?.image_id;
      preview.hidden = name === undefined;
      if (preview.hidden) return;
      const image = preview.querySelector('img');
      image.hidden = !Object.hasOwn(brushed, name);
      if (!image.hidden) image.src = brushed[name];
      preview.querySelector('span').textContent = `${item.datum.set}: ${name}`;
      const box = figure.getBoundingClientRect();
      preview.style.left = `${Math.min(event.clientX - box.left + 18, box.width - 160)}px`;
      preview.style.top = `${event.clientY - box.top + 18}px`;
    });
    figure.addEventListener('pointerleave', () => { preview.hidden = true; });
  };

  const prepared = (figure) => {
    const data = read(`chart-${figure.dataset.chart}`);
    const rows = rowsOf(data.points);
    const state = { fields: [], brushed: null, named: null, view: null };
    if (data.brush) brushing(figure, data, rows, state);
    const select = figure.querySelector('select');
    const draw = async () => {
      let spec = data.variants[select ? Number(select.value) : 0].spec;
      if (data.brush) {
        state.fields = [spec.encoding.x.field, spec.encoding.y.field];
        state.named(spec);
      }
      headed(figure, spec.title);
      state.width = figure.clientWidth;
      spec = fitted(spec, state.width);
      if (dark.matches) spec = darkened(spec);
      if (rows) spec = { ...spec, datasets: { ...spec.datasets, points: rows } };
      if (state.view) state.view.finalize();
      const options = { actions: false, renderer: data.renderer, ast: true, tooltip: { theme: dark.matches ? 'dark' : 'light' } };
      const drawn = await vegaEmbed(figure.querySelector('.canvas'), spec, options);
      state.view = drawn;
      // The words beside the chart say what it shows; its marks one by one say nothing more.
      figure.querySelector('.canvas svg')?.setAttribute('aria-hidden', 'true');
      if (data.brush) drawn.view.addSignalListener('brush', (_, value) => state.brushed(value));
      if (data.pictures) previewing(figure, drawn.view);
      figure.dataset.drawn = 'yes';
    };
    if (select) select.addEventListener('change', () => { figure.querySelector('form')?.reset(); draw(); });
    dark.addEventListener('change', draw);
    window.addEventListener('resize', () => {
      clearTimeout(state.waiting);
      state.waiting = setTimeout(() => { if (state.view && figure.clientWidth !== state.width) draw(); }, 150);
    });
    return draw;
  };

  // Dark violet to yellow, as the heat maps of insight; the picture beneath turns grey.
  const RAMP = [[38, 12, 74], [120, 28, 109], [204, 65, 77], [246, 140, 44], [250, 226, 110]];
  const hot = (level) => {
    const place = (level / 255) * (RAMP.length - 1);
    const low = Math.min(RAMP.length - 2, Math.floor(place));
    return RAMP[low].map((each, n) => each + (place - low) * (RAMP[low + 1][n] - each));
  };
  const heated = (button) => {
    const { rows, columns, levels } = button.dataset;
    const canvas = document.createElement('canvas');
    canvas.width = Number(columns);
    canvas.height = Number(rows);
    canvas.setAttribute('aria-hidden', 'true');
    const context = canvas.getContext('2d');
    const drawn = context.createImageData(canvas.width, canvas.height);
    [...atob(levels)].forEach((sign, n) => drawn.data.set([...hot(sign.charCodeAt(0)), 255], 4 * n));
    context.putImageData(drawn, 0, 0);
    return canvas;
  };
  document.querySelectorAll('.look').forEach((button) => button.addEventListener('click', () => {
    const shot = button.parentElement.querySelector('.shot');
    const pressed = button.getAttribute('aria-pressed') !== 'true';
    button.setAttribute('aria-pressed', String(pressed));
    shot.classList.toggle('heated', pressed);
    shot.querySelector('canvas')?.remove();
    if (pressed) shot.querySelector('img').after(heated(button));
  }));

  // One selection's answer, or two side by side, with what they have in common.
  const which = document.querySelector('.which');
  if (which) {
    const shared = JSON.parse(which.dataset.shared);
    const { shown, beside } = which.elements;
    which.addEventListener('change', () => {
      const pair = [shown.value, ...(beside.value && beside.value !== shown.value ? [beside.value] : [])];
      document.querySelectorAll('.answer').forEach((each) => { each.hidden = !pair.includes(each.dataset.selection); });
      document.querySelector('.answers').classList.toggle('two', pair.length > 1);
      which.querySelector('.shared').textContent = pair.length > 1 ? `${shared[pair[0]][pair[1]]} images are in both` : '';
    });
    which.addEventListener('submit', (event) => event.preventDefault());
    which.reset();
  }

  const figures = [...document.querySelectorAll('[data-chart]')].map((figure) => [figure, prepared(figure)]);
  // Drawn when near the screen, so that the page is there at once; all of them before it is printed.
  const near = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
    near.unobserve(entry.target);
    figures.find(([figure]) => figure === entry.target)[1]();
  }), { rootMargin: '800px' });
  figures.forEach(([figure]) => near.observe(figure));
  const drawAll = () => Promise.all(figures.filter(([figure]) => !figure.dataset.drawn).map(([figure, draw]) => {
    near.unobserve(figure);
    return draw();
  }));
  window.thresher = { drawAll };
  window.addEventListener('beforeprint', () => {
    document.querySelectorAll('details').forEach((each) => { each.open = true; });
    drawAll();
  });
})();
