// Distributions: bins over each other, and the share of values not above x.
const NAMES = { ttft_ms: "TTFT", itl_ms: "ITL", total_latency_ms: "total" };
const WHAT = { ttft_ms: "time to first token", itl_ms: "gap between tokens, pooled over requests", total_latency_ms: "start to the end of the answer" };
const OF = { ttft_ms: "requests", itl_ms: "gaps", total_latency_ms: "requests" };

function histogram(metric, width) {
  const found = DATA.histograms[metric], edges = found.edges;
  const unit = timeUnit(edges[edges.length - 1]);
  const shares = found.counts.map((counts) => { const n = counts.reduce((a, b) => a + b, 0); return counts.map((c) => c / n); });
  const most = round(Math.max(...shares.flat(), 0.01) * 100);
  const at = frame(width, 230,
    { min: edges[0], max: edges[edges.length - 1], log: found.log, by: unit.by, title: `${unit.name}${found.log ? ", logarithmic" : ""}` },
    { min: 0, max: most, title: `% of ${OF[metric]}` });
  at.svg.setAttribute("aria-label", `Histogram of ${NAMES[metric]}`);
  shares.forEach((share, i) => {
    if (!share.length) return;
    let d = `M${at.x(edges[0])} ${at.bottom}`;
    share.forEach((v, k) => { d += `V${at.y(v * 100).toFixed(1)}H${at.x(edges[k + 1]).toFixed(1)}`; });
    d += `V${at.bottom}`;
    at.svg.append(draw("path", { d, fill: color(i), "fill-opacity": several ? 0.14 : 0.22, stroke: color(i), "stroke-width": 1.5, "stroke-dasharray": several ? dash(i) : "", "stroke-linejoin": "round" }));
  });
  return crosshair(at, (vx) => {
    const k = Math.min(Math.max(edges.findIndex((e) => e > vx) - 1, 0), edges.length - 2);
    const last = k === edges.length - 2 ? " and above" : k === 0 && found.log ? " and below" : "";
    return {
      title: `${num(edges[k] / unit.by)} to ${num(edges[k + 1] / unit.by)} ${unit.name}${last}`,
      x: vx,
      rows: shares.map((share, i) => [color(i), label(DATA.series[i]), share.length ? `${int(found.counts[i][k])} (${percent(share[k])})` : "–"]),
    };
  }, edges.slice(1).map((e, k) => [found.log ? Math.sqrt(e * edges[k]) : (e + edges[k]) / 2, most / 2]));
}
function histogramSheet(metric) {
  const { edges, counts } = DATA.histograms[metric];
  return { head: ["from ms", "to ms", ...DATA.series.map(label)], rows: edges.slice(1).map((to, k) => [edges[k], to, ...counts.map((c) => (c.length ? c[k] : null))]) };
}

// axis: {min, max, log}; what lies beyond it is named, not drawn.
function cumulative(curves, names, axis, width, what, name) {
  const most = Math.max(...curves.filter((c) => c && c.length).map((c) => c[c.length - 1][0]));
  const unit = timeUnit(axis.max), beyond = most > axis.max * 1.001;
  const at = frame(width, 230,
    { ...axis, by: unit.by, title: `${beyond ? `the longest, ${time(most)}, lies beyond; ` : ""}${unit.name}${axis.log ? ", logarithmic" : ""}` },
    { min: 0, max: 100, title: `% of ${what} not above`, ticks: [0, 25, 50, 75, 100], text: (v) => String(v) });
  at.svg.setAttribute("aria-label", `Cumulative ${name}`);
  for (const q of [50, 95, 99]) {
    at.svg.append(draw("line", { class: "guide", x1: at.left, x2: at.right, y1: at.y(q), y2: at.y(q) }));
    if (q !== 99) at.svg.append(draw("text", { x: at.left + 4, y: at.y(q) + (q === 95 ? 12 : -4) }, `p${q}`));
  }
  curves.forEach((curve, i) => {
    if (!curve || !curve.length) return;
    const inside = curve.filter(([v]) => v <= axis.max), last = inside.length ? inside[inside.length - 1][1] * 100 : 0;
    const points = [[Math.max(curve[0][0], axis.min), 0], ...inside.map(([v, share]) => [Math.max(v, axis.min), share * 100]), [axis.max, last]];
    at.svg.append(draw("path", { d: stairs(points, at.x, at.y), fill: "none", stroke: names[i][0], "stroke-width": 2, "stroke-dasharray": names[i][2] || "", "stroke-linejoin": "round" }));
  });
  return crosshair(at, (_, vy) => {
    const q = Math.min(Math.max(vy, 0.1), 100);
    const read = curves.map((curve) => (curve && curve.length ? curve.find(([, share]) => share * 100 >= q - 1e-9) || curve[curve.length - 1] : null));
    return {
      title: `${q.toFixed(1)} % are not above`,
      y: q,
      rows: read.map((point, i) => [names[i][0], names[i][1], point ? `${num(point[0] / unit.by)} ${unit.name}` : "–"]),
      dots: read.map((point, i) => point && point[0] <= axis.max && [point[0], q, names[i][0]]).filter(Boolean),
    };
  }, PERCENTS.map((q) => [axis.max, q]));
}
const PERCENTS = [...Array.from({ length: 99 }, (_, i) => i + 1), 99.5, 99.9, 100];
function cumulativeSheet(curves, names) {
  return { head: ["series", "ms", "share not above"], rows: curves.flatMap((curve, i) => (curve || []).map(([v, share]) => [names[i][1], v, share])) };
}

function distributionCards() {
  const grid = make("div", { class: "grid" });
  const names = DATA.series.map((s, i) => [color(i), label(s), several ? dash(i) : ""]);
  for (const metric of Object.keys(DATA.histograms)) {
    const found = DATA.histograms[metric], axis = { min: found.edges[0], max: found.edges[found.edges.length - 1], log: found.log };
    grid.append(
      card(figure(NAMES[metric], WHAT[metric], (width) => histogram(metric, width), () => histogramSheet(metric))),
      card(figure(`${NAMES[metric]}, cumulative`, "read a percentile at its height", (width) => cumulative(found.cdf, names, axis, width, OF[metric], NAMES[metric]), () => cumulativeSheet(found.cdf, names))));
  }
  return grid;
}
