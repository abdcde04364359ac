"use strict";
// The page of runs: cards, faces and curves, from data that the page holds (a report) or that it asks for (live).

const EVERY = 3000, COLORS = 8;
const CHARTS = [
  {key: "losses", title: "Losses", names: {loss_d: "D", loss_g: "G"}},
  {key: "belief", title: "D(x) and D(G(z))", ceiling: 1, hint: "How real D takes photographs to be, and generated images. Far apart, D has won; equal, it cannot tell them apart.",
    names: {d_real: "D(x)", d_fake: "D(G(z))", d_real_features: "D(x), features", d_fake_features: "D(G(z)), features"}},
  {key: "spread", title: "Spread of the faces", hint: "How much generated images differ; real faces have about 0.5. Near 0, G has collapsed.", names: {spread: "spread"}},
  {key: "speed", title: "Images a second", names: {images_per_sec: "images/s"}},
  {key: "rate", title: "Learning rate of G", names: {generator_lr: "rate"}},
  {key: "penalty", title: "Penalty on D's gradient", names: {penalty: "penalty"}},
  {key: "augment", title: "Probability of augmentation", ceiling: 1, names: {augment_p: "p"}},
  {key: "memory", title: "Memory, GiB", names: {memory_gib: "at most"}},
];
const KNOWN = new Set(CHARTS.flatMap((chart) => Object.keys(chart.names)));
const $ = (id) => document.getElementById(id);
const state = {runs: [], by: "kimg", follows: true, at: null, hidden: new Set(), text: "", ahead: 0, playing: null, stops: []};
const cards = [], figures = [], charts = new Map();

// Times.
function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const days = Math.floor(whole / 86400), hours = Math.floor(whole % 86400 / 3600), minutes = Math.floor(whole % 3600 / 60);
  if (days) return `${days} d ${hours} h`;
  return hours ? `${hours} h ${minutes} min` : `${minutes} min`;
}
const now = () => Date.now() / 1000 + state.ahead;

// Runs.
const visible = () => state.runs.map((run, place) => ({run, place})).filter(({run, place}) => !run.problem && !state.hidden.has(place));
const isSingle = () => state.runs.length === 1;
const hoursAt = (run, kimg) => between(run.curves.kimg, run.curves.hours, kimg);
const xOf = (run, kimg) => state.by === "kimg" ? kimg : hoursAt(run, kimg);

function showCards() {
  state.runs.forEach((run, place) => {
    cards[place] = cards[place] || newCard(place);
    const card = cards[place];
    card.name.textContent = run.name;
    card.host.title = run.path;
    card.state.textContent = run.problem ? "gone" : run.state;
    card.state.className = `mark ${run.problem ? "gone" : run.state}`;
    const remarks = run.problem ? [run.problem] : [...run.remarks];
    card.figures.hidden = card.progress.hidden = Boolean(run.problem);
    if (!run.problem) {
      card.recipe.textContent = [run.recipe, run.networks, run.batch && `batches of ${run.batch}`].filter(Boolean).join(" · ");
      card.bar.style.width = `${100 * (run.progress || 0)}%`;
      card.progress.setAttribute("aria-valuenow", Math.round(100 * (run.progress || 0)));
      const back = run.rollback;
      if (back) remarks.push(`Went back from ${inWords(back.from_kimg)} to ${inWords(back.to_kimg)} kimg${back.reason ? `: ${back.reason}` : "."}${back.rate_factor === null ? "" : ` Rates times ${inWords(back.rate_factor)} since.`}`);
      if (!run.ticks) remarks.push(run.state === "beginning" ? "The run is just beginning: its first tick is not written yet." : "The run has no tick yet.");
      const last = run.scores[run.scores.length - 1];
      const facts = [
        [inWords(run.kimg), run.minutes ? `kimg in ${duration((run.progress || 0) * run.minutes * 60)} of ${duration(run.minutes * 60)}` : `of ${inWords(run.total_kimg)} kimg`],
        last && [inWords(last[1]), `${run.metric} at ${inWords(last[0])}`],
        run.best && [inWords(run.best[1]), `best, at ${inWords(run.best[0])}`],
        run.images_per_sec !== null && [inWords(run.images_per_sec), "images/s"],
        run.seconds !== null && [duration(run.seconds), run.aside_seconds >= 1 ? `trained, ${duration(run.aside_seconds)} aside` : "trained"],
        run.seconds_left !== null && [duration(run.seconds_left), "left"],
      ].filter(Boolean);
      card.figures.replaceChildren(...facts.map(([figure, words]) => element("li", {}, element("b", {}, figure), words)));
    }
    card.remarks.replaceChildren(...remarks.map((remark) => element("p", {class: "notice"}, remark)));
    card.toggle.hidden = isSingle() || Boolean(run.problem);
    card.toggle.setAttribute("aria-pressed", String(!state.hidden.has(place)));
    card.host.classList.toggle("away", state.hidden.has(place));
  });
}

