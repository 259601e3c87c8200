// What was asked last is shown, also where the answer to something earlier comes later: undefined is returned for that one.
function lastAsked() {
  let last = 0;
  return async (answer) => {
    const mine = ++last;
    try {
      const found = await answer;
      return mine === last ? found : undefined;
    } catch (error) {
      if (mine === last) throw error;
    }
  };
}
// One run, or several: the page of `lll report` in a frame, its requests chosen by --where, gates, saving, running again.
function runPage(fields) {
  const files = fields.getAll("run"), one = files.length === 1;
  const says = make("output", { class: "note grow" }), problem = make("p", { class: "problem", role: "alert" }), extra = make("div");
  const frame = make("iframe", { title: `Report of ${files.join(", ")}`, sandbox: "allow-scripts allow-downloads allow-modals" });
  const where = make("input", { type: "text", "aria-label": "Filter of requests", placeholder: "requests: ttft_ms > 500 and status != 'success'", value: fields.get("where") || "", spellcheck: "false", autocomplete: "off" });
  const slowest = make("input", { type: "number", min: 0, "aria-label": "only the slowest", value: fields.get("slowest") || "" });
  const failed = make("input", { type: "checkbox" });
  failed.checked = fields.get("failed") === "1";
  const form = make("form", { class: "bar" }, make("span", { class: "grow" }, where), make("label", {}, "slowest", slowest), make("label", {}, failed, "failed only"), make("button", { type: "submit" }, "Choose requests"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const chosen = [["where", where.value.trim()], ["slowest", slowest.value], ["failed", failed.checked ? "1" : ""]].filter(([, v]) => v);
    location.hash = `#${new URLSearchParams([...files.map((f) => ["run", f]), ...chosen])}`;
  });
  const guarded = (work) => async () => { problem.textContent = ""; try { await work(); } catch (error) { problem.textContent = error.message; } };
  const runs = files.map((f) => ["run", f]);
  const starred = lastAsked(), added = lastAsked();
  const showStar = (found) => {
    if (!found) return;
    star.textContent = `${found.baseline === files[0] ? "★" : "☆"} Baseline`;
    star.setAttribute("aria-pressed", String(found.baseline === files[0]));
  };
  const star = button("☆ Baseline", guarded(async () => showStar(await starred(ask("/api/star", [runs[0]], "POST")))));
  const bar = make("div", { class: "bar" }, make("a", { href: "#" }, "← Runs"), make("h3", {}, files.join(", ")), says,
    one ? star : null, one ? button("Gates", async () => { await added(); extra.replaceChildren(gatesCard(files[0], guarded)); }) : null,
    one ? button("Run again", guarded(async () => {
      const found = await added(ask("/api/runs", [["where", `file == ${JSON.stringify(files[0])}`], ["limit", 1]]));
      if (found) extra.replaceChildren(commandCard(found.rows.length ? found.rows[0].command : ""));
    })) : null,
    button("Save", guarded(async () => { says.textContent = `written ${(await ask("/api/save", runs, "POST")).path}`; }), { id: "save" }));
  const chosen = ["where", "slowest", "failed"].filter((name) => fields.get(name)).map((name) => [name, fields.get(name)]);
  says.textContent = "reading…";
  loadFrame(frame, address("/view", [...runs, ...chosen]), says, problem);
  starred(ask("/api/runs", [["limit", 1]])).then(showStar).catch(() => {});
  return [bar, problem, form, extra, frame];
}
// The page as it is sent: what is wrong with it is said here, not in the frame.
async function loadFrame(frame, url, says, problem) {
  const answer = await fetch(url);
  if (answer.ok) {
    frame.addEventListener("load", () => { says.textContent = ""; }, { once: true });
    frame.src = url;
  } else {
    says.textContent = "";
    problem.textContent = (await answer.text()).trim();
    frame.hidden = true;
  }
}
function commandCard(command) {
  const copy = button("Copy", () => navigator.clipboard && navigator.clipboard.writeText(command));
  return make("div", { class: "card", id: "again" }, make("div", { class: "bar" }, make("h3", { class: "grow" }, "Run again"), command ? copy : null),
    make("pre", { tabindex: 0 }, command || "the header of this run has no command"), make("p", { class: "needs" }, "Secrets are left out of it: give the key by its variable."));
}
function gatesCard(file, guarded) {
  const input = make("input", { type: "text", "aria-label": "Thresholds, separated by commas", placeholder: "ttft_p95<1000, error_rate<0.01 (none: those of the run's own configuration)", spellcheck: "false" });
  const results = make("div"), evaluated = lastAsked();
  const form = make("form", { class: "bar" }, make("span", { class: "grow" }, input), make("button", { type: "submit" }, "Evaluate"));
  const evaluate = guarded(async () => {
    const texts = input.value.split(",").map((t) => t.trim()).filter(Boolean);
    const found = await evaluated(ask("/api/gates", [["run", file], ...texts.map((t) => ["threshold", t])]));
    if (!found) return;
    const kind = { passed: "better", failed: "worse", warned: "worse", skipped: "quiet" };
    const rows = found.checks.map((c) => make("tr", {}, make("td", { class: `text ${kind[c.state]}` }, c.state), make("td", { class: "text code" }, c.name), make("td", { class: "text wrap" }, c.says)));
    results.replaceChildren(rows.length ? make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, ...["result", "gate", ""].map((t) => make("th", { class: "text", scope: "col" }, t)))), make("tbody", {}, ...rows)))
      : make("p", { class: "needs" }, "no thresholds in the run's configuration, and no other run is the baseline"));
  });
  form.addEventListener("submit", (event) => { event.preventDefault(); evaluate(); });
  evaluate();
  return make("div", { class: "card", id: "gates" }, make("h3", {}, "Gates, and the regression from the baseline"), form, results);
}
