// The parts made of text and tables: head, figures, outcomes, cost, cold and warm, runs, definitions.
function cell(text, kind = "") {
  return make("td", { class: kind }, text);
}
// left: the columns of words
function tableOf(head, rows, left = [0]) {
  return roving(make("div", { class: "scroll" }, make("table", {},
    make("thead", {}, make("tr", {}, ...head.map((name, i) => make("th", { class: left.includes(i) ? "text" : "", scope: "col" }, name)))),
    make("tbody", {}, ...rows))));
}

function tile(name, value, unit, more, kind = "") {
  if (value === null || value === undefined || value === "–") return null;
  return make("div", { class: `tile ${kind}` }, make("div", { class: "name" }, name),
    make("div", { class: "value" }, value, unit ? make("small", {}, unit) : null), make("div", { class: "more" }, more || " "));
}
function timeTile(name, ms, tail) {
  if (ms === null) return null;
  const unit = timeUnit(ms);
  return tile(name, num(ms / unit.by), unit.name, tail.length ? `${tail[0]} ${time(tail[1])}` : "");
}
function tiles(series) {
  const t = series.tiles;
  const rate = t.failed ? `${int(t.failed)} failed (${percent(t.failed / t.requests)})` : "none failed";
  return make("div", { class: "tiles" },
    tile("requests", int(t.requests), "", `${rate}${t.retries ? `, ${int(t.retries)} retries` : ""}`, t.failed ? "bad" : ""),
    timeTile("TTFT p50", t.ttft, t.ttft_tail), timeTile("ITL p50", t.itl, t.itl_tail), timeTile("total p50", t.total, t.total_tail),
    t.tokens_per_second === null ? null : tile("output tokens/s", num(t.tokens_per_second), "", t.request_speed === null ? "" : `${num(t.request_speed)} tokens/s a request`),
    t.requests_per_second === null ? null : tile("requests/s", num(t.requests_per_second), "", t.open === null ? "" : `${num(t.open)} open on average`),
    t.goodput === null ? null : tile("goodput, requests/s", num(t.goodput), "", `${percent(t.good / t.requests)} met ${t.slos.join(", ")}`),
    t.output_tokens === null ? null : tile("tokens", int(t.output_tokens), "out", t.input_tokens === null ? "" : `${int(t.input_tokens)} in`),
    t.cost === null ? null : tile("cost", short(t.cost, 9), "", `${t.cost_each.slice(0, 11)} a request${t.cost_estimated ? ", an estimate" : ""}`),
    ...t.more.map(([name, value, unit]) => tile(name, num(value), unit)));
}

