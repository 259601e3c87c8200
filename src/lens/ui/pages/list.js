// The list of runs: filter, order, choice, baseline. Texts reach the page only as text.
const TOKEN = new URLSearchParams(location.search).get("token") || "";
const list = { where: "", sort: "started", down: true, offset: 0, chosen: new Set(), answer: null, problem: "" };

function address(path, fields = []) {
  return `${path}?${new URLSearchParams([...fields, ["token", TOKEN]])}`;
}
async function ask(path, fields = [], method = "GET") {
  const answer = await fetch(address(path, fields), { method });
  if (!answer.ok) throw new Error((await answer.text()).trim());
  return answer.json();
}
function button(text, act, attributes = {}) {
  const node = make("button", { type: "button", ...attributes }, text);
  node.addEventListener("click", act);
  return node;
}
const runsHash = (files) => `#${new URLSearchParams(files.map((file) => ["run", file]))}`;

const COLUMNS = [
  ["started", "started", (r) => r.started.replace("T", " ").slice(0, 16)], ["duration_s", "duration", (r) => (r.duration_s === null ? "–" : time(r.duration_s * 1000))],
  ["requests", "requests", (r, f) => int(f.requests)], ["failed", "failed", (r, f) => int(f.failed)],
  ["ttft_p50", "TTFT p50", (r, f) => time(f.ttft_p50)], ["ttft_p95", "TTFT p95", (r, f) => time(f.ttft_p95)], ["itl_p50", "ITL p50", (r, f) => time(f.itl_p50)],
  ["total_p50", "total p50", (r, f) => time(f.total_p50)], ["output_tokens_per_second", "output tokens/s", (r, f) => num(f.output_tokens_per_second)],
];
const MOST_READ = 8 * 1024 * 1024; // a file of more bytes is read for the list only when somebody asks
let listing = 0;

async function loadList() {
  const mine = ++listing;
  try {
    const answer = await ask("/api/runs", [["where", list.where], ["sort", list.sort], ["down", list.down ? "1" : "0"], ["offset", list.offset], ["limit", 100]]);
    if (mine !== listing) return;
    list.answer = answer;
    list.problem = "";
  } catch (error) {
    if (mine !== listing) return;
    list.problem = error.message;
  }
  if (isList()) { showList(); readFigures(list.answer ? list.answer.rows.filter((r) => !r.live && r.size <= MOST_READ).map((r) => r.file) : [], mine); }
}
// Figures of what is shown, one run after the other; of more than is shown when `all` asks.
async function readFigures(files, mine, all = false) {
  let done = 0;
  for (const file of files) {
    if (mine !== listing) return;
    const row = list.answer.rows.find((r) => r.file === file);
    if (row && row.figures) continue;
    try {
      const found = await ask("/api/figures", [["run", file], ["keep", all && ++done % 50 ? "0" : "1"]]);
      if (row) { row.figures = found; refreshRow(row); }
    } catch { /* a file that cannot be read says so when it is opened */ }
    if (all) document.getElementById("unknown").textContent = `${int(done)} of ${int(files.length)} runs read`;
  }
  if (all) loadList();
}

