// Axes: round ticks, scales, a frame to draw in, and the cross-hair that reads values off it.

// Round numbers from low to high, about `count` of them.
function ticks(low, high, count) {
  if (!(high > low)) return [low];
  const raw = (high - low) / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].find((m) => m * power >= raw * 0.999) * power;
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(i * step || 0);
  return found;
}
function logTicks(low, high, count) {
  const decades = Math.log10(high / low);
  const within = decades > count ? [1] : decades > count / 2 ? [1, 3] : decades > count / 4 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 7];
  const found = [];
  for (let p = Math.floor(Math.log10(low)); p <= Math.ceil(Math.log10(high)); p++) {
    for (const m of within) {
      const value = m * 10 ** p;
      if (value >= low * 0.999 && value <= high * 1.001) found.push(value);
    }
  }
  return found.length > 1 ? found : ticks(low, high, count);
}
// As many digits as the ticks need to differ.
function tickText(values) {
  const gap = values.length > 1 ? Math.min(...values.slice(1).map((v, i) => v - values[i])) : Math.abs(values[0]) || 1;
  const digits = Math.min(Math.max(0, -Math.floor(Math.log10(gap) + 1e-9)), 6);
  const fits = (d) => values.every((v) => Math.abs(v * 10 ** d - Math.round(v * 10 ** d)) < 1e-6 * Math.max(1, Math.abs(v * 10 ** d)));
  const enough = fits(digits) ? digits : digits + 1;
  return (v) => v.toLocaleString("en-US", { maximumFractionDigits: enough, minimumFractionDigits: Math.abs(v) >= 1 && fits(0) ? 0 : enough });
}
function logText(v) {
  return v.toLocaleString("en-US", { maximumFractionDigits: v < 0.1 ? 3 : v < 1 ? 2 : v < 10 ? 1 : 0 });
}

/* A frame: {min, max, log?, title, count?, text?} for each axis; by: what divides a value before it is shown.
   Gives the svg, scales x(v) and y(v), their inverses, and the plot's edges. */
function frame(width, height, x, y, margin = {}) {
  const edge = { left: 54, right: 14, top: 24, bottom: 40, ...margin };
  const right = width - edge.right, bottom = height - edge.bottom;
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  const scale = (axis, from, to) => {
    const f = axis.log ? Math.log : (v) => v;
    const low = f(axis.min), span = f(axis.max) - low || 1;
    const forward = (v) => from + (f(axis.log ? Math.max(v, axis.min) : v) - low) / span * (to - from);
    forward.back = (px) => {
      const v = low + (px - from) / (to - from) * span;
      return axis.log ? Math.exp(v) : v;
    };
    return forward;
  };
  const at = { svg, width, height, left: edge.left, right, top: edge.top, bottom, x: scale(x, edge.left, right), y: scale(y, bottom, edge.top) };
  const marks = (axis, count) => {
    const by = axis.by || 1;
    const values = axis.ticks || (axis.log ? logTicks : ticks)(axis.min / by, axis.max / by, count);
    const text = axis.text || (axis.log ? logText : tickText(values));
    return values.map((v) => [v * by, text(v)]);
  };
  for (const [value, text] of marks(y, axisCount(y, (bottom - edge.top) / 42))) {
    const py = at.y(value);
    svg.append(draw("line", { class: "gridline", x1: edge.left, x2: right, y1: py, y2: py }),
      draw("text", { x: edge.left - 8, y: py + 4, "text-anchor": "end" }, text));
  }
  let taken = -Infinity;
  for (const [value, text] of marks(x, axisCount(x, (right - edge.left) / 70))) {
    const px = at.x(value), half = text.length * 3.4;
    svg.append(draw("line", { class: "axis", x1: px, x2: px, y1: bottom, y2: bottom + 4 }));
    if (px - half < taken || px + half > width) continue;
    taken = px + half + 8;
    svg.append(draw("text", { x: px, y: bottom + 17, "text-anchor": "middle" }, text));
  }
  svg.append(draw("line", { class: "axis", x1: edge.left, x2: right, y1: bottom, y2: bottom }));
  if (y.title) svg.append(draw("text", { class: "title", x: 0, y: 11 }, y.title));
  if (x.title) svg.append(draw("text", { class: "title", x: right, y: height - 5, "text-anchor": "end" }, x.title));
  return at;
}
function axisCount(axis, count) {
  return axis.count || Math.max(Math.round(count), 2);
}

/* read(value x, value y, px, py) gives {title, rows, x?, y?, dots?} to show, or nothing.
   stops: [value x, value y] that the arrow keys go through, one after the other.
   brushed(from, to): called with values of x that were drawn over. */
