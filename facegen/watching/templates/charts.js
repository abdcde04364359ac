"use strict";
// Line charts as SVG. A chart is drawn anew with each change of its data or width, at once, so that nothing flickers.

const SVG = "http://www.w3.org/2000/svg";

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function drawn(tag, attributes = {}, text = null) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== null) made.textContent = text;
  return made;
}

// A number as people read it, to some four digits.
function inWords(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e7)) return value.toExponential(2).replace("e-", "e−").replace("e+", "e");
  const digits = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : size >= 0.1 ? 3 : 4;
  return value.toLocaleString("en", {maximumFractionDigits: digits});
}

function onAxis(value) {
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.0001 || size >= 1e7)) return value.toExponential(0).replace("e-", "e−").replace("e+", "e");
  return value.toLocaleString("en", {maximumSignificantDigits: 6});
}

// Round numbers from low to high, some `about` of them, 1, 2 or 5 times a power of ten apart.
function roundNumbers(low, high, about) {
  const raw = Math.max(high - low, Math.abs(high) * 1e-6, 1e-12) / about;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= raw * (1 - 1e-9));
  const found = [];
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high + step * 1e-9; index++) found.push(Number((index * step).toPrecision(12)));
  return found;
}

// The same for a logarithmic scale: 1, 2 and 5 times powers of ten, or evenly where these are too few.
function roundPowers(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    for (const factor of high / low > 1e4 ? [1] : [1, 2, 5]) {
      const value = Number((factor * 10 ** power).toPrecision(12));
      if (value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9)) found.push(value);
    }
  }
  return found.length < 3 ? roundNumbers(low, high, 4).filter((value) => value > 0) : found;
}

// The place in rising numbers of the one nearest to a value.
function nearest(rising, value) {
  let low = 0, high = rising.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rising[middle] < value) low = middle + 1; else high = middle;
  }
  return low > 0 && value - rising[low - 1] < rising[low] - value ? low - 1 : low;
}

// What a piecewise linear function from rising xs to ys gives for x; the ends' values beyond them.
function between(xs, ys, x) {
  if (!xs.length) return x;
  if (x <= xs[0]) return xs[0] > 0 ? ys[0] * x / xs[0] : ys[0];
  for (let at = 1; at < xs.length; at++) {
    if (x <= xs[at]) return xs[at] > xs[at - 1] ? ys[at - 1] + (ys[at] - ys[at - 1]) * (x - xs[at - 1]) / (xs[at] - xs[at - 1]) : ys[at];
  }
  return ys[ys.length - 1];
}

class Chart {
  // settings: title, hint, wide, floor and ceiling of the y axis where it has them.
  constructor(settings, {onHover, onPick}) {
    this.settings = settings;
    this.isLog = null;
    this.title = element("h3", {}, settings.title);
    this.logButton = element("button", {type: "button", "aria-pressed": "false", title: "Logarithmic scale"}, "log");
    this.logButton.addEventListener("click", () => { this.isLog = !this.usesLog; this.redraw(); });
    this.legend = element("div", {class: "legend"});
    this.plot = drawn("svg", {class: "plot", role: "img"});
    this.host = element("section", {class: settings.wide ? "chart wide" : "chart"},
      element("div", {class: "chart-head"}, this.title, this.logButton),
      ...(settings.hint ? [element("p", {class: "hint"}, settings.hint)] : []), this.legend, this.plot);
    this.plot.addEventListener("pointermove", (event) => onHover(this.valueAt(event)));
    this.plot.addEventListener("pointerleave", () => onHover(null));
    this.plot.addEventListener("click", (event) => onPick(this.valueAt(event)));
    this.width = 0;
    new ResizeObserver(() => { if (this.host.clientWidth !== this.width) this.redraw(); }).observe(this.host);
  }

  // shown: series (xs, ys, low, high, color, dash, label, dots, dropped), by, target, best, backs and the grid's place.
  draw(shown) {
    this.shown = shown;
    this.redraw();
  }

