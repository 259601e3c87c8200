// What is chosen of the run: a part of its time, only failures, only the slowest. Plots over time and single requests obey.
const SPAN_S = Math.max(DATA.span_s, 1e-6);
const view = {
  from: 0, to: SPAN_S, failed: false, slowest: 0,
  whole() { return this.from <= 0 && this.to >= SPAN_S; },
  chosen() { return !this.whole() || this.failed || this.slowest > 0; },
  // items: of which `read` gives {at, total, failed}; their order stays.
  pick(items, read) {
    const inside = items.filter((item) => { const r = read(item); return r.at >= this.from && r.at <= this.to && (r.failed || !this.failed); });
    if (!this.slowest || inside.length <= this.slowest) return inside;
    const kept = new Set([...inside].sort((a, b) => (read(b).total ?? -1) - (read(a).total ?? -1)).slice(0, this.slowest));
    return inside.filter((item) => kept.has(item));
  },
  says() {
    const parts = [];
    if (!this.whole()) parts.push(`${num(this.from)} to ${num(this.to)} s`);
    if (this.failed) parts.push("failed only");
    if (this.slowest) parts.push(`slowest ${int(this.slowest)}`);
    return parts.join(", ");
  },
  set(changes) {
    Object.assign(this, changes);
    this.from = Math.min(Math.max(this.from, 0), SPAN_S);
    this.to = Math.min(Math.max(this.to, this.from + SPAN_S * 1e-4), SPAN_S);
    for (const tell of this.heard) tell();
    paintAll();
  },
  reset() { this.set({ from: 0, to: SPAN_S, failed: false, slowest: 0 }); },
  zoom(from, to) { view.set({ from, to }); },
  heard: [],
};
const ofDot = (d) => ({ at: d[0], total: d[2], failed: d[4] === 1 });
const ofRow = (r) => ({ at: r.at, total: r.total, failed: !r.ok });
const dotsShown = () => {
  const every = DATA.dots.flatMap((dots, i) => dots.map((d) => [d, i]));
  const kept = view.pick(every, ([d]) => ofDot(d));
  return DATA.dots.map((_, i) => kept.filter(([, of]) => of === i).map(([d]) => d));
};
function rowsShown() {
  const every = DATA.requests.flatMap((r, i) => r.rows.map((row) => [row, i]));
  const kept = view.pick(every, ([row]) => ofRow(row));
  return DATA.requests.map((_, i) => kept.filter(([, of]) => of === i).map(([row]) => row));
}
// Nearest rank, as everywhere.
function rank(values, q) {
  const sorted = values.filter((v) => v !== null).sort((a, b) => a - b);
  return sorted.length ? sorted[Math.max(Math.ceil(q * sorted.length), 1) - 1] : null;
}

function viewBar() {
  const number = (name, read, write, step) => {
    const input = make("input", { type: "number", min: 0, step, "aria-label": name });
    input.addEventListener("change", () => write(Number(input.value) || 0));
    view.heard.push(() => { input.value = read(); });
    return make("label", {}, name, input);
  };
  const digits = Math.min(Math.max(3 - Math.floor(Math.log10(SPAN_S)), 0), 6), short3 = (v) => Number(v.toFixed(digits));
  const failed = make("input", { type: "checkbox" });
  failed.addEventListener("change", () => view.set({ failed: failed.checked }));
  const reset = make("button", { type: "button" }, "Reset");
  reset.addEventListener("click", () => view.reset());
  const says = make("output", { class: "note" });
  view.heard.push(() => {
    failed.checked = view.failed;
    reset.disabled = !view.chosen();
    const shown = dotsShown().flat(), bad = shown.filter((d) => d[4]).length, ttft = shown.map((d) => d[1]);
    says.textContent = `${int(shown.length)} request${shown.length === 1 ? "" : "s"} drawn, ${int(bad)} failed, TTFT p50 ${time(rank(ttft, 0.5))}, p95 ${time(rank(ttft, 0.95))}`;
  });
  const bar = make("form", { class: "view", "aria-label": "Choose requests" },
    number("from, s", () => short3(view.from), (from) => view.set({ from }), "any"),
    number("to, s", () => short3(view.to), (to) => view.set({ to: to || SPAN_S }), "any"),
    make("label", {}, failed, "failed only"),
    number("slowest", () => view.slowest || "", (n) => view.set({ slowest: Math.floor(n) }), 1), reset, says);
  bar.addEventListener("submit", (event) => event.preventDefault());
  for (const tell of view.heard) tell();
  return bar;
}
