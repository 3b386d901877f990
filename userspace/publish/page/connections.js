// SPDX-License-Identifier: Apache-2.0
// The connections to a backend's servers. The kernel walks over them for whoever asks, so it is asked only while this is open.
import {clock, duration, element, foreign, number, setClass, setText, sync, tableHead, tableRow} from './dom.js';

const columns = [
  {name: 'server', title: 'Server'},
  {name: 'port', title: 'Local port'},
  {name: 'state', title: 'State', class: 'text'},
  {name: 'seconds', title: 'For'},
  {name: '2xx', title: '2xx', class: 'wide'},
  {name: '3xx', title: '3xx', class: 'wide'},
  {name: '4xx', title: '4xx'},
  {name: '5xx', title: '5xx'},
  {name: 'age', title: 'Age', class: 'wide'},
];
const atOnce = 100;  // rows that are added together: more would hold the page up

function makeRow(socket) {
  const row = tableRow(columns);
  row.cells[0].append(foreign(socket.server));
  row.cells[2].append(element('span'));
  return row;
}

function fillRow(row, socket) {
  const cells = row.cells;
  setText(cells[1], String(socket.local_port));
  setText(cells[2].firstChild, socket.state);
  setClass(cells[2].firstChild, `state ${socket.state}`);
  setText(cells[3], duration(socket.seconds));
  ['2xx', '3xx', '4xx', '5xx'].forEach((name, index) => setText(cells[4 + index], number(socket.responses[name])));
  setText(cells[8], `${socket.joined ? '> ' : ''}${duration(socket.age_seconds)}`);
}

function summary({at, total, states, left_out: hidden, complete}) {
  const parts = Object.entries(states).sort().map(([state, count]) => `${number(count)} ${state}`);
  return `${number(total)} connection${total === 1 ? '' : 's'}${parts.length ? `: ${parts.join(', ')}` : ''}, at ${clock(at)}` +
      (hidden ? `; the table has the worst ${number(total - hidden)}` : '') + (complete ? '' : '; there are more than were looked at');
}

/// `opened` is called when a person opens or closes it.
export function connections(opened) {
  const said = element('p', {class: 'quiet', role: 'status'});
  const body = element('tbody');
  const table = element('div', {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Table of the connections', hidden: true},
      element('table', {}, element('caption', {}, 'Most 5xx first, then most 4xx, then the longest wait.'), tableHead(columns), body));
  const more = element('button', {type: 'button', class: 'plain', hidden: true, click: () => { most += atOnce; show(shown); }},
      `Show ${atOnce} more`);
  const root = element('details', {toggle}, element('summary', {}, element('h2', {}, 'Connections')), said, table, more);
  let most = atOnce;
  let shown = null;

  function toggle() {
    if (root.open && !shown) setText(said, 'The kernel is asked.');
    opened();
  }
  function show(sockets) {
    if (!root.open || !sockets) return;
    // Told to a screen reader when it opens; later only to who goes there.
    if (shown) said.setAttribute('aria-live', 'off');
    shown = sockets;
    const {problem, hint, sockets: all} = sockets;
    setText(said, problem ? `Not to be seen: ${problem}${hint ? ` (${hint})` : ''}` : summary(sockets));
    table.hidden = !all.length;
    more.hidden = all.length <= most;
    sync(body, all.slice(0, most), one => one.key, makeRow, fillRow);
  }
  return {root, show};
}
