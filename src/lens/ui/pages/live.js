// What is running now: Server-Sent Events of the journals and segments that grow, drawn slice by slice.
const live = new Map(); // file -> {about, slices, nodes, drawings}
const LIVE_PLOTS = [
  ["Requests/s", "requests/s", [["requests", "requests/s"]]], ["Tokens/s", "tokens/s", [["tokens", "tokens/s"]], "of the requests that ended"],
  ["TTFT", "ms", [["ttft_p50_ms", "p50"], ["ttft_p95_ms", "p95"]]], ["ITL", "ms", [["itl_p50_ms", "p50"], ["itl_p95_ms", "p95"]]],
];
const SILENT_S = 5; // a run notes every second how far it is
function follow() {
  const source = new EventSource(address("/live"));
  source.onmessage = (event) => {
    const { live: found } = JSON.parse(event.data), files = new Set(found.map((run) => run.file));
    let changed = false;
    for (const file of [...live.keys()]) if (!files.has(file)) { forget(file); changed = true; }
    for (const run of found) {
      if (!live.has(run.file)) { live.set(run.file, { slices: new Map(), drawn: [] }); changed = true; }
      const known = live.get(run.file);
      if (run.whole) known.slices.clear();
      known.about = run;
      for (const [number, slice] of Object.entries(run.slices)) known.slices.set(Number(number), slice);
      for (const number of [...known.slices.keys()].sort((a, b) => a - b).slice(0, -300)) known.slices.delete(number);
    }
    document.documentElement.dataset.live = String(found.length);
    if (isList()) { showLive(); if (changed) loadList(); }
  };
}
function forget(file) {
  const known = live.get(file);
  drop(known);
  if (known.node) known.node.remove();
  live.delete(file);
}
function drop(known) {
  for (const one of known.drawn) drawings.splice(drawings.indexOf(one), 1);
  known.drawn = [];
}
function showLive() {
  const section = document.getElementById("live");
  if (live.size && !section.querySelector("h2")) section.append(make("div", { class: "head" }, make("h2", {}, "Running now")));
  if (!live.size) section.replaceChildren();
  for (const known of live.values()) {
    if (!known.node || !section.contains(known.node)) section.append(liveCard(known));
    known.show();
    for (const one of known.drawn) if (!one.canvas.contains(document.activeElement) && !one.canvas.querySelector(":hover")) paintOne(one);
  }
}
function liveCard(known) {
  drop(known);
  const { about } = known, figures = make("div", { class: "figures", "aria-live": "off" }), before = drawings.length;
  const plots = LIVE_PLOTS.map(([title, unit, fields, note]) => make("div", { class: "card" }, figure(title, fields.length > 1 ? "solid p50, dashed p95" : note || "", (w) => livePlot(known, title, unit, fields, w), () => liveSheet(known, fields))));
  known.drawn = drawings.slice(before);
  known.show = () => {
    figures.replaceChildren(...liveFigures(known.about));
  };
  known.node = make("div", { class: "live-run" }, make("header", {}, make("h3", {}, make("a", { href: runsHash([about.file]) }, about.file)), make("p", { class: "sub" }, [about.target, about.url, about.load].filter(Boolean).join(" · "))), figures, make("div", { class: "grid" }, ...plots));
  return known.node;
}
// The line of the terminal's live view: rate, open, done and failures first, then speed, latencies, how far it is, spend.
function liveFigures(a) {
  const said = (value, unit) => make("span", {}, make("b", {}, value), ` ${unit}`), p = a.progress, shown = [];
  const bad = Object.entries(a.categories).filter(([name]) => name !== "success").map(([name, n]) => `${int(n)} ${name}`).join(", ");
  if (p && p.requests_per_s !== null) shown.push(said(num(p.requests_per_s), "requests/s"));
  if (p) shown.push(said(int(p.open), "open"));
  const done = Math.max(a.requests, p ? p.done : 0);
  shown.push(said(p && p.total ? `${int(done)}/${int(p.total)}` : int(done), "done"));
  shown.push(make("span", { class: a.failed ? "worse" : "" }, make("b", {}, int(a.failed)), ` failed${bad ? `: ${bad}` : ""}`));
  if (p && p.tokens_per_s) shown.push(said(num(p.tokens_per_s), "tokens/s"));
  for (const [name, metric] of [["TTFT", "ttft"], ["ITL", "itl"]]) {
    const p50 = a.recent[`${metric}_p50_ms`];
    if (p50 !== null) shown.push(make("span", { title: "of the newest requests" }, `${name} p50 `, make("b", {}, time(p50)), " p95 ", make("b", {}, time(a.recent[`${metric}_p95_ms`]))));
  }
  if (p) shown.push(make("span", {}, `${p.stage ? `${p.stage}, ` : ""}${int(p.elapsed_s)} s${p.left_s !== null ? `, ${int(p.left_s)} s left` : ""}`));
  if (p && p.spent_usd !== null) shown.push(said(`$${p.spent_usd.toFixed(4)}`, "spent"));
  if (!p || a.age_s > SILENT_S) shown.push(make("span", { class: p ? "worse" : "" }, `last written ${int(a.age_s)} s ago`));
  if (a.behind) shown.push(make("span", {}, "still reading what was written before"));
  if (p && p.share !== null) shown.push(make("progress", { max: 1, value: p.share, "aria-label": `${Math.round(p.share * 100)} % done` }));
  return shown;
}
function livePlot(known, title, unitName, fields, width) {
  // The last slice is not over yet: a part of a second would look like a fall.
  const step = known.about.step_s, every = [...known.slices.keys()].sort((a, b) => a - b), numbers = every.length > 1 ? every.slice(0, -1) : every;
  const values = numbers.flatMap((k) => fields.map(([f]) => known.slices.get(k)[f])).filter((v) => v !== null);
  const most = values.some((v) => v > 0) ? round(Math.max(...values)) : 1, unit = unitName === "ms" ? timeUnit(most) : { by: 1, name: unitName };
  const first = numbers[0] || 0, last = numbers.length ? numbers[numbers.length - 1] + 1 : 1;
  const at = frame(width, 170, { min: first * step, max: Math.max(last, first + 10) * step, title: "seconds after the run's start" }, { min: 0, max: most, by: unit.by, title: unit.name });
  at.svg.setAttribute("aria-label", `${title} of ${known.about.file}`);
  fields.forEach(([f], i) => {
    const points = [];
    for (let k = first; k < last; k++) points.push([(k + 0.5) * step, known.slices.has(k) ? known.slices.get(k)[f] : null]);
    at.svg.append(draw("path", { d: path(points, at.x, at.y), fill: "none", stroke: color(0), "stroke-width": 1.8, "stroke-dasharray": i ? "5 4" : "", "stroke-linejoin": "round" }));
  });
  for (const k of numbers) if (known.slices.get(k).failed) at.svg.append(draw("path", { d: `M${at.x((k + 0.5) * step).toFixed(1)} ${at.bottom}l-4 7h8z`, fill: "var(--bad)" }));
  return crosshair(at, (vx) => {
    const k = Math.floor(vx / step), slice = known.slices.get(k);
    if (!slice) return null;
    const rows = fields.map(([f, name]) => [color(0), name, slice[f] === null ? "–" : unitName === "ms" ? time(slice[f]) : num(slice[f])]);
    return { title: `${int(k * step)} to ${int((k + 1) * step)} s`, x: vx, rows: slice.failed ? [...rows, ["var(--bad)", "failed", int(slice.failed)]] : rows };
  }, numbers.map((k) => [(k + 0.5) * step, most / 2]));
}
function liveSheet(known, fields) {
  const numbers = [...known.slices.keys()].sort((a, b) => a - b);
  return { head: ["from s", ...fields.map(([f]) => f), "failed"], rows: numbers.map((k) => [k * known.about.step_s, ...fields.map(([f]) => known.slices.get(k)[f]), known.slices.get(k).failed]) };
}
