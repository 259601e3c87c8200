// The page: its parts in order, the theme, and drawing again when the width changes.
function section(id, title, note, content) {
  if (!content) return null;
  const kids = [content].flat().filter(Boolean);
  return kids.length ? make("section", { id }, make("div", { class: "head" }, make("h2", {}, title), note ? make("p", {}, note) : null), ...kids) : null;
}

function themeButton() {
  const root = document.documentElement, button = make("button", { type: "button", id: "theme" });
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const show = () => { button.textContent = dark() ? "Light" : "Dark"; button.setAttribute("aria-label", `Switch to ${dark() ? "light" : "dark"} colours`); };
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    root.style.colorScheme = root.dataset.theme;
    show();
  });
  system.addEventListener("change", show);
  show();
  return button;
}

function navigation(parts) {
  const mark = draw("svg", { width: 22, height: 16, viewBox: "0 0 22 16", "aria-hidden": "true" },
    draw("path", { d: "M1 12h4l2-9 3 12 3-10 2 7h6", fill: "none", stroke: "currentColor", "stroke-width": 2, "stroke-linejoin": "round", "stroke-linecap": "round" }));
  const print = make("button", { type: "button" }, "Print");
  print.addEventListener("click", () => window.print());
  return make("nav", { "aria-label": "Sections" }, make("span", { class: "mark" }, mark, make("span", {}, "llm-latency-lens")),
    ...parts.map((part) => make("a", { href: `#${part.id}` }, part.querySelector("h2").textContent)), make("span", { class: "space" }), make("span", { class: "ends" }, print, themeButton()));
}

function head() {
  const all = DATA.series.reduce((n, s) => n + s.tiles.requests, 0);
  const targets = DATA.heads.flatMap((h) => h.targets.map(([name, url]) => [name, url, h.load]));
  const known = targets.filter(([name, url, load], k) => targets.findIndex((t) => t[0] === name && t[1] === url && t[2] === load) === k);
  const runs = `${DATA.runs.length} run${DATA.runs.length > 1 ? "s" : ""}, ${int(all)} request${all === 1 ? "" : "s"}`;
  const started = DATA.runs.map((r) => (r.facts.find(([name]) => name === "started") || [])[1]).filter(Boolean)[0];
  // The same warning of several series is said once.
  const warnings = new Map(DATA.runs.flatMap((r) => r.warnings.map((w) => [w, []])));
  DATA.series.forEach((s, i) => { for (const w of s.warnings) warnings.set(w, [...(warnings.get(w) || []), i]); });
  const warned = [...warnings].map(([text, of]) => make("li", { class: "warning" }, make("b", {}, "warning"), make("span", {}, ...of.map(letter), text)));
  const hidden = warned.length > MOST_WARNINGS + 1 ? warned.splice(MOST_WARNINGS) : [];
  return make("header", {}, make("h1", {}, DATA.title), make("p", { class: "sub" }, started ? `${runs}, started ${started}` : runs),
    known.length ? make("dl", { class: "facts about" }, ...aboutTargets(known)) : null,
    DATA.verdict.length ? make("ul", { class: "verdict", "aria-label": "Verdict" }, ...DATA.verdict.map((v) => make("li", { class: v.level }, v.says))) : null,
    warned.length ? make("ul", { class: "warnings", "aria-label": "Warnings" }, ...warned,
      hidden.length ? make("li", {}, make("details", {}, make("summary", {}, `${hidden.length} more warnings`), make("ul", {}, ...hidden))) : null) : null);
}
const MOST_WARNINGS = 5; // that stand open before the figures
// Targets at one address under one load share a line, and a load that all have is said once.
function aboutTargets(known) {
  const places = new Map(), loads = new Set(known.map(([, , load]) => load));
  for (const [name, url, load] of known) places.set(`${url} ${load}`, { url, load, names: [...((places.get(`${url} ${load}`) || {}).names || []), name] });
  const load = (says) => (says ? [make("dt", {}, "load"), make("dd", {}, says)] : []);
  const rows = [...places.values()].flatMap((p) => [make("dt", {}, "target"), make("dd", {}, known.length > 1 ? `${p.names.join(", ")} at ` : "", make("span", { class: "code" }, p.url)), ...(loads.size > 1 ? load(p.load) : [])]);
  return loads.size > 1 ? rows : [...rows, ...load(known[0][2])];
}

function build() {
  const legendOf = () => seriesLegend();
  const measured = DATA.series.length > 0;
  const pooled = DATA.series.some((s) => s.stages.length) ? " The values are of all stages of a run together; Load has each of them." : "";
  const parts = !measured ? [section("runs", "Runs", "No request was measured.", runCards())] : [
    section("figures", "Figures", "Percentiles are nearest rank: measured values. An underlined value has a 95 % confidence interval: point at it, tap it, or go there with Tab and the arrow keys." + pooled,
      [several ? sideBySide() : tiles(DATA.series[0]), figuresTable()]),
    section("comparison", "Comparison", "A shift is worse or better only where chance alone would rarely make it, all comparisons corrected together.", comparisonCards()),
    section("load", "Load", "Each step of the sweep at its measured load; the knee is where throughput divided by latency is greatest.", loadCards() && [legendOf(), ...loadCards()]),
    section("latency", "Latency", "", Object.keys(DATA.histograms).length ? [legendOf(), distributionCards()] : null),
    section("time", "Over time", "", [legendOf(), ...timeCards()]),
    section("phases", "Phases", "Where the time of a successful request goes, phase by phase.", phaseCards()),
    section("connections", "Cold and warm", "", connectionCards()),
    section("sessions", "Sessions", "Conversations and tasks of several turns. A turn waits for those before it, then for pauses and tools; the longest way through is the critical path.", sessionCards()),
    section("requests", "Requests", "", requestCards()),
    section("outcomes", "Outcomes", "", outcomeCards()),
    section("cost", "Cost", "", costCards()),
    section("runs", "Runs", "", runCards()),
    section("definitions", "Definitions", "", definitions()),
  ];
  const shown = parts.filter(Boolean);
  document.body.prepend(navigation(shown));
  document.getElementById("page").append(head(), ...shown,
    make("footer", {}, `Made by llm-latency-lens ${DATA.version}. Times are of the kernel’s receive stamps where a run has them. This page is complete in itself and loads nothing.`));
  paintAll();
}

build();
let lastWidth = document.body.clientWidth;
addEventListener("resize", () => {
  if (document.body.clientWidth === lastWidth) return;
  lastWidth = document.body.clientWidth;
  paintAll();
});
addEventListener("beforeprint", () => { for (const one of document.querySelectorAll("header details")) one.open = true; });
document.documentElement.dataset.ready = "yes";