  valueAt(event) {
    if (!this.scale) return null;
    const {left, right, start, end} = this.scale;
    const x = event.clientX - this.plot.getBoundingClientRect().left;
    return start + (Math.min(Math.max(x, left), right) - left) / (right - left) * (end - start);
  }

  redraw() {
    if (!this.shown) return;
    const {series, target, best, backs, by} = this.shown;
    this.width = this.host.clientWidth;
    const width = Math.max(200, this.plot.parentElement.clientWidth - (this.width < 420 ? 20 : 26));
    const height = this.settings.wide ? 240 : 190;
    const values = series.flatMap((each) => [...each.ys, ...(each.low || []), ...(each.high || [])]).filter((value) => value !== null);
    const xs = series.flatMap((each) => each.xs);
    const isPositive = values.length > 0 && values.every((value) => value > 0) && this.settings.ceiling === undefined;
    const wants = this.isLog === null ? Boolean(this.settings.wide) && Math.max(...values) > 4 * Math.min(...values) : this.isLog;
    this.usesLog = isPositive && wants;
    this.logButton.hidden = !isPositive;
    this.logButton.setAttribute("aria-pressed", String(this.usesLog));
    this.plot.setAttribute("width", width);
    this.plot.setAttribute("height", height);
    this.plot.replaceChildren();
    if (!values.length) {
      this.scale = null;
      this.plot.append(drawn("text", {x: width / 2, y: height / 2, "text-anchor": "middle"}, "Nothing yet."));
      return;
    }
    let low = Math.min(...values), high = Math.max(...values);
    if (target && target > low / 3) { low = Math.min(low, target); high = Math.max(high, target); }
    let marks;
    if (this.usesLog) {
      [low, high] = [low / 1.08, high * 1.08];
      marks = roundPowers(low, high);
    } else {
      const space = (high - low || Math.abs(high) || 1) * 0.06;
      const isNatural = low >= 0 && low < 0.35 * high;
      [low, high] = [isNatural ? 0 : low - space, high + space];
      if (this.settings.ceiling !== undefined) [low, high] = [0, this.settings.ceiling];
      marks = roundNumbers(low, high, 5);
    }
    const start = Math.min(0, ...xs), end = Math.max(...xs, start + 1e-9);
    const words = marks.map(onAxis);
    const left = Math.max(44, 12 + 7.2 * Math.max(...words.map((word) => word.length))), right = width - 14, top = 10, bottom = height - 26;
    const across = (x) => left + (x - start) / (end - start) * (right - left);
    const up = (y) => this.usesLog
      ? bottom - Math.log(y / low) / Math.log(high / low) * (bottom - top)
      : bottom - (y - low) / (high - low) * (bottom - top);
    this.scale = {left, right, top, bottom, start, end, across, up};
    marks.forEach((mark, index) => this.plot.append(
      drawn("line", {class: "grid-line", x1: left, x2: right, y1: up(mark), y2: up(mark)}),
      drawn("text", {x: left - 6, y: up(mark) + 4, "text-anchor": "end"}, words[index])));
    for (const mark of roundNumbers(start, end, Math.max(2, Math.floor(width / 90)))) {
      this.plot.append(drawn("line", {class: "axis", x1: across(mark), x2: across(mark), y1: bottom, y2: bottom + 4}),
        drawn("text", {x: across(mark), y: bottom + 17, "text-anchor": across(mark) > right - 16 ? "end" : "middle"}, onAxis(mark)));
    }
    this.plot.append(drawn("line", {class: "axis", x1: left, x2: right, y1: bottom, y2: bottom}),
      drawn("text", {x: 0, y: bottom + 17}, by === "hours" ? "h" : "kimg"));
    if (target && target >= low && target <= high) {
      this.plot.append(drawn("line", {class: "target", x1: left, x2: right, y1: up(target), y2: up(target)}),
        drawn("text", {class: "target-text", x: left + 4, y: up(target) - 5}, `target ${target}`));
    }
    for (const back of backs) {
      this.plot.append(drawn("line", {class: "back", x1: across(back.x), x2: across(back.x), y1: top, y2: bottom}),
        drawn("text", {class: "back-text", x: across(back.x) + 4, y: top + 10}, "↩ went back"));
    }
    for (const each of series) {
      if (each.low) this.plot.append(drawn("path", {class: `band r${each.color}`, d: band(each, across, up)}));
      this.plot.append(drawn("path", {class: `curve r${each.color} d${each.dash}${each.dropped ? " dropped" : ""}`, d: path(each.xs, each.ys, across, up)}));
      const points = each.ys.filter((value) => value !== null).length;
      if ((each.dots && points <= 80) || points === 1) {
        each.xs.forEach((x, at) => {
          if (each.ys[at] !== null) this.plot.append(drawn("circle", {class: `dot r${each.color}`, cx: across(x), cy: up(each.ys[at]), r: 3.5}));
        });
      }
    }
    for (const each of best || []) {
      const x = across(each.x), y = up(each.y);
      this.plot.append(drawn("circle", {class: `best r${each.color}`, cx: x, cy: y, r: 5}),
        drawn("text", {class: "best-text", x: Math.min(x, right - 4), y: y + 20 > bottom ? y - 11 : y + 20, "text-anchor": x > width / 2 ? "end" : "start"}, `best ${inWords(each.y)}`));
    }
    this.gridLine = drawn("line", {class: "shown-grid", y1: top, y2: bottom});
    this.hoverLine = drawn("line", {class: "hover", y1: top, y2: bottom});
    this.plot.append(this.gridLine, this.hoverLine);
    this.markGrid(this.shown.gridAt);
    this.hover(null);
    const last = series.filter((each) => !each.dropped).map((each) => `${each.label} ${inWords(each.ys[each.ys.length - 1])}`);
    this.plot.setAttribute("aria-label", `${this.title.textContent}, at the end: ${last.join("; ")}`);
  }

