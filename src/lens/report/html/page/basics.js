// What every part of the page uses: elements, numbers, colours, the tooltip, the list of drawings.
// Text reaches the page only through textContent, never as markup.
const DATA = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";
const DASHES = ["", "7 3", "2 3", "9 3 2 3", "5 2 1 2", "12 4", "1 2", "8 2 2 2 2 2"];
const ABOUT = {
  queue: "wanted by the schedule, not yet started", DNS: "name lookup", TCP: "connect", proxy: "CONNECT through a proxy",
  TLS: "handshake", send: "request handed to the kernel", wait: "request sent to first byte of the answer",
  "first token": "first byte to first content: prefill, where the server sends its head at once",
  thinking: "reasoning before the answer", stream: "first to last token: decode", tail: "last token to the end of the body",
  answer: "body without a content token",
};
const phaseName = (i) => DATA.phases[i];

function make(name, attributes = {}, ...kids) {
  return fill(document.createElement(name), attributes, kids);
}
function draw(name, attributes = {}, ...kids) {
  return fill(document.createElementNS(SVG, name), attributes, kids);
}
function fill(node, attributes, kids) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null) continue;
    if (name === "style") Object.assign(node.style, value);
    else node.setAttribute(name, value);
  }
  node.append(...kids.flat().filter((kid) => kid !== null && kid !== undefined));
  return node;
}

const color = (i) => `var(--s${i % 8})`;
const phaseColor = (i) => `var(--p${i})`;
const dash = (i) => DASHES[i % DASHES.length];
const several = DATA.series.length > 1;
const label = (series) => (several ? `${series.letter}  ${series.name}` : series.name);

function letter(i) {
  return several ? make("span", { class: "letter", style: { background: color(i) } }, DATA.series[i].letter) : null;
}
function swatch(paint) {
  return make("span", { class: "swatch", style: { background: paint } });
}

// Three digits, and never an exponent.
function num(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  const digits = size === 0 || size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : 3;
  return value.toLocaleString("en-US", { maximumFractionDigits: digits, minimumFractionDigits: size < 1000 && size ? digits : 0 });
}
const int = (value) => (value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en-US"));
const percent = (share) => {
  const p = share * 100;
  return `${p === 0 || p === 100 ? p : p < 0.1 ? p.toPrecision(1) : p > 99.9 ? p.toFixed(3) : p.toFixed(1)} %`;
};
// The unit in which times up to `most` milliseconds are easiest to read.
function timeUnit(most) {
  if (most >= 20000) return { by: 1000, name: "s" };
  return most < 1 ? { by: 0.001, name: "µs" } : { by: 1, name: "ms" };
}
function time(ms) {
  if (ms === null || ms === undefined) return "–";
  const unit = timeUnit(Math.abs(ms) || 1);
  return `${num(ms / unit.by)} ${unit.name}`;
}

const tip = {
  node: document.getElementById("tip"),
  // rows: [paint or null, name, value]; a row with no value is a sentence.
  show(event, title, rows = []) {
    const lines = rows.map(([paint, name, value]) => value === undefined
      ? make("div", { class: "says" }, name)
      : make("div", { class: "pair" }, make("span", {}, paint ? swatch(paint) : null, name), make("span", {}, value)));
    this.node.replaceChildren(make("b", {}, title), ...lines);
    this.node.hidden = false;
    const box = this.node.getBoundingClientRect();
    const right = event.clientX + 16 + box.width > innerWidth;
    const below = event.clientY + 16 + box.height > innerHeight;
    this.node.style.left = `${Math.max(right ? event.clientX - box.width - 14 : event.clientX + 16, 4)}px`;
    this.node.style.top = `${Math.max(below ? event.clientY - box.height - 12 : event.clientY + 16, 4)}px`;
  },
  hide() { this.node.hidden = true; this.again = null; },
  again: null, // puts it where the element is now, which the keyboard has scrolled to
  // Beside an element, for whoever has no pointer; at: a place in it, in its own pixels.
  beside(node, title, rows, at) {
    this.again = () => this.beside(node, title, rows, at);
    const box = node.getBoundingClientRect();
    this.show({ clientX: box.left + (at ? at[0] : Math.min(box.width / 2, 300)), clientY: box.top + (at ? at[1] : box.height / 2) }, title, rows);
  },
};
// What has values to show: under a pointer, under a finger, and where the keyboard is.
function hoverable(node, title, rows) {
  const said = (event) => (typeof rows === "function" ? rows(event) : rows);
  for (const kind of ["pointermove", "pointerdown"]) node.addEventListener(kind, (event) => { tip.again = null; tip.show(event, title, said(event)); });
  node.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") tip.hide(); });
  node.addEventListener("focus", () => { if (node.matches(":focus-visible")) tip.beside(node, title, said()); });
  node.addEventListener("blur", () => tip.hide());
  node.setAttribute("tabindex", "-1");
  node.dataset.tip = "";
  return node;
}
// Of many such elements one is reached by Tab, the others from there by the arrow keys, Home and End.
function roving(root) {
  const all = () => [...root.querySelectorAll("[data-tip]")];
  const enter = (node) => { for (const one of all()) one.setAttribute("tabindex", one === node ? "0" : "-1"); };
  if (all().length) enter(all()[0]);
  root.addEventListener("focusin", (event) => { if (event.target.dataset.tip !== undefined) enter(event.target); });
  root.addEventListener("keydown", (event) => {
    const nodes = all(), at = nodes.indexOf(document.activeElement);
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -at, End: nodes.length - 1 - at }[event.key];
    if (at < 0 || step === undefined) return;
    event.preventDefault();
    nodes[Math.min(Math.max(at + step, 0), nodes.length - 1)].focus({ focusVisible: true });
  });
  return root;
}
addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hide(); });
addEventListener("pointerdown", (event) => { if (!event.target.closest("[data-tip], .sheet")) tip.hide(); }, true);
addEventListener("scroll", () => { if (tip.again) tip.again(); else tip.hide(); }, { passive: true });

