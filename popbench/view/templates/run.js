// One run: its state, stages, errors, newest clips and samples.
"use strict";
popbench.run = (values) => {
  const { $, STATES, address, ago, bar, counted, dollars, duration, listen, make, numeral, pill, rate, whole } = popbench;
  const { run } = values;
  const samples = popbench.samplesOf(run, values);
  const name = run === "." ? "this folder" : run;
  const head = make("div");
  const results = make("p", { className: "actions", hidden: true },
    make("a", { className: "button", href: `board?${new URLSearchParams({ run })}`, target: "_blank", rel: "noopener" }, "Leaderboard and statistics"));
  const stages = make("div", { className: "scroll", tabIndex: 0 });
  stages.setAttribute("role", "region");
  stages.setAttribute("aria-label", "Stages");
  const errors = make("section", { id: "errors", hidden: true });
  const strip = make("div", { className: "strip" });
  const newest = make("section", { id: "newest", hidden: true }, make("h2", {}, "Newest clips"), strip);
  $("main").replaceChildren(
    make("section", { className: "first" }, make("p", { className: "crumbs" }, make("a", { href: "#/" }, "All runs")), make("h1", {}, name), head, stages, results),
    errors, newest, samples.section);
  document.title = `${name} · popbench view`;

  const top = (state) => {
    const facts = [];
    if (state.systems) facts.push(counted(state.systems.length, "system"), counted(state.samples, "sample"));
    if (state.holder) facts.push(state.seconds_left === null ? "time left unknown" : `${duration(state.seconds_left)} left`);
    if (state.gpu_seconds) facts.push(`${numeral(state.gpu_seconds / 3600)} GPU-hours`);
    if (state.usd !== null && state.usd !== undefined) facts.push(`${dollars(state.usd)} spent`);
    if (state.last_commit) facts.push(make("span", {}, "last result ", ago(state.last_commit)));
    if (state.holder) facts.push(state.holder);
    head.replaceChildren(
      make("p", { className: "state" }, pill(state.state), " ", STATES[state.state] || ""),
      make("p", { className: "facts" }, ...facts.map((text) => make("span", {}, text))),
      ...(state.demo ? [make("p", { className: "notice" }, "A demonstration: its scores say nothing about real popularity.")] : []),
      ...(state.problem ? [make("p", { className: "notice incomplete" }, state.problem)] : []),
      ...(state.notes || []).map((note) => make("p", { className: "note" }, note)));
  };

  const table = (state) => {
    // Columns in which no stage has anything are left out.
    const columns = [
      ["Invalid", (stage) => stage.invalid && whole(stage.invalid)],
      ["Rate", (stage) => stage.rate && rate(stage.rate)],
      ["Mean rate", (stage) => stage.mean_rate && rate(stage.mean_rate)],
      ["Left", (stage) => state.holder && stage.seconds_left && duration(stage.seconds_left)],
      ["Jobs elsewhere", (stage) => stage.submitted && whole(stage.submitted)],
      ["GPU-hours", (stage) => stage.gpu_seconds && numeral(stage.gpu_seconds / 3600)],
      ["Spent", (stage) => stage.usd !== null && dollars(stage.usd)],
    ].filter(([, text]) => state.stages.some(text));
    const heads = ["Stage", "By", "Done", "", ...columns.map(([title]) => title)];
    const rows = state.stages.map((stage) =>
      make("tr", {}, make("td", { className: "text" }, stage.stage), make("th", { scope: "row" }, stage.component),
        make("td", { className: "count" }, `${whole(stage.done)} of ${whole(stage.total)}`), make("td", {}, bar(stage.done, stage.total)),
        ...columns.map(([, text]) => make("td", { className: "count" }, text(stage) || ""))));
    stages.hidden = !rows.length;
    stages.replaceChildren(make("table", { className: "stages" },
      make("thead", {}, make("tr", {}, ...heads.map((text, column) => make("th", { scope: "col", className: column < 2 ? "text" : "" }, text)))),
      make("tbody", {}, ...rows)));
  };

  const wrong = ({ items = [], log = "" }, problem) => {
    errors.hidden = !items.length && !log && !problem;
    const text = JSON.stringify([items, log, problem]);
    if (errors.dataset.known === text) return;
    errors.dataset.known = text;
    const open = errors.querySelector("details")?.open;
    errors.replaceChildren(
      make("h2", {}, "Errors"),
      ...(problem ? [make("p", { className: "problem" }, problem)] : []),
      ...(items.length ? [make("ul", { className: "remarks" }, ...items.map(([error, number]) => make("li", {}, `${counted(number, "item")}: ${error}`))),
        make("p", { className: "note" }, "What failed is tried again when the same command is given again.")] : []),
      ...(log ? [make("details", { open: Boolean(open) }, make("summary", {}, "End of errors.log"), make("pre", {}, log))] : []));
  };

  const shown = new Map();
  const clips = (rows) => {
    newest.hidden = !rows.length;
    const keys = rows.map((row) => JSON.stringify(row));
    if (keys.join() === [...shown.keys()].join()) return;
    const elements = rows.map((row, position) => shown.get(keys[position]) || samples.card(row));
    const first = shown.size === 0;
    const places = new Set([...shown.keys()].map((key) => JSON.parse(key).clip));
    elements.forEach((element, position) => element.classList.toggle("new", !first && !places.has(rows[position].clip)));
    shown.clear();
    keys.forEach((key, position) => shown.set(key, elements[position]));
    strip.replaceChildren(...elements);
  };

  listen({ run }, (data) => {
    if (data.gone) return void head.replaceChildren(make("p", { className: "notice incomplete" }, "This run is no longer in the folder."));
    const first = Object.values(data.state.units || {})[0];
    samples.take(data, first);
    top(data.state);
    table(data.state);
    wrong(data.errors, data.samples.problem);
    clips(data.newest);
    results.hidden = !data.results;
  });
};