function newCard(place) {
  const card = {name: element("h2"), state: element("span"), recipe: element("p", {class: "quiet small"}), bar: element("i"),
    figures: element("ul", {class: "figures"}), remarks: element("div"), age: element("p", {class: "quiet small"}),
    toggle: element("button", {type: "button", "aria-pressed": "true"}, "Shown")};
  card.progress = element("div", {class: "progress", role: "progressbar", "aria-label": "Done", "aria-valuemin": "0", "aria-valuemax": "100"}, card.bar);
  card.host = element("article", {class: `card r${place % COLORS}`},
    element("div", {class: "card-head"}, element("i", {class: "swatch"}), card.name, card.state, card.toggle),
    card.recipe, card.progress, card.figures, card.age, card.remarks);
  card.toggle.addEventListener("click", () => {
    if (!state.hidden.delete(place)) state.hidden.add(place);
    show();
  });
  $("cards").append(card.host);
  return card;
}

function showAges() {
  state.runs.forEach((run, place) => {
    const age = run.last_tick ? now() - run.last_tick : null;
    cards[place].age.textContent = run.problem || age === null ? "" : state.written
      ? `Last tick: ${new Date(run.last_tick * 1000).toLocaleString()}.` : `Last tick ${duration(Math.max(0, age))} ago.`;
  });
}

// Faces. The slider's place is a kimg: it stays there when grids are added, or it follows the newest.
function showFaces() {
  const runs = visible();
  state.stops = [...new Set(runs.flatMap(({run}) => run.grids.map(([kimg]) => kimg)))].sort((a, b) => a - b);
  $("faces").hidden = !state.stops.length;
  if (!state.stops.length) return;
  const last = state.stops.length - 1;
  let place = last;
  if (!state.follows && state.at !== null) place = Math.max(0, state.stops.findLastIndex((kimg) => kimg <= state.at + 1e-9));
  if (state.follows) state.at = state.stops[last];
  $("slider").max = last;
  $("slider").value = place;
  $("slider").setAttribute("aria-valuetext", `${inWords(state.stops[place])} kimg`);
  $("newest").setAttribute("aria-pressed", String(state.follows));
  $("at").textContent = `Grid ${place + 1} of ${last + 1}: ${inWords(state.stops[place])} kimg.`;
  state.runs.forEach((run, index) => {
    figures[index] = figures[index] || newFigure(index);
    const {host, picture, caption} = figures[index];
    const grid = run.problem || state.hidden.has(index) ? undefined : run.grids.findLast(([kimg]) => kimg <= state.stops[place] + 1e-9);
    host.hidden = !grid;
    if (!grid) return;
    showPicture(picture, grid[1]);
    picture.alt = `Generated faces of ${run.name} after ${inWords(grid[0])} kimg`;
    const score = run.scores.findLast(([kimg]) => kimg <= grid[0] + 1e-9);
    const at = score && score[0] < grid[0] - 1e-9 ? ` at ${inWords(score[0])}` : "";
    caption.replaceChildren(...(isSingle() ? [] : [element("b", {}, run.name), " · "]), element("b", {}, `${inWords(grid[0])} kimg`), score ? ` · ${run.metric} ${inWords(score[1])}${at}` : "");
  });
  for (const chart of charts.values()) chart.markGrid(gridPlace());
}

