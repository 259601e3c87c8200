// What happened when: rates and open requests over the run, each request as a dot, latency against load.
function overTime(field, title, unit, width) {
  const series = DATA.series, step = DATA.step_s;
  const inView = (_, k) => (k + 1) * step >= view.from && k * step <= view.to;
  const most = round(Math.max(...series.flatMap((s) => s.time[field].filter(inView)), 0));
  const at = frame(width, 190, { min: view.from, max: view.to, title: "seconds after the run's start" }, { min: 0, max: most, title: unit });
  at.svg.setAttribute("aria-label", `${title} over time`);
  const drawn = [];
  series.forEach((s, i) => {
    const values = s.time[field];
    const points = values.map((v, k) => [k * step, v]);
    points.push([s.span_s, values[values.length - 1]]);
    const d = stairs(points, at.x, at.y);
    if (!several) drawn.push(draw("path", { d: `${d}V${at.bottom}H${at.x(0)}Z`, fill: color(i), "fill-opacity": 0.16 }));
    drawn.push(draw("path", { d, fill: "none", stroke: color(i), "stroke-width": 1.8, "stroke-dasharray": several ? dash(i) : "", "stroke-linejoin": "round" }));
    s.time.failed.forEach((n, k) => {
      if (n) drawn.push(draw("path", { d: `M${at.x((k + 0.5) * step).toFixed(1)} ${at.bottom}l-4 7h8z`, fill: "var(--bad)" }));
    });
  });
  clipped(at, ...drawn);
  return crosshair(at, (vx) => {
    // The last slice of a series ends with it, and may be half as wide again.
    const slice = (s) => (vx > s.span_s ? undefined : Math.min(Math.floor(vx / step), s.time[field].length - 1));
    const rows = series.flatMap((s, i) => {
      const k = slice(s), failed = s.time.failed[k];
      const row = [color(i), label(s), k === undefined ? "–" : num(s.time[field][k])];
      return failed ? [row, ["var(--bad)", "failed in this slice", int(failed)]] : [row];
    });
    const k = Math.max(...series.map((s) => slice(s) ?? 0));
    const ends = Math.max(...series.map((s) => (k === s.time[field].length - 1 ? s.span_s : (k + 1) * step)));
    return { title: `${num(k * step)} to ${num(ends)} s: ${unit}`, x: vx, rows };
  }, slices().filter((k) => inView(0, k)).map((k) => [(k + 0.5) * step, most / 2]), view.zoom);
}
const slices = () => Array.from({ length: Math.max(...DATA.series.map((s) => s.time.open.length)) }, (_, k) => k);
function overTimeSheet(field, unit) {
  const values = (k) => DATA.series.flatMap((s) => [s.time[field][k] ?? null, s.time.failed[k] ?? null]);
  return { head: ["from s", ...DATA.series.flatMap((s) => [`${several ? `${s.letter} ` : ""}${unit}`, `${several ? `${s.letter} ` : ""}failed`])], rows: slices().map((k) => [k * DATA.step_s, ...values(k)]) };
}