// Several series side by side, and each against the one it is compared with: the verdicts of `lll compare`.
const TESTED = { ttft: "ttft_ms", itl: "itl_ms", total: "total_latency_ms", request_speed: "tokens_per_second" };
const change = (relative) => `${relative >= 0 ? "+" : "−"}${Math.abs(relative * 100).toFixed(Math.abs(relative) < 0.1 ? 1 : 0)} %`;
const KIND = { better: "better", worse: "worse", same: "quiet" };
function sideBySide() {
  const fields = [["TTFT p50", "ttft", time], ["ITL p50", "itl", time], ["total p50", "total", time],
    ["output tokens/s", "tokens_per_second", num], ["tokens/s a request", "request_speed", num], ["requests/s", "requests_per_second", num]];
  const rows = DATA.series.map((s, i) => {
    const found = DATA.comparisons.find((c) => c.candidate === i);
    return make("tr", {}, make("td", { class: "text strong" }, letter(i), s.name),
      cell(int(s.tiles.requests)), cell(int(s.tiles.failed), s.tiles.failed ? "worse" : "quiet"),
      ...fields.map(([, field, text]) => {
        const value = s.tiles[field], base = found ? DATA.series[found.baseline].tiles[field] : null;
        const node = cell(text(value), value === null ? "quiet" : "");
        if (value !== null && base) {
          const tested = found.shifts.find((one) => one.metric === TESTED[field] && one.statistic === "p50");
          node.append(make("span", { class: `delta ${tested ? KIND[tested.verdict] : "quiet"}` }, change(value / base - 1)));
        }
        return node;
      }),
      cell(s.tiles.cost_each === null ? "–" : s.tiles.cost_each.slice(0, 11), s.tiles.cost_each === null ? "quiet" : ""));
  });
  return make("div", { class: "card beside" }, tableOf(["", "requests", "failed", ...fields.map((f) => f[0]), "cost a request"], rows));
}
function comparisonCards() {
  return DATA.comparisons.map((c) => {
    const amount = (one, value) => (value !== null && one.unit.startsWith("USD") ? `$${value.toLocaleString("en-US", { maximumSignificantDigits: 4 })}` : num(value));
    const rows = c.shifts.map((one) => make("tr", {},
      make("td", { class: "text strong" }, `${one.metric} ${one.statistic}`), cell(amount(one, one.baseline)), cell(amount(one, one.candidate)),
      cell(one.relative === null ? amount(one, one.difference) : change(one.relative), KIND[one.verdict]), cell(`${amount(one, one.low)} to ${amount(one, one.high)}`, "quiet"),
      cell(one.p < 0.001 ? "<0.001" : one.p.toFixed(3), "quiet"), cell(amount(one, one.smallest_seen), "quiet"), make("td", { class: `text ${KIND[one.verdict]}` }, one.verdict)));
    const how = c.paired ? "asked in turns" : "not interleaved: drift between them is not excluded";
    return card(make("h3", {}, letter(c.candidate), `against `, letter(c.baseline), make("span", { class: "note" }, how)),
      rows.length ? tableOf(["", DATA.series[c.baseline].letter, DATA.series[c.candidate].letter, "shift", "95 % interval", "p", "could see", "verdict"], rows, [0, 7]) : null,
      rows.length ? make("p", { class: "needs" }, "95 % interval: of the difference; p: how often chance alone shifts as much; could see: the smallest difference that these requests would have shown") : null,
      c.too_few ? make("p", { class: "needs" }, c.too_few) : null);
  });
}

// A figure with its interval under the pointer, where it has one.
function sureCell(d, name, value, kind = "") {
  const node = cell(num(value), kind), sure = d.sure[name];
  if (!sure) return d.unsure[name] ? hoverable(node, `${name} ${num(value)}`, [[null, `no 95 % interval: ${d.unsure[name]}`]]) : node;
  const rows = [[null, `${num(sure[2] * 100).replace(/\.?0+$/, "")} % interval`, `${num(sure[0])} to ${num(sure[1])}`]];
  if (sure[3] > 1) rows.push([null, `neighbours resemble each other: ${int(sure[3])} tell as much as one`]);
  node.classList.add("sure");
  return hoverable(node, `${name} ${num(value)}`, rows);
}
function figuresTable() {
  if (!DATA.table.length) return card(make("p", { class: "needs" }, "no latency was measured: no request succeeded"));
  const head = ["metric", ...(several ? [""] : []), "min", ...DATA.columns, "max", "mean", "std dev", "unit", "n"];
  const rows = DATA.table.flatMap((row) => {
    let first = true;
    return row.series.map((d, i) => [d, i]).filter(([d]) => d).map(([d, i], k, there) => {
      const name = make("td", { class: "text strong" }, first ? row.label : "");
      if (first) hoverable(name, row.label, [[null, `${row.metric} = ${row.formula}`], ...(row.better ? [[null, `${row.better} is better`]] : [])]);
      first = false;
      return make("tr", { class: k < there.length - 1 ? "group" : "" }, name,
        several ? make("td", { class: "text" }, letter(i)) : null, cell(num(d.min)),
        ...DATA.columns.map((p) => (p in d.percentiles ? sureCell(d, p, d.percentiles[p], p === "p50" ? "strong" : "") : cell("–", "quiet"))),
        cell(num(d.max)), sureCell(d, "mean", d.mean), cell(num(d.std_dev)), cell(row.unit === "us" ? "µs" : row.unit, "quiet"), cell(int(d.n), "quiet"));
    });
  });
  return card(tableOf(head, rows, several ? [0, 1] : [0]), needsLine());
}
// How many values the percentiles need that stand nowhere, as the terminal says it.
function needsLine() {
  const shown = DATA.table.flatMap((row) => row.series.filter(Boolean));
  const says = DATA.columns.map((p) => [p, shown.find((d) => p in d.needs)]).filter(([, d]) => d).map(([p, d]) => `${p} needs at least ${int(d.needs[p])} requests`);
  return says.length ? make("p", { class: "needs" }, `–  ${says.join(", ")}`) : null;
}

