// Single requests: their phases as bars, their tokens as marks; and the phases' means, stacked.
let onRunClock = false;

function rowsOf(width, rowHeight, paintRow) {
  const groups = rowsShown().map((rows, i) => [rows, i]).filter(([rows]) => rows.length);
  if (!groups.length) return make("p", { class: "needs" }, `no request of those drawn here is in the choice: ${view.says()}`);
  const rows = groups.flatMap(([r]) => r);
  const from = (row) => (onRunClock ? row.at * 1000 : 0);
  const first = Math.min(0, ...rows.flatMap((r) => r.bars.map(([, start]) => from(r) + start)));
  const last = Math.max(...rows.map((r) => from(r) + Math.max(r.total || 0, ...r.bars.map(([, s, d]) => s + d))), 1e-6);
  const unit = timeUnit(last), headed = several ? 24 : 0;
  const height = rows.length * rowHeight + groups.length * headed + 60;
  const at = frame(width, height, { min: first, max: last * 1.01, by: unit.by, title: `${unit.name} after the ${onRunClock ? "run's" : "request's"} start` },
    { min: 0, max: 1, ticks: [] }, { left: 58, right: 74, top: 8 });
  for (const line of ticks(first / unit.by, last / unit.by, (at.right - at.left) / 70)) {
    at.svg.append(draw("line", { class: "gridline", x1: at.x(line * unit.by), x2: at.x(line * unit.by), y1: at.top, y2: at.bottom }));
  }
  let y = at.top;
  for (const [shown, i] of groups) {
    if (headed) {
      at.svg.append(draw("text", { class: "strong", x: 0, y: y + 16 }, label(DATA.series[i])));
      y += headed;
    }
    for (const row of shown) {
      const group = draw("g", { class: "row" }, draw("rect", { class: "hit", x: 0, y, width, height: rowHeight }));
      group.append(draw("text", { x: at.left - 8, y: y + rowHeight / 2 + 4, "text-anchor": "end", class: row.ok ? "" : "bad" }, `${row.ok ? "" : "✕ "}#${row.index}`));
      paintRow(group, row, i, y, at, from(row));
      at.svg.append(group);
      y += rowHeight;
    }
  }
  return roving(at.svg);
}
function rowSheet() {
  const rows = rowsShown().flatMap((some, i) => some.map((row) => {
    const took = (p) => row.bars.filter(([phase]) => phase === p).reduce((sum, [, , ms]) => sum + ms, 0);
    return [label(DATA.series[i]), row.index, row.category, row.at, row.ttft, row.total, ...DATA.phases.map((_, p) => took(p)), row.tokens ?? null, row.stalls ?? null];
  }));
  return { head: ["series", "request", "outcome", "started s", "TTFT ms", "total ms", ...DATA.phases.map((p) => `${p} ms`), "tokens", "stalls"], rows };
}
function tokenSheet() {
  const rows = rowsShown().flatMap((some, i) => some.filter((row) => row.gaps_us).flatMap((row) => {
    let us = row.first_us;
    return [row.first_us, ...row.gaps_us].map((gap, k) => { if (k) us += gap; return [label(DATA.series[i]), row.index, k + 1, us / 1000, k ? gap / 1000 : null]; });
  }));
  return { head: ["series", "request", "event", "ms after start", "gap ms"], rows };
}

function facts(row) {
  const found = [[null, "started", `${num(row.at)} s`], [null, "TTFT", time(row.ttft)], [null, "total", time(row.total)]];
  if (row.tokens) found.push([null, "tokens", `${int(row.tokens)} in ${int(row.events)} events`]);
  if (row.stalls) found.push(["var(--bad)", "stalls", int(row.stalls)]);
  if (row.stage) found.push([null, "stage", row.stage]);
  if (row.connection) found.push([null, row.connection]);
  if (row.error) found.push(["var(--bad)", row.error]);
  return found;
}
const named = (row) => `Request #${row.index}: ${row.category}`;

