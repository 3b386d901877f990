// SPDX-License-Identifier: Apache-2.0
// The alerts, and one alert: a generatorURL leads to the latter.
import {explained} from './backend.js';
import {clock, element, foreign, link, percent, rate, setClass, setText, sync, tableHead, tableRow} from './dom.js';

const columns = [
  {name: 'alert', title: 'Alert'},
  {name: 'backend', title: 'Backend', class: 'text'},
  {name: 'state', title: 'State', class: 'text'},
  {name: 'since', title: 'Since'},
  {name: 'ratio', title: 'Share'},
  {name: 'sentence', title: 'What', class: 'text'},
];

function makeRow(alert) {
  const row = tableRow(columns);
  row.cells[0].append(link({alert: alert.alert, backend: alert.backend}, foreign(alert.alert)));
  row.cells[1].append(link({backend: alert.backend}, foreign(alert.backend)));
  row.cells[2].append(element('span'));
  return row;
}

function fillRow(row, alert) {
  setClass(row.cells[2].firstChild, `state ${alert.state}`);
  setText(row.cells[2].firstChild, alert.state);
  setText(row.cells[3], since(alert));
  setText(row.cells[4], percent(alert.ratio));
  setText(row.cells[5], alert.sentence);
}

function since(alert) {
  const at = alert.firing_since || alert.active_since;
  return at ? clock(at) : '–';
}

const describe = rule => `${rule.name}: more than ${rule.threshold_percent} % of a backend's responses over ${rule.window_seconds} s are ` +
    `${rule.codes}, for ${rule.for_seconds} s`;

export function alerts() {
  const none = element('p', {class: 'said well'}, 'No alert is pending or firing.');
  const body = element('tbody');
  const table = element('div', {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Table of the alerts'},
      element('table', {}, tableHead(columns), body));
  const rules = element('ul');
  const root = element('div', {}, element('h1', {tabindex: -1}, 'Alerts'), none, table, element('h2', {}, 'Rules'), rules);

  function show(model) {
    none.hidden = model.alerts.length > 0;
    table.hidden = !none.hidden;
    sync(body, model.alerts, one => `${one.alert} ${one.backend}`, makeRow, fillRow);
    sync(rules, model.rules, rule => rule.name, () => element('li'), (node, rule) => setText(node, describe(rule)));
  }
  return {root, title: 'Alerts', show, leave: () => {}};
}

export function alert(name, backend, traefik) {
  const said = element('p', {class: 'said'});
  const rule = element('p', {class: 'quiet'});
  const known = explained();
  const root = element('div', {}, element('h1', {tabindex: -1}, foreign(name)), said, rule, known.root,
      element('p', {}, 'More of ', link(traefik ? {backend, traefik} : {backend}, foreign(backend))));

  function show(model) {
    const one = model.detail?.alerts.find(candidate => candidate.alert === name);
    const what = model.rules.find(candidate => candidate.name === name);
    setClass(said, `said ${one ? one.state : 'notice'}`);
    setText(said, one ? `${one.state}${one.state === 'inactive' ? '' : ` since ${since(one)}`}: ` +
        (one.sentence || `${percent(one.ratio)} of ${rate(one.rate)}`) : 'There is no such alert now.');
    setText(rule, what ? describe(what) : '');
    known.show(model.detail?.explained);
  }
  return {root, title: name, show, leave: () => {}};
}
