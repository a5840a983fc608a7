// Where in the report the reader is: `0/head/7.10`. Kept in the address, except within a notebook,
// whose address is not ours.

const framed = window.location.protocol === 'about:' || window.self !== window.top;
let current = '';
let told = () => {};

export const parse = (route) => route.split('/').map((part) => {
  try { return decodeURIComponent(part).replace(/\p{C}/gu, '·'); } catch { return part; }
});

export const route = (...parts) => parts.map((part) => encodeURIComponent(String(part))).join('/');

export function go(to) {
  if (framed) {
    if (to !== current) { current = to; told(current); }
  } else {
    window.location.hash = `/${to}`;
  }
}

export function start(render) {
  told = render;
  const read = () => { current = window.location.hash.replace(/^#\/?/, ''); told(current); };
  if (!framed) window.addEventListener('hashchange', read);
  document.addEventListener('click', (event) => {
    const link = event.target.closest?.('a[data-route]');
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    go(link.dataset.route);
  });
  if (framed) told(current); else read();
}

export const link = (to) => ({ href: `#/${to}`, 'data-route': to });
