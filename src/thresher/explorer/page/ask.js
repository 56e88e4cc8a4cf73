// Questions to the server. Every answer is data; nothing of it is ever read as HTML.
export const failure = document.getElementById('problem');

const answered = async (response) => {
  if (response.ok) return response;
  let words = `${response.status} ${response.statusText}`;
  if ((response.headers.get('content-type') || '').includes('json')) words = (await response.json()).error;
  throw new Error(words);
};

export const get = async (path) => (await answered(await fetch(path))).json();

export const post = async (path, content) => answered(await fetch(path, {
  method: 'POST',
  headers: { 'content-type': 'application/json', 'x-thresher': '1' },
  body: JSON.stringify(content),
}));

export const sendFile = async (path, file) => answered(await fetch(path, { method: 'POST', headers: { 'x-thresher': '1' }, body: file }));

export const points = async () => (await answered(await fetch('api/points'))).arrayBuffer();

export const complain = (error) => {
  failure.textContent = error ? error.message : '';
  failure.hidden = !error;
};

export const make = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in made) made[name] = value; else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
};