  markGrid(x) {
    this.shown.gridAt = x;
    if (this.scale) this.place(this.gridLine, x);
  }

  // The legend says each curve's value there, or at its end.
  hover(x) {
    if (!this.scale) { this.legend.replaceChildren(); return; }
    this.place(this.hoverLine, x);
    this.legend.replaceChildren(...this.shown.series.filter((each) => !each.dropped).map((each) => {
      const line = drawn("svg", {"aria-hidden": "true"});
      line.append(drawn("line", {class: `curve r${each.color} d${each.dash}`, x1: 1, x2: 23, y1: 5, y2: 5}));
      const at = x === null ? each.xs.length - 1 : nearest(each.xs, x);
      return element("span", {}, line, `${each.label} `, element("b", {}, inWords(each.ys[at])));
    }));
  }

  place(line, x) {
    const {start, end, across} = this.scale;
    const isThere = x !== null && x !== undefined && x >= start && x <= end;
    line.setAttribute("visibility", isThere ? "visible" : "hidden");
    if (isThere) { line.setAttribute("x1", across(x)); line.setAttribute("x2", across(x)); }
  }
}

function path(xs, ys, across, up) {
  let d = "", pen = "M";
  xs.forEach((x, at) => {
    if (ys[at] === null) { pen = "M"; return; }
    d += `${pen}${across(x).toFixed(1)} ${up(ys[at]).toFixed(1)}`;
    pen = "L";
  });
  return d;
}

function band({xs, low, high}, across, up) {
  const there = xs.map((x, at) => at).filter((at) => low[at] !== null);
  const edge = (values, places) => places.map((at) => `${across(xs[at]).toFixed(1)} ${up(values[at]).toFixed(1)}`).join("L");
  return there.length ? `M${edge(high, there)}L${edge(low, [...there].reverse())}Z` : "";
}
