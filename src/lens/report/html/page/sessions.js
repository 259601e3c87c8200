// Sessions: a swim lane each, its turns as bars after pauses and tools; and the figures turn by turn.
let fromSessionStart = true;
const SESSION_PARTS = [["var(--soft)", "think time"], ["var(--p4)", "tools"], [phaseColor(DATA.phases.indexOf("wait")), "to the first token"],
  [phaseColor(DATA.phases.indexOf("stream")), "answer"], ["var(--bad)", "failed, or the cache broke"]];

function swimLanes(lanes, width) {
  const zero = (lane) => (fromSessionStart ? 0 : lane.at * 1000), end = (b) => b.at + b.total;
  const tall = (lane) => Math.max(...lane.bars.map((b) => b.track)) * 9 + 18;
  const first = (lane) => Math.min(0, ...lane.bars.map((b) => b.at - (b.turn ? 0 : b.think + b.tool)));
  const low = Math.min(...lanes.map((l) => zero(l) + Math.max(first(l), -1))), high = Math.max(...lanes.flatMap((l) => l.bars.map((b) => zero(l) + end(b))), 1e-6);
  const unit = timeUnit(high), left = Math.min(Math.max(...lanes.map((l) => l.id.length)) * 6.3 + 22, width * 0.28);
  const height = lanes.reduce((sum, l) => sum + tall(l), 0) + 60;
  const at = frame(width, height, { min: low, max: high * 1.01, by: unit.by, title: `${unit.name} after the ${fromSessionStart ? "session’s" : "run’s"} start` },
    { min: 0, max: 1, ticks: [] }, { left, right: 74, top: 8 });
  for (const line of ticks(low / unit.by, high / unit.by, (at.right - at.left) / 70)) {
    at.svg.append(draw("line", { class: "gridline", x1: at.x(line * unit.by), x2: at.x(line * unit.by), y1: at.top, y2: at.bottom }));
  }
  let y = at.top;
  for (const lane of lanes) {
    const bad = lane.ended === "failed", group = draw("g", { class: "row" }, draw("rect", { class: "hit", x: 0, y, width, height: tall(lane) }));
    group.append(draw("text", { x: left - 8, y: y + 13, "text-anchor": "end", class: bad ? "bad" : "" }, `${bad ? "✕ " : ""}${short(lane.id, left / 6.3 - 2)}`));
    for (const bar of lane.bars) group.append(...turnBar(bar, at, zero(lane), y + bar.track * 9));
    const last = Math.max(...lane.bars.map((b) => zero(lane) + end(b)));
    group.append(draw("text", { x: Math.min(at.x(last) + 6, at.right + 6), y: y + 13, class: bad ? "bad" : "" }, lane.task === null ? lane.ended : time(lane.task)));
    hoverable(group, `Session ${lane.id}: ${lane.ended}`, (event) => turnUnder(event, lane, at, zero(lane)));
    at.svg.append(group);
    y += tall(lane);
  }
  at.svg.setAttribute("aria-label", "Swim lanes of sessions");
  return roving(at.svg);
}
function turnBar(bar, at, zero, y) {
  const x = (ms) => at.x(zero + ms), box = (from, to, paint, top, tall) => (x(to) - x(from) > 0
    ? [draw("rect", { x: Math.max(x(from), at.left).toFixed(2), y: y + top, width: Math.max(x(to) - Math.max(x(from), at.left), 0.8).toFixed(2), height: tall, fill: paint, opacity: bar.beside ? 0.45 : 1 })] : []);
  const token = bar.ok && bar.ttft !== null ? bar.ttft : 0, [pause, tools, wait, answer, bad] = SESSION_PARTS.map(([paint]) => paint);
  const before = bar.turn ? [...box(bar.at - bar.tool - bar.think, bar.at - bar.tool, pause, 8, 2), ...box(bar.at - bar.tool, bar.at, tools, 7, 4)] : [];
  const whole = bar.ok ? [...box(bar.at, bar.at + token, wait, 4, 10), ...box(bar.at + token, bar.at + bar.total, answer, 4, 10)] : box(bar.at, bar.at + Math.max(bar.total, 1e-3), bad, 4, 10);
  const broke = bar.missed ? [draw("rect", { x: x(bar.at).toFixed(2), y: y + 2, width: 2, height: 14, fill: bad })] : [];
  return [...before, ...whole, ...broke];
}
function turnUnder(event, lane, at, zero) {
  const all = [[null, "started", `${num(lane.at)} s`], [null, "turns", int(lane.bars.length + lane.left_out)], [null, "task", time(lane.task)]];
  if (!event) return all;
  const box = at.svg.getBoundingClientRect(), ms = at.x.back((event.clientX - box.left) * at.width / box.width) - zero;
  const bar = lane.bars.reduce((best, b) => (b.at <= ms && (best === null || b.at > best.at) ? b : best), null);
  if (!bar) return all;
  const found = [[null, "turn", `${bar.turn}${bar.beside ? ", beside the critical path" : ""}`], [SESSION_PARTS[2][0], "TTFT", time(bar.ttft)], [SESSION_PARTS[3][0], "total", time(bar.total)]];
  if (bar.tool) found.push([SESSION_PARTS[1][0], "tools before it", time(bar.tool)]);
  if (bar.think) found.push([SESSION_PARTS[0][0], "think time before it", time(bar.think)]);
  if (bar.prompt !== null) found.push([null, "prompt", `${int(bar.prompt)} tokens${bar.cached === null ? "" : `, ${int(bar.cached)} cached`}`]);
  if (bar.missed) found.push([SESSION_PARTS[4][0], "the cache broke", `${int(bar.missed)} tokens`]);
  return [...found, ...all];
}
function laneSheet(series, lanes) {
  const names = ["at", "think", "tool", "ttft", "total", "prompt", "cached", "missed"];
  const rows = lanes.flatMap((lane) => lane.bars.map((b) => [label(series), lane.id, lane.ended, b.turn, lane.at, ...names.map((name) => b[name]), b.beside ? "beside" : lane.task === null ? "" : "on it"]));
  return { head: ["series", "session", "ended", "turn", "session started s", "at ms", "think ms", "tools ms", "TTFT ms", "total ms", "prompt tokens", "cached tokens", "missed tokens", "critical path"], rows };
}
function turnRows(name, rows) {
  const share = (v) => (v === null ? "–" : percent(v));
  return tableOf([name, "prompt", "cached", "TTFT p50", "p95", "total p50", "adds to the task", "on the critical path", "cache broke", "n", "failed"], rows.map((row) => make("tr", {},
    make("td", { class: "text strong" }, row.label), cell(int(row.input_tokens), "quiet"), cell(share(row.cached_share)), cell(time(row.ttft_p50_ms), "strong"), cell(time(row.ttft_p95_ms)), cell(time(row.total_p50_ms)),
    cell(time(row.critical_ms)), cell(share(row.on_path), "quiet"), cell(row.missed ? int(row.missed) : "", "quiet"), cell(int(row.requests), "quiet"), cell(row.failed ? int(row.failed) : "", row.failed ? "bad" : "quiet"))));
}
function sessionCards() {
  const known = DATA.series.map((s, i) => [s, i]).filter(([s]) => s.sessions);
  if (!known.length) return null;
  return known.flatMap(([s, i]) => {
    const { facts, lanes, turns, contexts } = s.sessions, title = several ? make("h3", {}, letter(i), s.name) : null;
    const drawn = lanes.length ? card(title, figure("Swim lanes", `${lanes.length} sessions: some over the whole run, and the slowest; pale: beside the critical path`, (w) => swimLanes(lanes, w), () => laneSheet(s, lanes),
      choice(["from its own start", "on the run’s clock"], fromSessionStart ? 0 : 1, (k) => { fromSessionStart = k === 0; })), legend(SESSION_PARTS)) : null;
    const says = card(make("dl", { class: "facts" }, ...facts.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)])));
    return [drawn, says, card(several ? make("h3", {}, letter(i), s.name) : null, make("h3", {}, "Turn by turn"), turnRows("turn", turns)),
      contexts.length > 1 ? card(make("h3", {}, "By length of the prompt"), turnRows("prompt tokens", contexts)) : null];
  }).filter(Boolean);
}