let dotField = 1;
function requestDots(width) {
  const all = dotsShown(), unitName = dotField === 1 ? "TTFT" : "total";
  const values = all.flatMap((dots) => dots.map((d) => d[dotField])).filter((v) => v !== null);
  const most = values.length ? round(values.reduce((a, b) => Math.max(a, b), 0)) : 1;
  const unit = timeUnit(most);
  const at = frame(width, 260, { min: view.from, max: view.to, title: "seconds after the run's start" },
    { min: 0, max: most, by: unit.by, title: `${unitName}, ${unit.name}` });
  at.svg.setAttribute("aria-label", `${unitName} of each request over time`);
  const placed = [];
  all.forEach((dots, i) => {
    const marks = { good: "", bad: "" };
    for (const dot of dots) {
      // A failed request without the value stands on the axis.
      const px = at.x(dot[0]), py = at.y(dot[dotField] === null ? 0 : dot[dotField]);
      placed.push([px, py, dot, i]);
      const X = px.toFixed(1), Y = py.toFixed(1);
      if (dot[4]) marks.bad += `M${px - 3.5} ${py - 3.5}l7 7m0 -7l-7 7`;
      else marks.good += `M${X} ${Y}h0`;
    }
    at.svg.append(draw("path", { d: marks.good, stroke: color(i), "stroke-width": dots.length > 600 ? 3.5 : 5, "stroke-linecap": "round", "stroke-opacity": 0.6, fill: "none" }));
    at.svg.append(draw("path", { d: marks.bad, stroke: "var(--bad)", "stroke-width": 1.8, fill: "none" }));
  });
  return crosshair(at, (_x, _y, px, py) => {
    let best = null, least = Infinity;
    for (const place of placed) {
      const distance = (place[0] - px) ** 2 + (place[1] - py) ** 2;
      if (distance < least) { least = distance; best = place; }
    }
    if (!best) return null;
    const [, , dot, i] = best;
    return {
      title: `Request #${dot[3]}${several ? ` of ${DATA.series[i].letter}` : ""}${dot[4] ? ", failed" : ""}`,
      rows: [[color(i), "started", `${num(dot[0])} s`], [null, "TTFT", time(dot[1])], [null, "total", time(dot[2])]],
      dots: [[dot[0], dot[dotField] === null ? 0 : dot[dotField], dot[4] ? "var(--bad)" : color(i)]],
    };
  }, all.flat().sort((a, b) => a[0] - b[0]).map((d) => [d[0], d[dotField] ?? 0]), view.zoom);
}
function dotSheet() {
  const rows = dotsShown().flatMap((dots, i) => dots.map((d) => [label(DATA.series[i]), d[3], d[0], d[1], d[2], d[4] ? "failed" : "success"]));
  return { head: ["series", "request", "started s", "TTFT ms", "total ms", "outcome"], rows };
}

function timeCards() {
  const pick = choice(["TTFT", "total"], 0, (i) => { dotField = i + 1; });
  const drawn = DATA.dots.reduce((n, dots) => n + dots.length, 0);
  const all = DATA.requests.reduce((n, r) => n + r.of, 0);
  const some = drawn < all ? `${int(drawn)} of ${int(all)}, picked evenly; ` : "";
  const note = () => `${some}crosses failed; ${view.chosen() ? view.says() : "draw over a part of the time to zoom in"}`;
  const cards = [
    card(viewBar(), figure("Requests", note, requestDots, dotSheet, pick)),
    make("div", { class: "grid three" },
      card(figure("Concurrency", "requests open, mean of each slice", (w) => overTime("open", "Concurrency", "requests open", w), () => overTimeSheet("open", "open"))),
      card(figure("Requests/s", "answered in each slice", (w) => overTime("requests", "Requests/s", "requests/s", w), () => overTimeSheet("requests", "requests/s"))),
      card(figure("Tokens/s", "as they arrived", (w) => overTime("tokens", "Tokens/s", "tokens/s", w), () => overTimeSheet("tokens", "tokens/s")))),
  ];
  return cards;
}

