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
const SHOWN = { "first token": "prefill", stream: "decode" };
const phaseName = (i) => SHOWN[DATA.phases[i]] || DATA.phases[i];

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
  hide() { this.node.hidden = true; },
};
function hoverable(node, title, rows) {
  node.addEventListener("pointermove", (event) => { tip.show(event, title, typeof rows === "function" ? rows(event) : rows); });
  node.addEventListener("pointerleave", () => tip.hide());
  return node;
}

// Every drawing, so that all can be drawn again when the width changes.
const drawings = [];
function figure(title, note, paint, ...tools) {
  const canvas = make("div", { class: "canvas" });
  drawings.push({ canvas, paint });
  return make("figure", {},
    make("figcaption", {}, make("h3", {}, title), make("span", { class: "note" }, note || ""), ...tools), canvas);
}
function card(...kids) {
  return make("div", { class: "card" }, ...kids);
}
function paintAll() {
  for (const { canvas, paint } of drawings) {
    const width = Math.max(canvas.clientWidth, 260);
    canvas.replaceChildren(paint(width));
  }
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
