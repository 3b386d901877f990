// SPDX-License-Identifier: Apache-2.0
// Elements. Whatever text comes from outside goes in as text, never as markup.

/// An element with attributes (a function is a listener) and children (a string is text).
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') made.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? '' : value);
  }
  made.append(...children);
  return made;
}

/// A name that somebody else chose: its direction stays its own, and what would turn or hide text is shown as what it is.
export const foreign = text => element('bdi', {}, plain(text));
export const plain = text => text.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g,
    sign => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`);

/// Touches the document only where something has changed, so that a screen reader is not told the same again.
export function setText(node, text) {
  const shown = plain(text);
  if (node.textContent !== shown) node.textContent = shown;
}

export function setClass(node, name) {
  if (node.className !== name) node.className = name;
}

/// Makes the children of `parent` those of `items`, in their order; one that stays keeps its element, and with it the
/// focus and the selection.
export function sync(parent, items, key, make, fill) {
  const before = parent.kept || new Map();
  const after = new Map();
  let place = parent.firstElementChild;
  for (const item of items) {
    const node = before.get(key(item)) || make(item);
    fill(node, item);
    after.set(key(item), node);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
  for (const [name, node] of before) if (!after.has(name)) node.remove();
  parent.kept = after;
}

/// A table's head. `sorted` is {column, descending}; `sort` is called with a column's name.
export function tableHead(columns, sorted, sort) {
  const row = element('tr');
  for (const column of columns) {
    const label = sort ? element('button', {type: 'button', click: () => sort(column.name)}, column.title) : column.title;
    row.append(element('th', {scope: 'col', class: column.class, 'data-column': column.name}, label));
  }
  if (sort) markSorted(row, sorted);
  return element('thead', {}, row);
}

export function markSorted(row, sorted) {
  for (const cell of row.cells) {
    const direction = sorted.descending ? 'descending' : 'ascending';
    if (cell.dataset.column === sorted.column) cell.setAttribute('aria-sort', direction);
    else cell.removeAttribute('aria-sort');
  }
}

/// A row of a table: the first cell heads it.
export function tableRow(columns) {
  const row = element('tr');
  columns.forEach((column, index) => row.append(
      element(index === 0 ? 'th' : 'td', {class: column.class, scope: index === 0 ? 'row' : null})));
  return row;
}

export const percent = ratio => ratio === null || ratio === undefined ? '–' : `${(ratio * 100).toFixed(2)} %`;
export const number = value => value === null || value === undefined ? '–' : value.toLocaleString('en');
export const rate = value => value === null || value === undefined ? '–' : `${value.toFixed(1)}/s`;
export const clock = text => new Date(text).toLocaleTimeString('en-GB');
/// "0.2 s", "12 s", "3 m 05 s", "2 h 07 m", "3 d 04 h", in one line.
export function duration(seconds) {
  const whole = Math.floor(seconds);
  const two = (large, first, small, second) =>
      `${Math.floor(whole / large)}\u00a0${first}\u00a0${String(Math.floor(whole % large / small)).padStart(2, '0')}\u00a0${second}`;
  if (whole < 60) return `${whole < 10 ? seconds.toFixed(1) : whole}\u00a0s`;
  if (whole < 3600) return two(60, 'm', 1, 's');
  return whole < 86400 ? two(3600, 'h', 60, 'm') : two(86400, 'd', 3600, 'h');
}

export const link = (query, ...children) => element('a', {href: '?' + new URLSearchParams(query)}, ...children);