const CURVES = [
  ["TTFT", "ms", [["ttft_p50_ms", "p50", ""], ["ttft_p95_ms", "p95", "5 4"]]],
  ["ITL", "ms", [["itl_p50_ms", "p50", ""], ["itl_p95_ms", "p95", "5 4"]]],
  ["Throughput", "tokens/s", [["tokens_per_second", "output tokens/s", ""]]],
];
function loadCurve([title, unitName, fields], width) {
  const swept = DATA.series.map((s, i) => [s, i]).filter(([s]) => s.stages.length);
  const points = swept.flatMap(([s]) => s.stages);
  const values = points.flatMap((p) => fields.map(([f]) => p[f])).filter((v) => v !== null);
  const unit = unitName === "ms" ? timeUnit(Math.max(...values)) : { by: 1, name: unitName };
  const mostX = Math.max(...points.map((p) => p.open));
  const at = frame(width, 250, { min: 0, max: mostX * 1.05, title: "requests open on average" },
    { min: 0, max: round(Math.max(...values, 1e-9)), by: unit.by, title: unit.name });
  at.svg.setAttribute("aria-label", `${title} against load`);
  for (const [s, i] of swept) {
    if (s.knee !== null) {
      const stage = s.stages[s.knee], px = at.x(stage.open), left = px > (at.left + at.right) / 2;
      at.svg.append(draw("line", { class: "knee", x1: px, x2: px, y1: at.top, y2: at.bottom }),
        draw("text", { class: "bad", x: px + (left ? -6 : 6), y: at.top + 9 + 13 * i, "text-anchor": left ? "end" : "start" }, `knee${several ? ` ${s.letter}` : ""}: ${stage.name}`));
    }
    for (const [field, , dashes] of fields) {
      const line = s.stages.map((p) => [p.open, p[field]]);
      at.svg.append(draw("path", { d: path(line, at.x, at.y), fill: "none", stroke: color(i), "stroke-width": 2, "stroke-dasharray": dashes, "stroke-linejoin": "round" }));
      for (const [vx, vy] of line) {
        if (vy !== null) at.svg.append(draw("circle", { cx: at.x(vx), cy: at.y(vy), r: 3.5, fill: dashes ? "var(--card)" : color(i), stroke: color(i), "stroke-width": 1.5 }));
      }
    }
  }
  return crosshair(at, (vx) => {
    const near = swept.map(([s, i]) => [s.stages.reduce((a, b) => (Math.abs(b.open - vx) < Math.abs(a.open - vx) ? b : a)), i]);
    const [closest] = near.reduce((a, b) => (Math.abs(b[0].open - vx) < Math.abs(a[0].open - vx) ? b : a));
    return {
      title: `${closest.name}: ${num(closest.open)} requests open`,
      x: closest.open,
      rows: near.flatMap(([p, i]) => fields.map(([f, name]) => [color(i), `${several ? `${DATA.series[i].letter} ` : ""}${name}`, p[f] === null ? "–" : `${num(p[f] / unit.by)} ${unit.name}`])),
      dots: near.flatMap(([p, i]) => fields.filter(([f]) => p[f] !== null).map(([f]) => [p.open, p[f], color(i)])),
    };
  }, [...points].sort((a, b) => a.open - b.open).map((p) => [p.open, p[fields[0][0]] ?? 0]));
}
function loadSheet([, unitName, fields]) {
  const rows = DATA.series.flatMap((s) => s.stages.map((p) => [label(s), p.name, p.open, ...fields.map(([f]) => p[f])]));
  return { head: ["series", "stage", "open", ...fields.map(([, name]) => (unitName === "ms" ? `${name} ms` : name))], rows };
}

function loadCards() {
  if (!DATA.series.some((s) => s.stages.length)) return null;
  const head = ["stage", "requests", "failed", "open", "requests/s", "tokens/s", "TTFT p50", "TTFT p95", "ITL p50", "ITL p95", "total p50", "total p95"];
  const rows = DATA.series.flatMap((s, i) => s.stages.map((p, k) => make("tr", {},
    make("td", { class: "text strong" }, letter(i), p.name, k === s.knee ? make("span", { class: "worse delta" }, "knee") : null),
    cell(int(p.requests)), cell(int(p.failed), p.failed ? "worse" : "quiet"), cell(num(p.open)), cell(num(p.requests_per_second)), cell(num(p.tokens_per_second)),
    ...["ttft_p50_ms", "ttft_p95_ms", "itl_p50_ms", "itl_p95_ms", "total_p50_ms", "total_p95_ms"].map((f) => cell(p[f] === null ? "–" : num(p[f]), p[f] === null ? "quiet" : "")))));
  return [
    make("div", { class: "grid three" }, ...CURVES.map((curve) => card(figure(`${curve[0]} against load`, curve[2].length > 1 ? "solid p50, dashed p95" : "", (w) => loadCurve(curve, w), () => loadSheet(curve))))),
    make("div", { class: "card beside" }, tableOf(head, rows)),
  ];
}
