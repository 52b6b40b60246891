/** Style and script of a sweep's report. The script makes every element itself and sets text as text. */

export const REPORT_STYLE = `
:root { --paper: #fbfaf7; --ink: #1d1b18; --soft: #6b665e; --line: #ddd8ce; --card: #fff; --mark: #b3372b; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #16171a; --ink: #e9e6df; --soft: #9d988e; --line: #34363b; --card: #1e2024; --mark: #e07a6e; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.55 system-ui, "Noto Sans CJK SC", "PingFang SC", sans-serif; }
#page { max-width: 1200px; margin: 0 auto; padding: 20px 16px 60px; }
header { display: flex; flex-wrap: wrap; gap: 8px 16px; align-items: baseline; justify-content: space-between; }
h1 { font-size: 22px; margin: 0; }
h2 { font-size: 17px; margin: 32px 0 10px; }
p, .soft { color: var(--soft); margin: 4px 0; }
button, select { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: 4px 10px; min-height: 34px; cursor: pointer; }
button[aria-pressed="true"] { border-color: var(--mark); color: var(--mark); }
button:focus-visible, select:focus-visible, th:focus-visible { outline: 2px solid var(--mark); outline-offset: 1px; }
.row { display: flex; flex-wrap: wrap; gap: 6px; margin: 8px 0; align-items: center; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; background: var(--card); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 10px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { position: sticky; top: 0; background: var(--card); cursor: pointer; font-weight: 600; }
th:first-child, td:first-child { text-align: left; }
td small { color: var(--soft); display: block; font-size: 11px; line-height: 1.2; }
tr.gone { opacity: .55; }
.chart { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 8px; overflow-x: auto; }
.u-legend { color: var(--ink); font-size: 13px; }
.texts { display: grid; grid-auto-flow: column; grid-auto-columns: minmax(260px, 1fr); gap: 12px; overflow-x: auto; padding-bottom: 8px; scroll-snap-type: x proximity; }
.texts > section { scroll-snap-align: start; min-width: 0; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 10px 12px; margin: 8px 0; }
.card pre { margin: 0; font: inherit; white-space: pre-wrap; overflow-wrap: anywhere; }
.card .prompt { color: var(--soft); }
.card footer { color: var(--soft); font-size: 12px; margin-top: 6px; }
.warning { color: var(--mark); }
`;

