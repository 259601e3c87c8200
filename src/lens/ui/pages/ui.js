// Which page is shown: the list, or runs; by the part of the address behind #.
const isList = () => !location.hash.startsWith("#run=");
function show() {
  const page = document.getElementById("page");
  tip.hide();
  page.className = isList() ? "" : "wide";
  for (const known of live.values()) { drop(known); known.node = null; }
  page.replaceChildren(...(isList() ? listPage() : runPage(new URLSearchParams(location.hash.slice(1)))));
  if (isList()) { showList(); showLive(); loadList(); }
  document.title = isList() ? "Runs – llm-latency-lens" : `${new URLSearchParams(location.hash.slice(1)).getAll("run").join(", ")} – llm-latency-lens`;
}
document.body.prepend(make("nav", { "aria-label": "Pages" }, make("a", { class: "mark", href: "#" }, "llm-latency-lens"), make("span", { class: "space" })));
addEventListener("hashchange", show);
let wide = document.body.clientWidth;
addEventListener("resize", () => {
  if (document.body.clientWidth === wide) return;
  wide = document.body.clientWidth;
  paintAll();
});
show();
follow();
document.documentElement.dataset.ready = "yes";
