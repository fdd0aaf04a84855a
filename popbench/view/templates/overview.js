// All runs and boards of the folder.
"use strict";
popbench.overview = () => {
  const { $, address, ago, bar, counted, dollars, duration, listen, make, pill, whole } = popbench;
  const ORDER = ["at work", "stalled", "killed", "stopped", "incomplete", "unreadable", "finished"];
  const cards = new Map();

  const search = make("input", { type: "search", placeholder: "name of a run", autocomplete: "off" });
  search.setAttribute("aria-label", "Search runs");
  const state = make("select", {}, make("option", { value: "" }, "any state"), ...ORDER.map((name) => make("option", {}, name)));
  state.setAttribute("aria-label", "State");
  const told = make("p", { className: "count-line", role: "status" });
  const list = make("div", { className: "runs" });
  const empty = make("div", { className: "empty", hidden: true });
  const boards = make("section", { hidden: true });
  $("main").replaceChildren(
    make("section", { className: "first" }, make("h1", {}, "Runs"), make("form", { className: "filters", onsubmit: () => false }, search, state), told, empty, list),
    boards,
  );

  const facts = (run) => {
    const line = [];
    if (run.systems) line.push(counted(run.systems.length, "system"), counted(run.samples, "sample"));
    if (run.holder && run.seconds_left) line.push(`${duration(run.seconds_left)} left`);
    if (run.gpu_seconds) line.push(`${popbench.numeral(run.gpu_seconds / 3600)} GPU-hours`);
    if (run.usd !== null && run.usd !== undefined) line.push(dollars(run.usd));
    if (run.last_commit) line.push(make("span", {}, "last result ", ago(run.last_commit)));
    if (run.demo) line.push("demo");
    return line;
  };

  const card = (run) => {
    const lines = run.stages.map((stage) =>
      make("div", { className: "stage-line" }, make("span", { className: "name" }, stage.component), bar(stage.done, stage.total), make("span", { className: "count" }, `${whole(stage.done)}/${whole(stage.total)}`,
        run.holder && stage.rate && stage.done < stage.total ? ` · ${popbench.rate(stage.rate)}` : "")));
    const name = run.name === "." ? "this folder" : run.name;
    return make("article", { className: "run" },
      make("h2", {}, make("a", { href: address("run", { run: run.name }) }, name), " ", pill(run.state)),
      make("p", { className: "facts" }, ...facts(run).map((text) => make("span", {}, text))),
      run.problem ? make("p", { className: "problem" }, run.problem) : null,
      ...lines);
  };

  let known = null;
  const show = () => {
    if (known === null) return;
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = known.runs.filter((run) => (!state.value || run.state === state.value) && words.every((word) => run.name.toLowerCase().includes(word)));
    wanted.sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state) || (b.started || 0) - (a.started || 0));
    const shown = wanted.slice(0, 200).map((run) => {
      const text = JSON.stringify(run);
      const before = cards.get(run.name);
      if (before?.text !== text) {
        const element = card(run);
        if (before?.element.contains(document.activeElement)) queueMicrotask(() => element.querySelector("a").focus());
        cards.set(run.name, { text, element });
      }
      return cards.get(run.name).element;
    });
    if (shown.some((element, position) => list.children[position] !== element) || shown.length !== list.children.length) list.replaceChildren(...shown);
    const more = wanted.length > shown.length ? `; the first ${whole(shown.length)} are shown` : "";
    told.textContent = known.runs.length ? `${whole(wanted.length)} of ${counted(known.runs.length, "run")}${more}${known.cut ? "; the folder has more files than were looked through" : ""}` : "";
    empty.hidden = known.runs.length > 0;
    empty.textContent = known.boards.length ? "No run is here yet: it appears when it starts." : "No run and no board is here yet. Start one, such as popbench eval, and it appears.";
    for (const element of [search.parentElement, told]) element.hidden = !known.runs.length;
    boards.hidden = !known.boards.length;
    if (boards.children.length !== known.boards.length + 1) {
      boards.replaceChildren(make("h2", {}, "Boards"), ...known.boards.map((name) =>
        make("p", {}, make("a", { href: `board?${new URLSearchParams({ board: name })}`, target: "_blank", rel: "noopener" }, name === "." ? "this folder" : name))));
    }
  };
  search.addEventListener("input", show);
  state.addEventListener("change", show);
  document.title = "popbench view";
  listen({}, (data) => {
    known = data;
    show();
  });
};