function crosshair(at, read, stops, brushed) {
  const layer = draw("g");
  const sheet = draw("rect", { class: "sheet", x: at.left, y: at.top, width: Math.max(at.right - at.left, 0), height: Math.max(at.bottom - at.top, 0), fill: "transparent", tabindex: 0, role: "img" });
  const inside = (event) => {
    const box = at.svg.getBoundingClientRect(), zoom = at.width / box.width;
    return [(event.clientX - box.left) * zoom, (event.clientY - box.top) * zoom];
  };
  const show = (px, py, place) => {
    const found = read(at.x.back(px), at.y.back(py), px, py);
    layer.replaceChildren();
    if (!found) return tip.hide();
    if (found.x !== undefined) layer.append(draw("line", { class: "cross", x1: at.x(found.x), x2: at.x(found.x), y1: at.top, y2: at.bottom }));
    if (found.y !== undefined) layer.append(draw("line", { class: "cross", x1: at.left, x2: at.right, y1: at.y(found.y), y2: at.y(found.y) }));
    for (const [vx, vy, paint] of found.dots || []) {
      layer.append(draw("circle", { cx: at.x(vx), cy: at.y(vy), r: 4, fill: paint, stroke: "var(--card)", "stroke-width": 1.5, "pointer-events": "none" }));
    }
    place(found);
  };
  const leave = () => { layer.replaceChildren(); tip.hide(); };
  const point = (event) => { const [px, py] = inside(event); tip.again = null; show(px, py, (found) => tip.show(event, found.title, found.rows)); };
  sheet.addEventListener("pointermove", point);
  sheet.addEventListener("pointerdown", point);
  sheet.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") leave(); });
  let stop = 0;
  const go = (to) => {
    stop = Math.min(Math.max(to, 0), stops.length - 1);
    if (!stops.length) return;
    const px = at.x(stops[stop][0]), py = at.y(stops[stop][1]), zoom = at.svg.getBoundingClientRect().width / at.width;
    show(px, py, (found) => tip.beside(at.svg, found.title, found.rows, [px * zoom, py * zoom]));
  };
  sheet.addEventListener("focus", () => { if (sheet.matches(":focus-visible")) go(stop); });
  sheet.addEventListener("blur", leave);
  sheet.addEventListener("keydown", (event) => {
    const by = event.shiftKey ? 10 : 1;
    const to = { ArrowRight: stop + by, ArrowUp: stop + by, ArrowLeft: stop - by, ArrowDown: stop - by, Home: 0, End: stops.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    go(to);
  });
  if (brushed) brush(at, sheet, inside, brushed);
  sheet.setAttribute("aria-label", `${at.svg.getAttribute("aria-label") || "Plot"}: values by arrow keys`);
  at.svg.append(layer, sheet);
  return at.svg;
}
// Draw over a part of the x axis to choose it; a click chooses nothing.
function brush(at, sheet, inside, brushed) {
  let from = null;
  const band = draw("rect", { class: "band", y: at.top, height: Math.max(at.bottom - at.top, 0), width: 0 });
  const clamp = (px) => Math.min(Math.max(px, at.left), at.right);
  sheet.classList.add("brushed");
  sheet.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    from = clamp(inside(event)[0]);
    if (event.pointerType !== "touch") sheet.setPointerCapture(event.pointerId);
  });
  sheet.addEventListener("pointermove", (event) => {
    if (from === null) return;
    const to = clamp(inside(event)[0]);
    band.setAttribute("x", Math.min(from, to));
    band.setAttribute("width", Math.abs(to - from));
  });
  sheet.addEventListener("pointercancel", () => { from = null; band.setAttribute("width", 0); });
  sheet.addEventListener("pointerup", (event) => {
    const begun = from, to = clamp(inside(event)[0]);
    from = null;
    band.setAttribute("width", 0);
    if (begun !== null && Math.abs(to - begun) > 6) brushed(at.x.back(Math.min(begun, to)), at.x.back(Math.max(begun, to)));
  });
  at.svg.append(band);
}
let clips = 0;
// Only what lies between the axes is seen.
function clipped(at, ...kids) {
  const id = `clip${clips++}`;
  at.svg.append(draw("clipPath", { id }, draw("rect", { x: at.left, y: at.top - 6, width: Math.max(at.right - at.left, 0), height: Math.max(at.bottom - at.top, 0) + 16 })),
    draw("g", { "clip-path": `url(#${id})` }, ...kids));
}

// A line through points that are there; a gap where one is not.
function path(points, x, y) {
  let d = "", open = false;
  for (const [vx, vy] of points) {
    if (vy === null || vy === undefined) { open = false; continue; }
    d += `${open ? "L" : "M"}${x(vx).toFixed(1)} ${y(vy).toFixed(1)}`;
    open = true;
  }
  return d;
}
// The same as steps: each value holds until the next.
function stairs(points, x, y) {
  let d = "";
  points.forEach(([vx, vy], i) => {
    const px = x(vx).toFixed(1), py = y(vy).toFixed(1);
    d += i ? `H${px}V${py}` : `M${px} ${py}`;
  });
  return d;
}
function legend(entries) {
  return make("div", { class: "legend" }, ...entries.map(([paint, text, dashes]) => make("span", {},
    dashes === undefined ? swatch(paint) : draw("svg", { width: 22, height: 8 },
      draw("line", { x1: 0, x2: 22, y1: 4, y2: 4, stroke: paint, "stroke-width": 2.5, "stroke-dasharray": dashes })), text)));
}
function seriesLegend() {
  return several ? legend(DATA.series.map((s, i) => [color(i), label(s), dash(i)])) : null;
}
function round(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((m) => m * power >= value * 1.0001) * power;
}