function waterfall(width) {
  const svg = rowsOf(width, 18, (group, row, _i, y, at, zero) => {
    let end = at.left;
    for (const [phase, start, took] of row.bars) {
      const x0 = at.x(zero + start), x1 = at.x(zero + start + took);
      group.append(draw("rect", { x: x0.toFixed(2), y: y + 4, width: Math.max(x1 - x0, 0.8).toFixed(2), height: 10, rx: x1 - x0 > 4 ? 2 : 0, fill: phaseColor(phase) }));
      end = Math.max(end, x1);
    }
    group.append(draw("text", { x: Math.min(end + 6, at.right + 6), y: y + 13, class: row.ok ? "" : "bad" }, row.ok ? time(row.total) : row.category));
    hoverable(group, named(row), () => [...row.bars.map(([p, , took]) => [phaseColor(p), phaseName(p), time(took)]), ...facts(row)]);
  });
  svg.setAttribute("aria-label", "Phases of single requests");
  return svg;
}

function tokenLines(width) {
  const svg = rowsOf(width, 16, (group, row, i, y, at, zero) => {
    const marks = [];
    if (row.gaps_us) {
      let us = row.first_us, seen = -1, d = "";
      marks.push(us);
      for (const gap of row.gaps_us) { us += gap; marks.push(us); }
      for (const mark of marks) {
        const px = Math.round(at.x(zero + mark / 1000) * 2) / 2;
        if (px === seen) continue; // marks closer than half a pixel are one
        seen = px;
        d += `M${px} ${y + 3}v10`;
      }
      const wait = at.x(zero + row.first_us / 1000);
      group.append(draw("line", { x1: at.x(zero), x2: wait, y1: y + 8, y2: y + 8, stroke: "var(--line)", "stroke-width": 1.5 }));
      group.append(draw("path", { d, stroke: color(i), "stroke-width": 1.1, fill: "none" }));
      let from = row.first_us;
      for (const gap of row.gaps_us) {
        if (row.stalls && gap > row.stall_us) group.append(draw("line", { x1: at.x(zero + from / 1000), x2: at.x(zero + (from + gap) / 1000), y1: y + 8, y2: y + 8, stroke: "var(--bad)", "stroke-width": 3 }));
        from += gap;
      }
      group.append(draw("text", { x: Math.min(at.x(zero + from / 1000) + 6, at.right + 6), y: y + 12 }, `${int(row.tokens)}${row.stalls ? `, ${row.stalls} stall${row.stalls > 1 ? "s" : ""}` : ""}`));
    } else {
      group.append(draw("text", { x: at.x(zero) + 4, y: y + 12, class: row.ok ? "" : "bad" }, row.ok ? "no tokens" : row.category));
    }
    hoverable(group, named(row), (event) => {
      if (!event || !marks.length) return facts(row);
      const box = at.svg.getBoundingClientRect();
      const us = (at.x.back((event.clientX - box.left) * at.width / box.width) - zero) * 1000;
      const k = marks.reduce((best, mark, n) => (Math.abs(mark - us) < Math.abs(marks[best] - us) ? n : best), 0);
      return [[color(i), `event ${k + 1}`, time(marks[k] / 1000)], ...(k ? [[null, "after the one before", time((marks[k] - marks[k - 1]) / 1000)]] : []), ...facts(row)];
    });
  });
  svg.setAttribute("aria-label", "Arrival of each token of single requests");
  return svg;
}

