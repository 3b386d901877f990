// SPDX-License-Identifier: Apache-2.0
// One backend: what is the matter, its ratio against the threshold, its codes over time, its servers side by side.
import {chart, colors, line} from './charts.js';
import {connections} from './connections.js';
import {clock, element, foreign, number, percent, rate, setClass, setText, sync, tableHead, tableRow} from './dom.js';
import {areas, latest} from './overview.js';

const columns = [
  {name: 'server', title: 'Server'},
  {name: 'up', title: 'Traefik says', class: 'text'},
  {name: 'codes', title: 'Codes in the window', class: 'text'},
  {name: 'bad', title: '4xx and 5xx'},
  {name: 'outstanding', title: 'Waiting'},
  {name: 'connects', title: 'Connects', class: 'wide'},
  {name: 'failures', title: 'Connects failed'},
  {name: 'unanswered', title: 'Unanswered'},
  {name: 'unread', title: 'Unread', class: 'wide'},
];
const fewServers = 100;

function makeServer(server) {
  const row = tableRow(columns);
  row.cells[0].append(foreign(server.label));
  row.cells[1].append(element('span'));
  return row;
}

function fillServer(row, server) {
  const cells = row.cells;
  setText(cells[1].firstChild, server.up ? 'up' : 'down');
  setClass(cells[1].firstChild, `state ${server.up ? 'up' : 'down'}`);
  const codes = Object.entries(server.codes).sort().map(([code, count]) => `${code}: ${number(count)}`);
  setText(cells[2], codes.join(', ') || (server.known ? 'none' : 'no request yet'));
  const all = Object.values(server.classes).reduce((sum, count) => sum + count, 0);
  setText(cells[3], all ? percent(server.bad / all) : '–');
  [server.outstanding, server.connects, server.failures, server.unanswered, server.unread]
      .forEach((count, index) => setText(cells[4 + index], number(count)));
}

/// The share of 4xx over time beside each rule's threshold.
function ratioLines(model) {
  const {history, rules} = {history: model.detail.history, rules: model.rules};
  const names = Object.keys(history.rates);
  const points = history.at.map((x, index) => {
    const all = names.reduce((sum, name) => sum + history.rates[name][index], 0);
    return {x, y: all ? 100 * (history.rates['4xx'] ? history.rates['4xx'][index] : 0) / all : null};
  });
  const ends = history.at.length ? [history.at[0], history.at.at(-1)] : [];
  const thresholds = [...new Set(rules.map(rule => rule.threshold_percent))].map(y =>
      ({...line(`threshold ${y} %`, ends.map(x => ({x, y})), colors().threshold), borderDash: [6, 4], borderWidth: 1}));
  return [line('4xx of all', points, colors().ratio), ...thresholds];
}

function fillSaid(list, model) {
  const {detail} = model;
  const said = detail.outage ? [{key: 'outage', kind: 'outage', text: detail.outage}] : [];
  for (const alert of detail.alerts.filter(one => one.state !== 'inactive')) {
    said.push({key: alert.alert, kind: alert.state, text: alert.sentence});
  }
  if (!said.length) said.push({key: 'well', kind: 'well', text: 'No alert is pending or firing.'});
  sync(list, said, one => one.key, () => element('p', {class: 'said'}),
       (node, one) => { setClass(node, `said ${one.kind}`); setText(node, one.text); });
}

/// What `upstat explain` says: the sentence, the facts behind it, and what to do next.
export function explained() {
  const sentence = element('p');
  const facts = element('ul');
  const next = element('ul');
  const root = element('section', {class: 'panel', hidden: true}, element('h2', {}, 'What is known'), sentence, facts,
      element('h2', {}, 'What to do'), next);
  const makeStep = step => element('li', {}, element('span', {}), step.command ? element('pre', {tabindex: 0}, element('code')) : '');
  function fillStep(node, step) {
    setText(node.firstChild, step.text);
    if (step.command) setText(node.lastChild.firstChild, step.command);
  }
  function show(report) {
    root.hidden = !report;
    if (!report) return;
    setText(sentence, report.sentence);
    sync(facts, report.facts, one => one.topic + one.text, () => element('li'), (node, one) => setText(node, one.text));
    sync(next, report.next, one => one.text + one.command, makeStep, fillStep);
    next.previousSibling.hidden = !report.next.length;
  }
  return {root, show};
}

function fillEvents(list, events) {
  sync(list, events, one => `${one.time} ${one.what} ${one.text}`,
       one => element('li', {}, element('time', {datetime: one.at}, clock(one.at)), ' ', foreign(one.text)), () => {});
}

function serversTable() {
  const body = element('tbody');
  const more = element('button', {type: 'button', class: 'plain', click: () => { all = true; show(rows); }});
  const root = element('section', {}, element('h2', {}, 'Servers'),
      element('div', {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Table of the servers'},
          element('table', {}, element('caption', {}, 'The worst first. Counts but those of the window are since counting began.'),
              tableHead(columns), body)), more);
  let all = false;
  let rows = [];
  function show(next) {
    rows = next;
    sync(body, all ? rows : rows.slice(0, fewServers), one => `${one.label} ${one.url}`, makeServer, fillServer);
    more.hidden = all || rows.length <= fewServers;
    setText(more, `Show all ${rows.length} servers`);
  }
  return {root, show};
}

/// `ask` asks for what is shown now.
export function backend(name, ask) {
  const figures = element('p', {class: 'quiet'});
  const said = element('div');
  const ratio = chart('Share of 4xx', ' %');
  const codes = chart('Responses a second, by class', '', true);
  const known = explained();
  const servers = serversTable();
  const sockets = connections(ask);
  const events = element('ul', {class: 'events', tabindex: 0, 'aria-label': 'Events'});
  const body = element('div', {}, said, figures, element('div', {class: 'panels'}, ratio.panel, codes.panel), known.root,
      servers.root, sockets.root, element('section', {}, element('h2', {}, 'Events'), events));
  const gone = element('p', {class: 'said notice', hidden: true}, 'No backend of this name is known.');
  const root = element('div', {}, element('h1', {tabindex: -1}, foreign(name)), gone, body);

  function show(model) {
    const {detail} = model;
    gone.hidden = Boolean(detail);
    body.hidden = !detail;
    if (!detail) return;
    fillSaid(said, model);
    setText(figures, `4xx ${percent(detail.ratio)} of ${rate(detail.rate)}; ${number(detail.requests)} responses in all; ` +
        `${detail.provider || 'static'}; dashed marks in the charts are events`);
    const at = detail.events.map(event => event.time * 1000);
    if (detail.history) {
      ratio.show(ratioLines(model), `now ${percent(detail.ratio)}`, at);
      codes.show(areas(detail.history), latest(detail.history), at);
    }
    known.show(detail.explained);
    servers.show(detail.rows);
    sockets.show(detail.sockets);
    fillEvents(events, detail.events);
  }
  return {root, title: name, show, showsSockets: () => sockets.root.open, leave: () => { ratio.destroy(); codes.destroy(); }};
}