const KINDS = ["var(--s2)", "var(--s1)", "var(--s3)", "var(--s4)", "var(--s5)", "var(--s7)", "var(--s6)", "var(--s0)"];
function outcomeCards() {
  const kinds = [...new Set(DATA.series.flatMap((s) => s.outcomes.map((o) => o.category)))].sort((a, b) => (b === "success") - (a === "success"));
  const paint = (category) => KINDS[kinds.indexOf(category) % KINDS.length];
  const bars = (width) => {
    const left = several ? 34 : 0, svg = draw("svg", { viewBox: `0 0 ${width} ${DATA.series.length * 30}`, role: "img", "aria-label": "Outcomes" });
    DATA.series.forEach((s, i) => {
      let x = left;
      if (several) svg.append(draw("text", { class: "strong", x: 0, y: i * 30 + 19 }, s.letter));
      for (const o of s.outcomes) {
        const w = o.share * (width - left);
        const bar = draw("rect", { x, y: i * 30 + 5, width: Math.max(w - 1, 1), height: 20, rx: 2, fill: paint(o.category) });
        svg.append(hoverable(bar, o.category, [[null, "requests", `${int(o.count)} (${percent(o.share)})`], ...(o.example ? [[null, o.example]] : [])]));
        x += w;
      }
    });
    return roving(svg);
  };
  const sheet = () => ({ head: ["series", "outcome", "requests", "share"], rows: DATA.series.flatMap((s) => s.outcomes.map((o) => [label(s), o.category, o.count, o.share])) });
  const rows = DATA.series.flatMap((s, i) => s.outcomes.map((o) => make("tr", {},
    make("td", { class: "text" }, letter(i), swatch(paint(o.category)), o.category), cell(int(o.count), "strong"), cell(percent(o.share)), make("td", { class: "text wrap" }, o.example))));
  return card(figure("How requests ended", "", bars, sheet), tableOf(["outcome", "requests", "share", ""], rows));
}

function spanOf(curves) {
  const low = Math.min(...curves.map((c) => c[0][0])), high = Math.max(...curves.map((c) => c[c.length - 1][0]));
  const pad = (high - low) * 0.03 || high * 0.05 || 1;
  return { min: Math.max(low - pad, 0), max: high + pad, log: false };
}
function connectionCards() {
  const both = DATA.series.map((s, i) => [s, i]).filter(([s]) => s.connections);
  if (!both.length) return null;
  const curves = both.flatMap(([s]) => [s.connections.new.cdf, s.connections.reused.cdf]);
  const names = both.flatMap(([s, i]) => ["new", "reused"].map((kind, k) => [several ? color(i) : color(k), `${several ? `${s.letter} ` : ""}${kind} connection`, k ? "" : "6 4"]));
  const metrics = [["ttft_ms", "TTFT"], ["ttft_from_send_ms", "from send"], ["connect_ms", "connect"], ["total_latency_ms", "total"]];
  const rows = both.flatMap(([s, i]) => ["new", "reused"].map((kind) => make("tr", {},
    make("td", { class: "text strong" }, letter(i), `${kind} connection`), cell(int(s.connections[kind].n), "quiet"),
    ...metrics.map(([m]) => cell(m in s.connections[kind].medians ? time(s.connections[kind].medians[m]) : "–")))));
  return make("div", { class: "grid wide" },
    card(figure("TTFT on new and on reused connections", "cumulative", (w) => cumulative(curves, names, spanOf(curves), w, "requests", "TTFT by connection"), () => cumulativeSheet(curves, names)), legend(names)),
    card(make("h3", { style: { marginBottom: "12px" } }, "Medians"), tableOf(["", "n", ...metrics.map((m) => m[1])], rows)));
}