function newFigure(place) {
  const picture = element("img", {width: 530, height: 530}), caption = element("figcaption");
  const button = element("button", {type: "button", "aria-label": "Enlarge or reduce"}, picture);
  const host = element("figure", {class: `r${place % COLORS}`}, button, caption);
  button.addEventListener("click", () => host.classList.toggle("large"));
  $("grids").append(host);
  return {host, picture, caption};
}

// The picture that is there stays until the next is decoded.
function showPicture(picture, source) {
  if (picture.dataset.wanted === source) return;
  picture.dataset.wanted = source;
  const next = new Image();
  next.src = source;
  next.decode().then(() => { if (picture.dataset.wanted === source) picture.src = source; }, () => {
    if (picture.dataset.wanted === source) { picture.removeAttribute("src"); picture.alt = "This grid cannot be read: its file is damaged or gone."; }
  });
}

function gridPlace() {
  const first = visible()[0];
  return first && state.at !== null ? xOf(first.run, state.stops[$("slider").value]) : null;
}

function goTo(place) {
  const last = state.stops.length - 1, to = Math.min(Math.max(place, 0), last);
  state.follows = to === last;
  state.at = state.stops[to];
  showFaces();
}

function play() {
  if (state.playing) {
    clearInterval(state.playing);
    state.playing = null;
  } else {
    goTo(Number($("slider").value) >= state.stops.length - 1 ? 0 : Number($("slider").value));
    const step = Math.min(600, Math.max(60, 9000 / state.stops.length));
    state.playing = setInterval(() => {
      if (Number($("slider").value) >= state.stops.length - 1) play(); else goTo(Number($("slider").value) + 1);
    }, step);
  }
  $("play").textContent = state.playing ? "⏸" : "▶";
}

// Curves.
function seriesOf(names) {
  const runs = visible(), found = [];
  const there = Object.keys(names).filter((name) => runs.some(({run}) => run.curves.figures[name]));
  for (const {run, place} of runs) {
    there.forEach((name, index) => {
      const label = isSingle() ? names[name] : there.length > 1 ? `${run.name} ${names[name]}` : run.name;
      const look = isSingle() ? {color: index % COLORS, dash: 0} : {color: place % COLORS, dash: index % 4};
      for (const [curves, dropped] of [[run.rollback && run.rollback.curves, true], [run.curves, false]]) {
        const curve = curves && curves.figures[name];
        if (curve) found.push({...look, label, dropped, xs: curves[state.by], ys: curve.mean, low: curve.low, high: curve.high});
      }
    });
  }
  return found;
}

function showCharts() {
  const runs = visible();
  const backs = runs.filter(({run}) => run.rollback).map(({run}) => ({x: xOf(run, run.rollback.to_kimg)}));
  const common = {by: state.by, backs, gridAt: gridPlace()};
  const metrics = [...new Set(runs.filter(({run}) => run.scores.length).map(({run}) => run.metric))];
  for (const metric of metrics) {
    const scored = runs.filter(({run}) => run.metric === metric);
    const place = (run, scores) => scores.map(([kimg]) => xOf(run, kimg));
    chartOf(`score ${metric}`, {title: metric, wide: true, hint: "Of the averaged generator; lower is better."}).draw({...common,
      target: scored[0].run.target,
      series: scored.map(({run, place: index}) => ({xs: place(run, run.scores), ys: run.scores.map(([, value]) => value), color: index % COLORS, dash: 0, dots: true, label: isSingle() ? metric : run.name})),
      best: scored.filter(({run}) => run.best).map(({run, place: index}) => ({x: xOf(run, run.best[0]), y: run.best[1], color: index % COLORS}))});
  }
  const shown = new Set(metrics.map((metric) => `score ${metric}`));
  const others = [...new Set(runs.flatMap(({run}) => Object.keys(run.curves.figures)))].filter((name) => !KNOWN.has(name)).sort();
  for (const settings of [...CHARTS, ...others.map((name) => ({key: `figure ${name}`, title: name, names: {[name]: name}}))]) {
    const series = seriesOf(settings.names);
    if (!series.length) continue;
    shown.add(settings.key);
    chartOf(settings.key, settings).draw({...common, series});
  }
  for (const [key, chart] of charts) chart.host.hidden = !shown.has(key);
  const most = Math.max(1, ...runs.map(({run}) => run.curves.ticks_a_point));
  $("thinned").textContent = most > 1 ? `A point is the mean of up to ${most.toLocaleString("en")} ticks; the band about a curve goes from their lowest to their highest.` : "";
}