// Every drawing, so that all can be drawn again when the width changes.
const drawings = [];
// sheet: gives its numbers as {head, rows}, for the table view and for CSV.
function figure(title, note, paint, sheet, ...tools) {
  const canvas = make("div", { class: "canvas" }), drawing = { canvas, paint, note, caption: make("span", { class: "note" }) };
  drawings.push(drawing);
  const table = make("button", { type: "button", "aria-pressed": "false", "aria-label": `${title}: show as a table` }, "Table");
  table.addEventListener("click", () => {
    const pressed = table.getAttribute("aria-pressed") !== "true";
    table.setAttribute("aria-pressed", String(pressed));
    drawing.paint = pressed ? () => sheetTable(sheet()) : paint;
    paintOne(drawing);
  });
  const csv = make("button", { type: "button", "aria-label": `${title}: save as CSV` }, "CSV");
  csv.addEventListener("click", () => save(`${title.toLowerCase().replace(/[^a-z0-9]+/g, "-")}.csv`, csvOf(sheet())));
  return make("figure", {},
    make("figcaption", {}, make("h3", {}, title), drawing.caption, ...tools, make("span", { class: "switch tools" }, table, csv)), canvas);
}
const MOST_ROWS = 1000; // of a table that is shown; CSV has all
function sheetTable({ head, rows }) {
  const shown = rows.slice(0, MOST_ROWS).map((row) => make("tr", {}, ...row.map((v) => make("td", { class: typeof v === "string" ? "text" : "" }, typeof v === "number" ? exact(v) : v ?? "–"))));
  const left = head.map((_, i) => i).filter((i) => rows.length && typeof rows[0][i] === "string");
  return make("div", { class: "sheet-table" }, tableOf(head, shown, left),
    rows.length > MOST_ROWS ? make("p", { class: "needs" }, `the first ${int(MOST_ROWS)} of ${int(rows.length)} rows; CSV has all`) : null);
}
const exact = (v) => v.toLocaleString("en-US", { maximumFractionDigits: 6 });
// RFC 4180. What a spreadsheet would take for a formula is led by an apostrophe.
function csvOf({ head, rows }) {
  const field = (v) => {
    const text = v === null || v === undefined ? "" : typeof v === "string" && /^[=+\-@\t]/.test(v) ? `'${v}` : String(v);
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [head, ...rows].map((row) => row.map(field).join(",")).join("\r\n") + "\r\n";
}
function save(name, text, type = "text/csv") {
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
function card(...kids) {
  return make("div", { class: "card" }, ...kids);
}
function paintOne({ canvas, paint, note, caption }) {
  canvas.replaceChildren(paint(Math.max(canvas.clientWidth, 260)));
  caption.textContent = (typeof note === "function" ? note() : note) || "";
}
function paintAll() {
  tip.hide();
  drawings.forEach(paintOne);
  for (const one of document.querySelectorAll(".scroll")) one.toggleAttribute("data-cut", one.scrollWidth > one.clientWidth);
  for (const one of document.querySelectorAll(".scroll")) one.dataset.cut === undefined ? one.removeAttribute("tabindex") : one.setAttribute("tabindex", "0");
}
// Buttons of which one is chosen.
function choice(names, chosen, choose) {
  const buttons = names.map((name, i) => {
    const button = make("button", { type: "button", "aria-pressed": String(i === chosen) }, name);
    button.addEventListener("click", () => {
      buttons.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
      choose(i);
      paintAll();
    });
    return button;
  });
  return make("span", { class: "switch" }, ...buttons);
}