const nodes = { where: null, problem: null, table: null, count: null, open: null, actions: null };
function listPage() {
  nodes.where = make("input", { type: "text", id: "where", value: list.where, "aria-label": "Filter of runs", placeholder: "model == 'x' and ttft_p95 > 500, kind == 'monitor', contains(file, 'nightly'), label.region == 'eu'", spellcheck: "false", autocomplete: "off" });
  const form = make("form", { class: "bar" }, make("span", { class: "grow" }, nodes.where), make("button", { type: "submit" }, "Filter"));
  form.addEventListener("submit", (event) => { event.preventDefault(); list.where = nodes.where.value; list.offset = 0; loadList(); });
  nodes.problem = make("p", { class: "problem", role: "alert" });
  nodes.count = make("span", { class: "note grow", "aria-live": "polite" });
  nodes.open = button("Open", () => { location.hash = runsHash([...list.chosen]); }, { class: "main", id: "open" });
  nodes.versus = button("Compare with baseline", () => { location.hash = runsHash([list.answer.baseline, ...[...list.chosen].filter((f) => f !== list.answer.baseline)]); }, { id: "versus" });
  nodes.actions = make("div", { class: "bar" }, nodes.count, nodes.versus, nodes.open);
  nodes.table = make("div");
  return [make("section", { id: "live", "aria-label": "Running now" }), make("section", { id: "runs" }, make("div", { class: "head" }, make("h2", {}, "Runs"), make("p", { id: "folder" })),
    make("div", { class: "card" }, form, nodes.problem, nodes.actions, nodes.table))];
}
function chosenChanged() {
  const n = list.chosen.size, most = list.answer ? list.answer.most_runs : 8;
  nodes.open.textContent = n > 1 ? `Compare ${n} runs` : "Open";
  nodes.open.disabled = n < 1 || n > most;
  const others = [...list.chosen].filter((f) => list.answer && f !== list.answer.baseline).length;
  nodes.versus.disabled = !list.answer || !list.answer.baseline || !others || others >= most;
}
function rowNode(row) {
  const f = row.figures || {}, base = list.answer.baseline === row.file;
  const pick = make("input", { type: "checkbox", "aria-label": `choose ${row.file}` });
  pick.checked = list.chosen.has(row.file);
  pick.addEventListener("change", () => {
    if (pick.checked) list.chosen.add(row.file); else list.chosen.delete(row.file);
    chosenChanged();
    if (pick.checked && !row.live) ask("/api/read", [["run", row.file]]).catch(() => {}); // ready when it is opened
  });
  const star = button(base ? "★" : "☆", async () => { list.answer.baseline = (await ask("/api/star", [["run", row.file]], "POST")).baseline; showRows(); }, { class: "star", "aria-pressed": String(base), "aria-label": `baseline: ${row.file}` });
  const labels = Object.entries(row.labels).map(([name, value]) => `${name}=${value}`);
  return make("tr", { class: row.live ? "live" : "", "data-file": row.file }, make("td", {}, pick), make("td", {}, star),
    make("td", { class: "file" }, make("a", { href: runsHash([row.file]) }, row.file), make("small", {}, [row.target, row.load, ...labels, row.kind === "run" ? "" : row.kind].filter(Boolean).join(" · "))),
    ...COLUMNS.map(([name, , text]) => cell(text(row, f), name === "failed" && f.failed ? "worse" : "")));
}
function refreshRow(row) {
  const node = nodes.table && [...nodes.table.querySelectorAll("tr[data-file]")].find((one) => one.dataset.file === row.file);
  if (node && !node.contains(document.activeElement)) node.replaceWith(rowNode(row));
}
function showRows() {
  const { rows, kept } = list.answer;
  const head = (name, title) => make("th", { scope: "col", class: name === "file" ? "text" : "", "aria-sort": list.sort === name ? (list.down ? "descending" : "ascending") : undefined },
    button(`${title}${list.sort === name ? (list.down ? " ↓" : " ↑") : ""}`, () => { list.down = list.sort === name ? !list.down : name !== "file"; list.sort = name; list.offset = 0; loadList(); }));
  const page = kept <= rows.length ? null : make("div", { class: "bar" }, make("span", { class: "note grow" }, `${int(list.offset + 1)} to ${int(list.offset + rows.length)} of ${int(kept)}`),
    button("Previous", () => { list.offset = Math.max(list.offset - 100, 0); loadList(); }, list.offset ? {} : { disabled: "" }),
    button("Next", () => { list.offset += 100; loadList(); }, list.offset + rows.length < kept ? {} : { disabled: "" }));
  nodes.table.replaceChildren(make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Runs" }, make("table", { class: "runs" },
    make("thead", {}, make("tr", {}, make("th", {}, ""), make("th", {}, "★"), head("file", "run"), ...COLUMNS.map(([name, title]) => head(name, title)))),
    make("tbody", {}, ...rows.map(rowNode)))), page || "");
  chosenChanged();
}
function showList() {
  nodes.problem.textContent = list.problem;
  if (!list.answer) return;
  const { all, kept, folder, unknown, trouble } = list.answer;
  document.getElementById("folder").textContent = folder + (trouble ? `; ${trouble}` : "");
  nodes.count.replaceChildren(kept === all ? `${int(all)} run${all === 1 ? "" : "s"}` : `${int(kept)} of ${int(all)} runs`,
    ...(unknown.length ? [" ", make("span", { id: "unknown" }, `${int(unknown.length)} runs are not read yet, their figures are unknown: `, button("Read them", () => readFigures(unknown, listing, true)))] : []));
  showRows();
}
function cell(text, kind = "") {
  return make("td", { class: kind }, text);
}
