// SPDX-License-Identifier: Apache-2.0
// How upstat itself is.
import {clock, element, foreign, number, setText, sync} from './dom.js';

function facts(status) {
  const {results} = status;
  const tries = (name, one) => [name, `${number(one.success)} succeeded, ${number(one.failure)} failed` +
      (one.failure && one.last_error ? `; last: ${one.last_error}` : '')];
  return [
    ['Version', Object.values(status.build).join(', ')],
    ['Ready', status.ready ? 'yes' : status.not_ready],
    ['Last poll', status.last_poll ? `${clock(status.last_poll)}, took ${(status.poll_seconds * 1000).toFixed(1)} ms` : 'none yet'],
    tries('Polls', results.polls), tries('Traefik\'s API', results.traefik_api), tries('Pushes', results.push),
    tries('Alertmanager', results.alertmanager), tries('Name look-ups', results.name_lookups),
    ...Object.entries(status.unresolved_names).map(([name, why]) => [`Name ${name}`, why]),
    ...status.maps.map(map => [`Map ${map.map}`, `${number(map.entries)} of ${number(map.capacity)} in use`]),
    ...Object.entries(status.kernel_errors).filter(([, count]) => count).map(([place, count]) => [`Kernel: ${place}`, number(count)]),
    ['Configuration', status.config_reloaded ? 'as the file says' : 'the file has a mistake: the settings before it are in force'],
  ];
}

const traefikText = one => `pid ${one.pid}, ${one.cgroup}` + (one.version ? `, version ${one.version}` : '') +
    (one.api ? `, API ${one.api}` : ', no API') + (one.attached ? ', counted' : ', not counted') + (one.problem ? `: ${one.problem}` : '');

export function status() {
  const traefiks = element('ul');
  const list = element('dl');
  const root = element('div', {}, element('h1', {tabindex: -1}, 'Status'), element('h2', {}, 'Traefiks'), traefiks,
      element('h2', {}, 'Agent'), list, element('h2', {}, 'For programs'),
      element('ul', {}, ...['metrics', 'api/v1/backends', 'api/v1/alerts', 'api/v1/explain', 'api/v1/history', 'api/v1/events',
                           'api/v1/sockets', 'api/v1/status']
          .map(path => element('li', {}, element('a', {href: path}, `/${path}`)))));

  function show(model) {
    sync(traefiks, model.status.traefiks, one => one.pid, () => element('li', {}, foreign('')),
         (node, one) => setText(node.firstChild, traefikText(one)));
    const rows = facts(model.status).flatMap(([name, value]) => [{tag: 'dt', key: name, text: name}, {tag: 'dd', key: `${name} value`, text: value}]);
    sync(list, rows, row => row.key, row => element(row.tag), (node, row) => setText(node, row.text));
  }
  return {root, title: 'Status', show, leave: () => {}};
}
