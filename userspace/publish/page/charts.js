// SPDX-License-Identifier: Apache-2.0
// The charts, by Chart.js. A chart is an image to a screen reader: its label says what is in it, and the tables beside
// it have the numbers.
import {element} from './dom.js';

const dark = matchMedia('(prefers-color-scheme: dark)');
const light = {text: '#57606a', line: '#d5d9e0', '1xx': '#8250df', '2xx': '#2da44e', '3xx': '#0969da', '4xx': '#bf8700', '5xx': '#cf222e',
               other: '#57606a', ratio: '#0a58ca', threshold: '#b3121d', event: '#8250df'};
const night = {...light, text: '#a3adba', line: '#363c47', '2xx': '#3fb950', '3xx': '#58a6ff', '4xx': '#e3b341', '5xx': '#ff7b72',
               other: '#a3adba', ratio: '#7cb0ff', threshold: '#ff9a9f', event: '#d2a8ff'};
export const colors = () => dark.matches ? night : light;

const time = at => new Date(at).toLocaleTimeString('en-GB', {hour: '2-digit', minute: '2-digit', second: '2-digit'});

/// Events as marks: a dashed line where each happened.
const marks = {
  id: 'marks',
  afterDatasetsDraw(chart) {
    const {ctx, chartArea, scales, options} = chart;
    ctx.save();
    ctx.strokeStyle = colors().event;
    ctx.setLineDash([4, 3]);
    for (const at of options.plugins.marks.at) {
      const x = scales.x.getPixelForValue(at);
      if (x < chartArea.left || x > chartArea.right) continue;
      ctx.beginPath();
      ctx.moveTo(x, chartArea.top);
      ctx.lineTo(x, chartArea.bottom);
      ctx.stroke();
    }
    ctx.restore();
  },
};

/// A point between two that say nothing is on no line: it is drawn as a dot.
const has = point => point !== undefined && point.y !== null;
const radius = ({dataset, dataIndex}) => has(dataset.data[dataIndex - 1]) || has(dataset.data[dataIndex + 1]) ? 0 : 2;

function options(unit, stacked) {
  const now = colors();
  return {
    animation: false, responsive: true, maintainAspectRatio: false, parsing: false, normalized: true,
    interaction: {mode: 'index', intersect: false},
    elements: {point: {radius, hitRadius: 6}, line: {borderWidth: 2}},
    scales: {
      x: {type: 'linear', grid: {color: now.line}, ticks: {color: now.text, maxTicksLimit: 6, maxRotation: 0, callback: time}},
      y: {beginAtZero: true, stacked, grid: {color: now.line}, ticks: {color: now.text, callback: value => `${value}${unit}`}},
    },
    plugins: {
      marks: {at: []},
      legend: {labels: {color: now.text, boxWidth: 12}},
      tooltip: {callbacks: {title: items => items.length ? time(items[0].parsed.x) : ''}},
    },
  };
}

/// A chart in a panel: `show(datasets, label, events)` draws anew what has changed.
export function chart(title, unit, stacked = false) {
  const canvas = element('canvas', {role: 'img', 'aria-label': title});
  const panel = element('section', {class: 'panel'}, element('h2', {}, title), element('div', {class: 'chart'}, canvas));
  let drawn = null;
  function show(datasets, label, events = []) {
    canvas.setAttribute('aria-label', `${title}: ${label}`);
    if (!drawn) drawn = new Chart(canvas, {type: 'line', data: {datasets: []}, options: options(unit, stacked), plugins: [marks]});
    drawn.data.datasets = datasets;
    const points = datasets[0]?.data || [];
    Object.assign(drawn.options.scales.x, {min: points[0]?.x, max: points.at(-1)?.x});
    drawn.options.plugins.marks.at = events;
    drawn.update('none');
  }
  function recolor() {
    if (drawn) drawn.options = {...options(unit, stacked)};
  }
  dark.addEventListener('change', recolor);
  function destroy() {
    dark.removeEventListener('change', recolor);
    if (drawn) drawn.destroy();
  }
  return {panel, show, destroy};
}

/// A line of a chart. `points` are [{x: ms since 1970, y}].
export const line = (label, points, color) => ({label, data: points, borderColor: color, backgroundColor: color, tension: 0});

/// Areas that stand on each other, from lines.
export const stack = lines => lines.map((one, index) =>
    ({...one, backgroundColor: one.borderColor + 'b0', fill: index ? '-1' : 'origin', borderWidth: 1}));