const LETTER = 7; // about the width of a bold letter
// phases: which of them; groups: [{name, paint, parts}]
function stacked(groups, phases, width) {
  // The queue lies before the request's start, left of zero, and is no part of the total.
  const queue = DATA.phases.indexOf("queue"), waited = (g) => (phases.includes(queue) ? g.parts[queue] : 0);
  const sums = groups.map((g) => phases.reduce((sum, p) => sum + (p === queue ? 0 : g.parts[p]), 0));
  const most = Math.max(...sums, 1e-6), unit = timeUnit(most);
  const named = (g) => (width < 420 ? g.name.replace(" connection", "") : g.name);
  const left = Math.min(Math.max(...groups.map((g) => named(g).length)) * LETTER + 16, width * 0.3);
  const at = frame(width, groups.length * 30 + 56, { min: -Math.max(...groups.map(waited), 0), max: most * 1.001, by: unit.by, title: `${unit.name}, mean of ${groups.length > 1 ? "each group" : "all requests"}` },
    { min: 0, max: 1, ticks: [] }, { left, right: 74, top: 6 });
  groups.forEach((g, k) => {
    const y = at.top + k * 30;
    const row = draw("g", { class: "row" }, draw("rect", { class: "hit", x: 0, y, width, height: 30 }));
    row.append(draw("text", { x: left - 8, y: y + 19, "text-anchor": "end", class: "strong" }, short(named(g), (left - 8) / LETTER)));
    let sum = -waited(g);
    for (const p of phases) {
      const x0 = at.x(sum), x1 = at.x(sum + g.parts[p]);
      sum += g.parts[p];
      if (x1 - x0 <= 0) continue;
      row.append(draw("rect", { x: x0, y: y + 5, width: Math.max(x1 - x0 - (x1 - x0 > 3 ? 1 : 0), 0.7), height: 20, fill: phaseColor(p) }));
      const text = phaseName(p);
      if (x1 - x0 > text.length * 7 + 8) row.append(draw("text", { class: [0, 1, 6, 10].includes(p) ? "on dark" : "on", x: (x0 + x1) / 2, y: y + 19, "text-anchor": "middle", "pointer-events": "none" }, text));
    }
    row.append(draw("text", { x: at.x(sum) + 7, y: y + 19 }, time(sums[k])));
    hoverable(row, `${g.name}: mean of ${int(g.n)}`, () => phases.filter((p) => g.parts[p] > 0).map((p) => [phaseColor(p), phaseName(p), p === queue ? `${time(g.parts[p])} before the start` : `${time(g.parts[p])} (${percent(g.parts[p] / sums[k])})`]));
    at.svg.append(row);
  });
  at.svg.setAttribute("aria-label", "Mean time of each phase, stacked");
  return roving(at.svg);
}
function phaseSheet(groups, phases) {
  return { head: ["group", "requests", ...phases.map((p) => `${phaseName(p)} ms`)], rows: groups.map((g) => [g.name, g.n, ...phases.map((p) => g.parts[p])]) };
}
const short = (text, most) => (text.length > most ? `${text.slice(0, Math.max(most - 1, 3))}…` : text);

function phaseCards() {
  const groups = DATA.series.flatMap((s) => {
    // New and reused connections are worth a row each only where there are both.
    const kinds = s.phases.length === 3 ? s.phases : s.phases.slice(0, 1);
    return [...kinds, ...s.stage_phases].map((g) => ({ ...g, name: `${several ? `${s.letter} ` : ""}${g.name === "new" || g.name === "reused" ? `${g.name} connection` : g.name}` }));
  });
  if (!groups.length) return null;
  const used = DATA.phases.map((_, p) => p).filter((p) => groups.some((g) => g.parts[p] > 0));
  const late = ["thinking", "stream", "tail", "answer"];
  const early = used.filter((p) => !late.includes(DATA.phases[p]));
  return [
    phaseLegend(used),
    make("div", { class: "grid" },
      early.length ? card(figure("To the first token", "without what comes after it", (w) => stacked(groups, early, w), () => phaseSheet(groups, early))) : null,
      card(figure("Whole request", used.includes(DATA.phases.indexOf("queue")) ? "the queue lies before the start" : "", (w) => stacked(groups, used, w), () => phaseSheet(groups, used)))),
  ];
}
function phaseLegend(used) {
  const entries = legend(used.map((p) => [phaseColor(p), phaseName(p)]));
  [...entries.children].forEach((node, k) => hoverable(node, phaseName(used[k]), [[null, ABOUT[DATA.phases[used[k]]]]]));
  return roving(entries);
}

function requestCards() {
  const rows = DATA.requests.flatMap((r) => r.rows);
  if (!rows.length) return null;
  const used = DATA.phases.map((_, p) => p).filter((p) => rows.some((r) => r.bars.some(([phase]) => phase === p)));
  const shown = rows.length, all = DATA.requests.reduce((n, r) => n + r.of, 0);
  const some = shown < all ? `${int(shown)} of ${int(all)}: the slowest, some that failed, an even pick of the rest` : "";
  const note = () => [some, view.says()].filter(Boolean).join("; ");
  const pick = choice(["laid over each other", "on the run's clock"], 0, (i) => { onRunClock = i === 1; });
  return [
    card(phaseLegend(used), figure("Waterfall", note, waterfall, rowSheet, pick)),
    rows.some((r) => r.gaps_us) ? card(figure("Token timelines", "a mark for each event that brought tokens; thick where the stream stalled", tokenLines, tokenSheet)) : null,
  ];
}