function costCards() {
  const known = DATA.series.map((s, i) => [s, i]).filter(([s]) => s.cost);
  if (!known.length) return null;
  const parts = ["input", "output", "thinking"], paint = (name) => ["var(--s0)", "var(--s1)", "var(--s3)"][parts.indexOf(name)];
  const priced = known.filter(([s]) => s.cost.total);
  const most = Math.max(...priced.map(([s]) => s.cost.parts.reduce((sum, p) => sum + p[2], 0)), 1e-12);
  const bars = (width) => {
    const left = several ? 34 : 0, svg = draw("svg", { viewBox: `0 0 ${width} ${priced.length * 30}`, role: "img", "aria-label": "Cost by part" });
    priced.forEach(([s], k) => {
      let x = left;
      if (several) svg.append(draw("text", { class: "strong", x: 0, y: k * 30 + 19 }, s.letter));
      for (const [name, text, amount] of s.cost.parts) {
        const w = amount / most * (width - left);
        svg.append(hoverable(draw("rect", { x, y: k * 30 + 5, width: Math.max(w - 1, 1), height: 20, rx: 2, fill: paint(name) }), `${name} tokens`, [[null, "cost", text]]));
        x += w;
      }
    });
    return roving(svg);
  };
  const sheet = () => ({ head: ["series", "part", "cost USD"], rows: priced.flatMap(([s]) => s.cost.parts.map(([name, text]) => [label(s), name, text.replace("$", "")])) });
  const rows = known.map(([s, i]) => make("tr", {}, make("td", { class: "text strong" }, letter(i), several ? s.name : "all requests"),
    cell(s.cost.total || "not known", s.cost.total ? "strong" : "quiet"), cell(s.cost.each || "–"), cell(s.cost.per_million || "–"), cell(int(s.cost.unpriced), s.cost.unpriced ? "worse" : "quiet"),
    make("td", { class: "text wrap" }, [...(s.cost.sources || []), s.cost.reason].filter(Boolean).join("; "))));
  const used = parts.filter((name) => priced.some(([s]) => s.cost.parts.some((p) => p[0] === name)));
  return card(
    priced.length ? figure("What it cost", "thinking is a part of the output, shown apart", bars, sheet) : null,
    used.length ? legend(used.map((name) => [paint(name), `${name} tokens`])) : null,
    tableOf(["", "total", "a request", "a million output tokens", "no known cost", "price from"], rows, [0, 5]));
}

function runCards() {
  return make("div", { class: "grid wide" }, ...DATA.runs.map((run, k) => {
    const of = DATA.series.map((s, i) => [s, i]).filter(([s]) => s.run === k);
    const us = (v) => (v === null ? "–" : v.toFixed(1));
    const rows = run.error_rows.map((r) => make("tr", {}, make("td", { class: "text" }, r[0]), cell(r[1], "quiet"), cell(r[2] === null ? "–" : (r[2] >= 0 ? "+" : "−") + us(Math.abs(r[2]))), ...r.slice(3).map((v) => cell(us(v)))));
    return card(several ? make("h3", { style: { marginBottom: "10px" } }, ...of.map(([, i]) => letter(i)), of.map(([s]) => s.name).join(", ") || "no requests") : null,
      make("dl", { class: "facts" }, ...run.facts.flatMap(([name, says]) => [make("dt", {}, name), make("dd", { class: name === "command" ? "code" : "" }, says)])),
      make("div", { class: "instrument" }, make("h3", {}, "This instrument’s own error"), make("p", {}, run.error_says.replaceAll(" us", " µs")),
        rows.length ? tableOf(["µs", "stamps", "TTFT bias", "p50", "p99", "max", "p99 unstamped"], rows) : null));
  }));
}

function definitions() {
  const rows = DATA.definitions.map((d) => make("tr", {}, make("td", { class: "text code" }, d.name), make("td", { class: "text" }, d.unit), make("td", { class: "text wrap" }, d.formula), make("td", { class: "text wrap" }, d.source), make("td", { class: "text" }, d.better)));
  return card(make("details", {}, make("summary", {}, "Every metric and its formula"), tableOf(["name", "unit", "formula", "source", "better"], rows, [0, 1, 2, 3, 4])));
}
