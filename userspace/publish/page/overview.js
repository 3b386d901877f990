// SPDX-License-Identifier: Apache-2.0
// All backends: what is wrong first, then a table, then what the host's servers give.
import {chart, colors, line, stack} from './charts.js';
import {element, foreign, link, markSorted, number, percent, rate, setClass, setText, sync, tableHead, tableRow} from './dom.js';

const severity = {outage: 3, firing: 2, pending: 1, inactive: 0};
const columns = [
  {name: 'name', title: 'Backend', of: one => one.name},
  {name: 'state', title: 'State', class: 'text', of: one => severity[one.state] * 2 + (one.ratio || 0)},
  {name: 'ratio', title: '4xx', of: one => one.ratio || 0},
  {name: 'line', title: '4xx, last minutes', class: 'wide', of: one => one.ratio || 0},
  {name: 'rate', title: 'Responses', of: one => one.rate || 0},
  {name: '4xx', title: '4xx in all', class: 'wide', of: one => one.classes['4xx'] || 0},
  {name: '5xx', title: '5xx in all', class: 'wide', of: one => one.classes['5xx'] || 0},
  {name: 'servers', title: 'Servers', class: 'wide', of: one => one.servers},
];

/// A small line: no library draws five hundred of them fast.
const sparkline = () => document.getElementById('line').content.firstElementChild.cloneNode(true);

function drawLine(svg, shares) {
  const most = Math.max(0.05, ...shares.map(share => share || 0));
  const points = shares.map((share, index) => share === null ? null : `${(100 * (index + 1) / shares.length).toFixed(1)},${(19 - 18 * share / most).toFixed(1)}`);
  let path = '';
  points.forEach((point, index) => { if (point) path += `${index && points[index - 1] ? 'L' : 'M'}${point}`; });
  if (svg.firstChild.getAttribute('d') !== path) svg.firstChild.setAttribute('d', path);
}

function makeRow(backend) {
  const row = tableRow(columns);
  const [name, state, ratio, line] = row.cells;
  name.append(link({backend: backend.name}, foreign(backend.name)));
  state.append(element('span', {class: 'state'}));
  ratio.append(element('span'), element('span', {class: 'bar', 'aria-hidden': 'true'}, element('span')));
  line.append(sparkline());
  return row;
}

function fillRow(row, backend, threshold) {
  const [, state, ratio, line, pace, client, server, servers] = row.cells;
  setClass(state.firstChild, `state ${backend.state}`);
  setText(state.firstChild, backend.state);
  setText(ratio.firstChild, percent(backend.ratio));
  setClass(ratio.lastChild, backend.ratio > threshold ? 'bar over' : 'bar');
  ratio.lastChild.firstChild.style.width = `${Math.min(100, 50 * (backend.ratio || 0) / threshold)}%`;
  drawLine(line.firstChild, backend.shares || []);
  setText(pace, rate(backend.rate));
  setText(client, number(backend.classes['4xx'] || 0));
  setText(server, number(backend.classes['5xx'] || 0));
  setText(servers, backend.down ? `${backend.servers}, ${backend.down} down` : String(backend.servers));
}

/// What is wrong now, worst first; a sentence each.
export function troubles(model) {
  const notice = model.status.notice;
  const out = notice ? [{key: 'notice', kind: 'notice', query: {page: 'status'}, title: 'Ready, but', text: notice}] : [];
  out.push(...model.backends.filter(one => one.outage)
      .map(one => ({key: `outage ${one.name}`, kind: 'outage', query: {backend: one.name}, title: one.name, text: one.outage})));
  for (const alert of [...model.alerts].sort((one, other) => severity[other.state] - severity[one.state])) {
    out.push({key: `${alert.alert} ${alert.backend}`, kind: alert.state, query: {alert: alert.alert, backend: alert.backend},
              title: `${alert.alert} ${alert.state}, ${alert.backend}`, text: alert.explanation || alert.sentence});
  }
  return out;
}

const shownTroubles = 20;
const rowsAtOnce = 100;  // added in one frame: more would hold the page up

export function fillTroubles(list, model) {
  const all = troubles(model);
  const shown = all.slice(0, shownTroubles);
  if (all.length > shown.length) {
    shown.push({key: 'more', kind: 'notice', query: {page: 'alerts'}, title: 'Alerts', text: `and ${all.length - shown.length} more`});
  }
  if (!all.length) shown.push({key: 'well', kind: 'well', text: model.status.ready ? 'No alert is pending or firing.' : model.status.not_ready});
  sync(list, shown, one => one.key,
       one => element('p', {}, one.query ? link(one.query, foreign(one.title)) : '', element('span')),
       (node, one) => {
         setClass(node, `said ${one.kind}`);
         setText(node.lastChild, one.query ? `: ${one.text}` : one.text);
       });
}

/// Areas of responses a second by class, for a chart.
export const areas = past => stack(Object.keys(past.rates).sort().map(name => line(name,
    past.rates[name].map((y, index) => ({x: past.at[index], y})), colors()[name] || colors().other)));

export function latest(past) {
  const parts = Object.keys(past.rates).sort().map(name => `${name} ${rate(past.rates[name].at(-1))}`);
  return parts.length ? `now ${parts.join(', ')}` : 'no responses yet';
}

export function overview() {
  const sorted = {column: 'state', descending: true};
  let filter = '';
  let model = null;
  let most = rowsAtOnce;
  let frame = 0;
  const said = element('div');
  const search = element('input', {type: 'search', id: 'filter', input: () => { filter = search.value.toLowerCase(); show(model); }});
  const count = element('span');
  const head = tableHead(columns, sorted, by);
  const body = element('tbody');
  const codes = chart('Responses a second, by class', '', true);
  const root = element('div', {}, element('h1', {tabindex: -1}, 'Backends'), said,
      element('div', {class: 'panels'}, codes.panel),
      element('p', {class: 'tools'}, element('label', {for: 'filter'}, 'Filter'), search, count),
      element('div', {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Table of the backends'},
          element('table', {}, element('caption', {}, 'The bar is half full at the threshold of the first rule.'), head, body)));

  function by(column) {
    sorted.descending = sorted.column === column ? !sorted.descending : column !== 'name';
    sorted.column = column;
    markSorted(head.rows[0], sorted);
    show(model);
  }
  function rows() {
    const {of} = columns.find(column => column.name === sorted.column);
    const sign = sorted.descending ? -1 : 1;
    const order = (one, other) => of(one) < of(other) ? -sign : of(one) > of(other) ? sign : one.name < other.name ? -1 : 1;
    return model.backends.filter(one => one.name.toLowerCase().includes(filter)).sort(order);
  }
  function show(next) {
    model = next;
    if (!model) return;
    const threshold = (model.rules[0]?.threshold_percent || 5) / 100;
    fillTroubles(said, model);
    const all = rows();
    const shown = all.slice(0, most);
    if (all.length > most) frame = requestAnimationFrame(() => { most += rowsAtOnce; show(model); });
    sync(body, shown, one => one.name, makeRow, (row, one) => fillRow(row, one, threshold));
    setText(count, `${all.length} of ${model.backends.length} backends`);
    if (model.history) codes.show(areas(model.history), latest(model.history));
  }
  function leave() {
    cancelAnimationFrame(frame);
    codes.destroy();
  }
  return {root, title: 'Backends', show, leave};
}