export const REPORT_SCRIPT = String.raw`
'use strict';
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const words = {
    en: { title: 'Sweep of settings', cells: 'cells', seeds: 'seeds', level: 'intervals', charts: 'Chart', over: 'over',
      table: 'All cells', texts: 'Texts side by side', seed: 'seed', tokens: 'tokens', partial: 'Interrupted: what was finished is here.',
      language: '中文', fixed: 'same in all cells', best: 'best first by', round: 'out after round', sort: 'Press a title to sort.',
      prompt: 'prompt', choose: 'Choose cells:', mauve: 'MAUVE* is made of hashed n-grams: compare it within this report alone.' },
    zh: { title: '参数对比', cells: '组', seeds: '个种子', level: '置信区间', charts: '图表', over: '横轴',
      table: '全部组合', texts: '文本并列', seed: '种子', tokens: '个词元', partial: '已中断：此处为已完成的部分。',
      language: 'English', fixed: '各组相同', best: '排序依据', round: '淘汰于第几轮：', sort: '点击表头可排序。',
      prompt: '提示', choose: '选择组合：', mauve: 'MAUVE* 由哈希 n 元特征得出，只宜在本报告内比较。' },
  };
  const colours = ['#b3372b', '#2f6db5', '#3f8f4f', '#a06a00', '#7d4fa8', '#178a92', '#c2548f', '#777'];
  let lang = /^zh/i.test(navigator.language) ? 'zh' : 'en';
  let plot = null;
  const t = (key) => words[lang][key];
  const meaning = (measure) => measure[lang];

  function el(tag, more, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(more || {})) {
      if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
      else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value === true ? '' : String(value));
    }
    for (const child of children) if (child !== null && child !== undefined) node.append(child);
    return node;
  }

  const value = (cell, name) => (cell.measures[name] ? cell.measures[name].value : null);
  const shown = (setting) => (setting === undefined ? '–' : typeof setting === 'string' ? setting : JSON.stringify(setting));
  const label = (cell, names) => names.map((name) => name + ' ' + shown(cell.settings[name])).join(', ') || '#' + (cell.index + 1);
  const count = (name) => new Set(data.cells.map((cell) => shown(cell.settings[name]))).size;
  const measures = data.measures.filter(({ name }) => data.cells.some((cell) => cell.measures[name]));
  const state = {
    measure: data.objective ? data.objective.name : measures.length > 1 ? measures[1].name : '',
    x: [...data.varied].sort((a, b) => count(b) - count(a))[0] || '',
    sort: null,
    down: false,
    chosen: new Set(data.cells.slice(0, 3).map(({ index }) => index)),
  };

  function pick(options, current, name, act) {
    const select = el('select', { 'aria-label': name, onchange: (event) => act(event.target.value) });
    for (const [key, text] of options) select.append(el('option', { value: key, selected: key === current }, text));
    return select;
  }

  function chart(place) {
    if (plot) plot.destroy();
    plot = null;
    place.replaceChildren();
    if (!state.x || !state.measure || data.cells.length === 0) return;
    const others = data.varied.filter((name) => name !== state.x);
    const points = data.cells.filter((cell) => value(cell, state.measure) !== null && cell.settings[state.x] !== undefined);
    const isNumber = points.every((cell) => typeof cell.settings[state.x] === 'number');
    const names = [...new Set(points.map((cell) => shown(cell.settings[state.x])))];
    const at = (cell) => (isNumber ? cell.settings[state.x] : names.indexOf(shown(cell.settings[state.x])));
    const xs = [...new Set(points.map(at))].sort((a, b) => a - b);
    // Cells that were drawn at random have each their own values: they are one cloud.
    const isCloud = data.search !== 'grid' && others.length > 0 && xs.length > data.cells.length / 2;
    const groups = new Map();
    for (const cell of points) {
      const key = isCloud ? state.measure : label(cell, others).replace(/^#\d+$/, state.measure);
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(cell);
    }
    const kept = [...groups].slice(0, colours.length);
    const find = (cells, x) => cells.find((cell) => at(cell) === x);
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue('--soft').trim();
    const line = style.getPropertyValue('--line').trim();
    const values = [xs, ...kept.map(([, cells]) => xs.map((x) => { const cell = find(cells, x); return cell ? value(cell, state.measure) : null; }))];
    const bounds = points.flatMap((cell) => [cell.measures[state.measure].low, cell.measures[state.measure].high, value(cell, state.measure)]);
    let [low, high] = [Math.min(...bounds), Math.max(...bounds)];
    const pad = (high - low) * 0.08 || Math.abs(high) * 0.1 || 1;
    [low, high] = [low - pad, high + pad];
    const gap = xs.length > 1 ? (xs[xs.length - 1] - xs[0]) * 0.06 : Math.abs(xs[0]) * 0.2 || 1;
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
    plot = new uPlot({
      width: Math.max(280, Math.min(1140, place.clientWidth - 18)),
      height: 320,
      scales: { x: { time: false, range: [xs[0] - gap, xs[xs.length - 1] + gap] }, y: { range: [low, high] } },
      axes: [
        { ...axis, label: state.x, labelSize: 24, ...(isNumber && xs.length > place.clientWidth / 110 ? {} : { splits: () => xs }),
          values: (u, splits) => splits.map((x) => (isNumber ? String(Number(x.toPrecision(4))) : names[x])) },
        { ...axis, label: measures.find(({ name }) => name === state.measure).title, labelSize: 24, size: 60 },
      ],
      series: [
        { label: state.x, value: (u, x) => (x === null ? '' : isNumber ? String(x) : names[x]) },
        ...kept.map(([key], i) => ({ label: key, stroke: colours[i], width: isCloud ? 0 : 2, spanGaps: true,
          paths: isCloud ? () => null : undefined, points: { show: true, size: 8, fill: colours[i] },
          value: (u, y) => (y === null ? '' : y.toFixed(3)) })),
      ],
      hooks: { draw: [(u) => {
        const { ctx } = u;
        ctx.save();
        kept.forEach(([, cells], i) => {
          ctx.strokeStyle = colours[i];
          ctx.lineWidth = 1.5 * devicePixelRatio;
          for (const cell of cells) {
            const { low: a, high: b } = cell.measures[state.measure];
            // Groups stand side by side, so that their intervals do not hide each other.
            const x = u.valToPos(at(cell), 'x', true) + (i - (kept.length - 1) / 2) * 4 * devicePixelRatio;
            ctx.beginPath();
            ctx.moveTo(x, u.valToPos(a, 'y', true));
            ctx.lineTo(x, u.valToPos(b, 'y', true));
            ctx.stroke();
          }
        });
        ctx.restore();
      }] },
    }, values, place);
  }

  function table() {
    const columns = [
      { key: '#', title: '#', of: (cell) => cell.index + 1 },
      ...data.varied.map((name) => ({ key: 's:' + name, title: name, of: (cell) => cell.settings[name], text: (cell) => shown(cell.settings[name]) })),
      ...measures.map((measure) => ({ key: measure.name, title: measure.title, hint: meaning(measure), of: (cell) => value(cell, measure.name), measure })),
    ];
    const rows = [...data.cells];
    const by = columns.find(({ key }) => key === state.sort);
    if (by) rows.sort((a, b) => {
      const [x, y] = [by.of(a), by.of(b)];
      const order = x === y ? 0 : x === null || x === undefined ? 1 : y === null || y === undefined ? -1 : x < y ? -1 : 1;
      return state.down ? -order : order;
    });
    const press = (key) => () => { state.down = state.sort === key && !state.down; state.sort = key; draw(); };
    const head = el('tr', null, ...columns.map(({ key, title, hint }) => el('th', {
      scope: 'col', tabindex: 0, title: hint, 'aria-sort': state.sort === key ? (state.down ? 'descending' : 'ascending') : null,
      onclick: press(key), onkeydown: (event) => { if (event.key === 'Enter') press(key)(); } },
      title + (state.sort === key ? (state.down ? ' ↓' : ' ↑') : ''))));
    const body = rows.map((cell) => el('tr', { class: cell.eliminated ? 'gone' : null, title: cell.eliminated ? t('round') + ' ' + cell.eliminated : null },
      ...columns.map((column) => {
        const estimate = column.measure && cell.measures[column.measure.name];
        if (!column.measure) return el('td', null, column.text ? column.text(cell) : String(column.of(cell)));
        if (!estimate) return el('td', null, '–');
        const { digits } = column.measure;
        return el('td', null, estimate.value.toFixed(digits), el('small', null, estimate.count > 1 ? estimate.low.toFixed(digits) + ' … ' + estimate.high.toFixed(digits) : ''));
      })));
    return el('div', { class: 'scroll' }, el('table', null, el('thead', null, head), el('tbody', null, ...body)));
  }

  function texts() {
    const buttons = data.cells.slice(0, 200).map((cell) => el('button', { type: 'button', 'aria-pressed': String(state.chosen.has(cell.index)), onclick: () => {
      if (!state.chosen.delete(cell.index)) state.chosen.add(cell.index);
      draw();
    } }, label(cell, data.varied)));
    const columns = data.cells.filter(({ index }) => state.chosen.has(index)).map((cell) => el('section', null,
      el('strong', null, label(cell, data.varied)),
      ...cell.answers.map((answer) => el('article', { class: 'card' },
        el('pre', null, el('span', { class: 'prompt' }, data.prompts[answer.prompt] || ''), answer.text),
        el('footer', null, [t('seed') + ' ' + answer.seed, answer.measures.length + ' ' + t('tokens'), answer.finish_reason].join(' · '))))));
    return [el('div', { class: 'row' }, el('span', { class: 'soft' }, t('choose')), ...buttons), el('div', { class: 'texts' }, ...columns)];
  }

  function draw() {
    document.documentElement.lang = lang === 'zh' ? 'zh-CN' : 'en';
    const at = [scrollX, scrollY];
    const fixed = Object.entries(data.settings).map(([name, each]) => name + ' ' + shown(each)).join(', ');
    const chosen = measures.find(({ name }) => name === state.measure);
    const place = el('div', { class: 'chart' });
    const page = document.getElementById('page');
    page.replaceChildren(...[
      el('header', null, el('h1', null, t('title') + ' · ' + data.model),
        el('button', { type: 'button', onclick: () => { lang = lang === 'zh' ? 'en' : 'zh'; draw(); } }, t('language'))),
      el('p', null, [data.cells.length + ' ' + t('cells'), data.seeds.length + ' ' + t('seeds'), Math.round(data.level * 100) + ' % ' + t('level'), data.search, data.backend, data.precision, data.date].filter(Boolean).join(' · ')),
      fixed ? el('p', null, t('fixed') + ': ' + fixed) : null,
      data.objective ? el('p', null, t('best') + ' ' + (data.objective.isMore ? '' : '−') + data.objective.name) : null,
      data.is_complete ? null : el('p', { class: 'warning' }, t('partial')),
      data.varied.length ? el('h2', null, t('charts')) : null,
      data.varied.length ? el('div', { class: 'row' },
        pick(measures.map(({ name, title }) => [name, title]), state.measure, t('charts'), (name) => { state.measure = name; draw(); }),
        el('span', null, t('over')),
        pick(data.varied.map((name) => [name, name]), state.x, t('over'), (name) => { state.x = name; draw(); })) : null,
      data.varied.length && chosen ? el('p', null, meaning(chosen)) : null,
      data.varied.length ? place : null,
      el('h2', null, t('table')), el('p', null, t('sort') + (data.has_reference ? ' ' + t('mauve') : '')), table(),
      el('h2', null, t('texts')), ...texts()].filter((node) => node !== null));
    chart(place);
    scrollTo(...at);
  }

  draw();
  let width = innerWidth;
  addEventListener('resize', () => { if (innerWidth !== width) { width = innerWidth; draw(); } });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
})();
`;
