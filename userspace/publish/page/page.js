// SPDX-License-Identifier: Apache-2.0
// The page: which view the address asks for, and whether what it shows is alive.
import {alert, alerts} from './alerts.js';
import {backend} from './backend.js';
import {clock, setClass, setText} from './dom.js';
import {overview} from './overview.js';
import {status} from './status.js';

const stale = 30000;  // ms without news from the agent's loop
const main = document.getElementById('main');
const live = document.getElementById('live');
const worker = new Worker('data.js');
let view = null;
let model = null;
let newsAt = performance.now();
let failure = '';

const query = () => Object.fromEntries(new URLSearchParams(location.search));

function viewOf({page, alert: name, backend: of, traefik}) {
  if (name && of) return alert(name, of, traefik);
  if (of) return backend(of, ask);
  return {alerts, status}[page]?.() || overview();
}

function route(focus) {
  const asked = query();
  if (view) view.leave();
  view = viewOf(asked);
  main.replaceChildren(view.root);
  document.title = `${view.title} – upstat`;
  const page = asked.alert ? 'alerts' : asked.page || 'overview';
  for (const one of document.querySelectorAll('nav a')) {
    if (one.dataset.page === page) one.setAttribute('aria-current', 'page');
    else one.removeAttribute('aria-current');
  }
  if (focus) view.root.querySelector('h1').focus();
  ask();
  if (model && !asked.backend) view.show(model);
}

/// Asks the worker for what the view shows.
function ask() {
  const {backend: of, traefik} = query();
  worker.postMessage({backend: of, traefik, sockets: Boolean(view.showsSockets?.())});
}

function showLife() {
  const silent = performance.now() - newsAt;
  setClass(live, failure || silent > stale ? 'bad' : '');
  const since = model ? `; what is shown is of ${clock(model.at)}` : '';
  if (failure) setText(live, `upstat does not answer${since}`);
  else if (silent > stale) setText(live, `stale: upstat has not polled for ${Math.round(silent / 1000)} s${since}`);
  else setText(live, model ? `live, ${clock(model.at)}` : 'connecting');
}

worker.onmessage = ({data}) => {
  failure = data.failure || '';
  if (data.model) {
    if (!model || model.at !== data.model.at) newsAt = performance.now();
    model = data.model;
    if ((model.detail?.asked) === query().backend || !model.detail) view.show(model);
  }
  showLife();
};

document.addEventListener('click', event => {
  const anchor = event.target.closest?.('a');
  const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!anchor || !plain || anchor.origin !== location.origin || anchor.pathname !== location.pathname || anchor.hash) return;
  event.preventDefault();
  history.pushState(null, '', anchor.href);
  route(true);
});
addEventListener('popstate', () => route(true));
setInterval(showLife, 1000);
route(false);