function chartOf(key, settings) {
  if (!charts.has(key)) {
    const chart = new Chart(settings, {
      onHover: (x) => charts.forEach((each) => each.host.hidden || each.hover(x)),
      onPick: (x) => {
        const first = visible()[0];
        if (x === null || !first || !state.stops.length) return;
        const {kimg, hours} = first.run.curves;
        goTo(nearest(state.stops, state.by === "kimg" ? x : between(hours, kimg, x)));
      },
    });
    charts.set(key, chart);
    if (settings.wide) $("charts").prepend(chart.host); else $("charts").append(chart.host);
  }
  return charts.get(key);
}

// The whole.
function show() {
  $("board").classList.toggle("single", isSingle());
  $("title").textContent = isSingle() ? state.runs[0].name : `${state.runs.length} runs`;
  const first = state.runs[0];
  document.title = (isSingle() && !first.problem ? `${inWords(first.kimg)} kimg · ${first.name}` : $("title").textContent) + " · facegen";
  showCards();
  showFaces();
  showCharts();
  showAges();
}

function take(data) {
  state.runs = data.runs;
  state.written = data.written;
  show();
}

async function ask() {
  try {
    const answer = await fetch("data.json", {cache: "no-store"});
    if (!answer.ok) throw new Error(answer.statusText);
    const text = await answer.text();
    state.ahead = (Date.parse(answer.headers.get("Date")) || Date.now()) / 1000 - Date.now() / 1000;
    if (text !== state.text) {
      state.text = text;
      take(JSON.parse(text));
    }
    $("live").className = "quiet";
    $("live").textContent = "Live: what is new comes by itself.";
    state.lost = null;
  } catch {
    state.lost = state.lost || new Date();
    $("live").className = "lost";
    $("live").textContent = `No answer since ${state.lost.toLocaleTimeString()}: facegen watch has ended, or its machine is out of reach. What is shown is from before.`;
  }
}

async function keepAsking() {
  if (!document.hidden) await ask();
  setTimeout(keepAsking, EVERY);
}

$("slider").addEventListener("input", (event) => goTo(Number(event.target.value)));
$("newest").addEventListener("click", () => goTo(state.stops.length - 1));
$("play").addEventListener("click", play);
for (const button of document.querySelectorAll("[data-by]")) {
  button.addEventListener("click", () => {
    state.by = button.dataset.by;
    for (const each of document.querySelectorAll("[data-by]")) each.setAttribute("aria-pressed", String(each === button));
    showCharts();
  });
}
document.addEventListener("keydown", (event) => {
  if (event.target.tagName === "INPUT" || event.ctrlKey || event.metaKey || event.altKey || !state.stops.length) return;
  const at = Number($("slider").value);
  const places = {ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: state.stops.length - 1};
  if (!(event.key in places)) return;
  event.preventDefault();
  goTo(places[event.key]);
});
document.addEventListener("visibilitychange", () => { if (!document.hidden && !state.written) ask(); });
const held = $("data");
if (held) {
  const data = JSON.parse(held.textContent);
  const thinned = data.runs.reduce((all, run) => [all[0] + run.grids.length, all[1] + run.all_grids], [0, 0]);
  take(data);
  $("live").textContent = `Report of ${data.written}${thinned[0] < thinned[1] ? `, with ${thinned[0]} of ${thinned[1]} grids` : ""}.`;
} else {
  keepAsking();
}
setInterval(showAges, 1000);
