// SPDX-License-Identifier: Apache-2.0
// Asks the agent and says what the page shows. A worker: thousands of servers are read here, so that the page stays fluid.
'use strict';

const every = 5000;            // ms between two looks
const patience = 15000;        // ms that one request may take
let wanted = {};               // {backend, traefik, sockets}: which one is shown in detail, and whether with its connections
let turn = 0;

async function ask(path) {
  const response = await fetch(path, {cache: 'no-store', signal: AbortSignal.timeout(patience)});
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

const optional = path => ask(path).catch(() => null);

function classes(codes) {
  const sums = {};
  for (const [code, count] of Object.entries(codes)) {
    const name = `${code[0]}xx`;
    sums[name] = (sums[name] || 0) + count;
  }
  return sums;
}

const severity = {firing: 2, pending: 1, inactive: 0};

/// The worst state of a backend's alerts; an outage is worse than any.
function state(backend) {
  if (backend.outage) return 'outage';
  const states = Object.values(backend.alerts).map(alert => alert.state);
  return states.reduce((worst, one) => severity[one] > severity[worst] ? one : worst, 'inactive');
}

function summary(name, backend) {
  return {name, state: state(backend), outage: backend.outage, ratio: backend.ratio, rate: backend.rate,
          requests: backend.requests, classes: classes(backend.codes), provider: backend.provider,
          servers: backend.listed.reduce((sum, one) => sum + Math.max(one.servers.length, 1), 0),
          down: backend.listed.filter(one => !one.up).length};
}

/// A backend's servers, side by side, the worst first.
function servers(backend, all) {
  const rows = [];
  for (const one of backend.listed) {
    for (const label of one.servers.length ? one.servers : [one.url]) {
      const counted = all[label];
      const window = counted ? counted.window.codes : {};
      const sums = classes(window);
      rows.push({label, url: one.url, up: one.up, codes: window, classes: sums, known: Boolean(counted),
                 bad: (sums['4xx'] || 0) + (sums['5xx'] || 0), outstanding: counted?.outstanding ?? 0,
                 connects: counted?.connects ?? 0, failures: total(counted?.connect_failures),
                 unanswered: total(counted?.unanswered), unread: total(counted?.unread),
                 seconds: counted?.window.seconds ?? 0});
    }
  }
  return rows.sort((one, other) => other.bad - one.bad || one.label.localeCompare(other.label));
}

const total = counts => Object.values(counts || {}).reduce((sum, count) => sum + count, 0);

const inClass = name => /^[1-9]xx$/.test(name);

/// What a chart shows of a series: per column its end and seconds, and responses a second by class.
function pastOf(history, series) {
  const {begin, end} = history.columns;
  const seconds = end.map((at, index) => at - begin[index]);
  const rates = {};
  for (const [name, counts] of Object.entries(series)) {
    if (inClass(name)) rates[name] = counts.map((count, index) => seconds[index] > 0 ? count / seconds[index] : 0);
  }
  return {at: end.map(at => at * 1000), rates, lost: lost(series, seconds)};
}

/// Requests and connections that came to nothing, a second.
function lost(series, seconds) {
  const rows = Object.entries(series).filter(([name]) => /^(unanswered|connect_failures)\./.test(name)).map(([, counts]) => counts);
  return seconds.map((one, index) => one > 0 ? rows.reduce((sum, counts) => sum + counts[index], 0) / one : 0);
}

/// The share of 4xx in each column, for the line in a row of the table.
function shares(series) {
  const names = Object.keys(series).filter(inClass);
  if (!names.length) return [];
  return series[names[0]].map((_, index) => {
    const all = names.reduce((sum, name) => sum + series[name][index], 0);
    return all ? (series['4xx'] ? series['4xx'][index] : 0) / all : null;
  });
}

/// The past of all backends together, and of each one its line.
function addPast(model, history) {
  if (!history) return;
  const sums = {};
  for (const series of Object.values(history.backends)) {
    for (const [name, counts] of Object.entries(series)) {
      if (inClass(name)) sums[name] = counts.map((count, index) => count + (sums[name] ? sums[name][index] : 0));
    }
  }
  model.history = pastOf(history, sums);
  for (const backend of model.backends) backend.shares = shares(history.backends[backend.name] || {});
}

/// A backend's connections, each with a key of its own: a server may have two from one port of different addresses.
async function connections(query) {
  const reply = await ask(`api/v1/sockets?${query}`).catch(failure => ({problem: failure.message, hint: '', sockets: []}));
  const seen = {};
  for (const one of reply.sockets) {
    const name = `${one.server} ${one.local_port}`;
    seen[name] = (seen[name] || 0) + 1;
    one.key = `${name} ${seen[name]}`;
  }
  return reply;
}

/// What the agent calls a backend of a Traefik: its name, and whose it is where several have one of that name.
const called = (backends, {backend, traefik}) =>
    backend in backends || !traefik ? backend : `${backend} of ${traefik}`;

async function look() {
  const mine = ++turn;
  try {
    const [backends, alerts, status] =
        await Promise.all([ask('api/v1/backends'), ask('api/v1/alerts'), ask('api/v1/status')]);
    const model = {at: backends.at, status, rules: alerts.rules,
                   alerts: alerts.alerts.filter(alert => alert.state !== 'inactive'),
                   backends: Object.entries(backends.backends).map(([name, one]) => summary(name, one))};
    const of = called(backends.backends, wanted);
    const shown = backends.backends[of];
    if (shown) {
      const name = encodeURIComponent(of);
      const [history, events, explained, sockets] = await Promise.all([
        ...['history', 'events', 'explain'].map(page => optional(`api/v1/${page}?backend=${name}`)),
        wanted.sockets ? connections(`backend=${name}`) : null]);
      model.detail = {...summary(of, shown), asked: wanted.backend, rows: servers(shown, backends.servers), explained, sockets,
                      history: history && pastOf(history, history.series), events: events ? events.events : [],
                      alerts: alerts.alerts.filter(alert => alert.backend === of)};
    } else {
      addPast(model, await optional('api/v1/history'));
    }
    if (mine === turn) postMessage({model});
  } catch (failure) {
    if (mine === turn) postMessage({failure: String(failure.message || failure)});
  }
}

async function lookAgain() {
  setTimeout(lookAgain, every);
  await look();
}

onmessage = ({data}) => {
  wanted = data;
  look();
};
lookAgain();
