// The gallery: a list of prompts of which only what is in sight exists, and two systems' clips of the one picked.
"use strict";
(() => {
  const { $, make, numeral, onView, samples, view } = popbench;
  const HEIGHT = 60;
  const SIGNS = { a: ["A", "A scores higher"], b: ["B", "B scores higher"], tie: ["=", "a tie"], error: ["?", "no result of one"] };
  const STAGES = { llm: "draft", generate: "clip", predict: "score" };
  const state = { a: null, b: null, prompt: null, list: [], repeat: 0 };
  const list = $("prompts");
  const room = make("div", { className: "room" });
  list.append(room);
  const label = (system) => system.replaceAll("|", " · ");

  // -- which prompts are listed

  const outcome = (prompt) => samples.compare(view().predictor, state.a, state.b, prompt, state.repeat);
  const oneInvalid = (prompt) =>
    [state.a, state.b].some((system) => samples.invalid(view().predictor, system, prompt, state.repeat));
  const embedded = new Set(samples.embedded);

  const filter = () => {
    const [task, category, verdict] = ["f-task", "f-category", "f-verdict"].map((id) => $(id).value);
    const words = $("f-text").value.toLowerCase().split(/\s+/).filter(Boolean);
    state.repeat = Number($("f-repeat").value) || 0;
    state.list = [];
    samples.prompts.forEach(([of, id, text, kind], prompt) => {
      if ((task && of !== task) || (category && kind !== category)) return;
      if (words.length && !words.every((word) => `${id} ${text}`.toLowerCase().includes(word))) return;
      if ($("f-embedded")?.checked && !embedded.has(prompt)) return;
      if (verdict === "invalid" ? !oneInvalid(prompt) : verdict && outcome(prompt) !== verdict) return;
      state.list.push(prompt);
    });
    $("count").textContent = state.list.length
      ? `${state.list.length.toLocaleString("en")} of ${samples.prompts.length.toLocaleString("en")} prompts`
      : "No prompt fits: change the filters.";
    list.hidden = !state.list.length;
    if (!state.list.includes(state.prompt)) state.prompt = state.list[0] ?? null;
    reveal();
    show();
  };

  const option = (position) => {
    const prompt = state.list[position];
    const [sign, told] = SIGNS[outcome(prompt)];
    const element = make(
      "div",
      { className: "option", id: `prompt-${prompt}`, role: "option" },
      make("span", { className: `sign ${sign.toLowerCase()}`, title: told }, sign),
      make("span", { className: "words" }, samples.prompts[prompt][2]),
    );
    element.style.top = `${position * HEIGHT}px`;
    element.dataset.prompt = prompt;
    element.setAttribute("aria-selected", String(prompt === state.prompt));
    element.setAttribute("aria-posinset", position + 1);
    element.setAttribute("aria-setsize", state.list.length);
    return element;
  };

  const fill = () => {
    room.style.height = `${state.list.length * HEIGHT}px`;
    const from = Math.max(0, Math.floor(list.scrollTop / HEIGHT) - 3);
    const to = Math.min(state.list.length, Math.ceil((list.scrollTop + list.clientHeight) / HEIGHT) + 3);
    room.replaceChildren(...Array.from({ length: Math.max(0, to - from) }, (_, step) => option(from + step)));
    if (state.prompt === null) list.removeAttribute("aria-activedescendant");
    else list.setAttribute("aria-activedescendant", `prompt-${state.prompt}`);
  };

  const reveal = () => {
    room.style.height = `${state.list.length * HEIGHT}px`;
    const top = state.list.indexOf(state.prompt) * HEIGHT;
    if (top < list.scrollTop) list.scrollTop = Math.max(0, top);
    else if (top + HEIGHT > list.scrollTop + list.clientHeight) list.scrollTop = top + HEIGHT - list.clientHeight;
    fill();
  };

  // -- what is shown of the one picked

  const duration = (value) => (value < 0.1 ? `${numeral(1000 * value)} ms` : `${numeral(value)} s`);

  const screen = (...texts) => make("div", { className: "screen" }, ...texts);

  const shapes = {}; // width by height of each system's last clip: the next one has its place at once

  // Until a clip is played, a frame from its middle stands for it: first frames are often black.
  const still = (element) => {
    let at = null;
    element.addEventListener("loadedmetadata", () => {
      if (element.paused && Number.isFinite(element.duration)) element.currentTime = at = 0.4 * element.duration;
    });
    element.addEventListener("seeking", () => { if (element.currentTime !== at) at = null; }); // the reader's choice
    element.addEventListener("play", () => { if (at !== null) element.currentTime = at = 0; }, { once: true });
  };

  // A clip with sound is heard when the reader plays it; no clip starts by itself.
  const video = (path, system, side, sound) => {
    const element = make("video", { controls: true, loop: true, muted: !sound, playsInline: true, preload: "metadata" });
    element.dataset.sound = sound ? "yes" : "no";
    element.setAttribute("aria-label", `Clip of ${side.toUpperCase()}${sound ? ", with sound" : ""}`);
    element.addEventListener("error", () => element.replaceWith(screen(`Clip not found: ${decodeURI(path)}`)));
    const fit = () => {
      const shape = shapes[system] || 16 / 9;
      Object.assign(element.style, { aspectRatio: shape, width: `min(100%, min(36rem, 80vh) * ${shape})`, marginInline: "auto" });
    };
    element.addEventListener("loadedmetadata", () => {
      if (element.videoWidth) shapes[system] = element.videoWidth / element.videoHeight;
      fit();
    });
    fit();
    still(element);
    element.src = samples.source(path);
    return element;
  };

  const folded = (title, text) =>
    text ? make("details", {}, make("summary", {}, title), make("pre", {}, text)) : null;

  const references = (sample) => {
    if (!sample.references) return null;
    const items = sample.references.map((id) => {
      if (!Object.hasOwn(sample.shown, id)) return make("li", {}, make("code", {}, id));
      const [title, popularity, ...texts] = sample.shown[id];
      const unit = make("span", { className: "unit" }, `${numeral(popularity)} · ${id}`);
      return make("li", {}, title, " ", unit, ...texts.map((text) => make("div", {}, make("small", {}, text))));
    });
    return make("details", { className: "references" }, make("summary", {}, `References shown (${items.length})`), make("ol", {}, ...items));
  };

  const facts = (sample) => {
    const rows = [];
    if (sample.prompt) rows.push(["Video prompt", sample.prompt]);
    if (sample.match) rows.push(["Human video", `${sample.match.id}, similarity of title and prompt ${numeral(sample.match.similarity)}`]);
    if (sample.originality !== undefined) rows.push(["Originality", `${(100 * sample.originality).toFixed(0)} %`]);
    if (sample.attempts > 1) rows.push(["Answers asked for", String(sample.attempts)]);
    if (sample.compliance === false) rows.push(["Compliance", "breaks a requirement of the task"]);
    const told = (value) => Number(value.toPrecision(3));
    if (sample.parts) rows.push(["Parts", Object.entries(sample.parts).map(([name, value]) => `${name} ${told(value)}`).join(", ")]);
    if (sample.notes) rows.push(["Notes", sample.notes.join("; ")]);
    if (sample.error) rows.push(["What went wrong", sample.error]);
    const took = Object.entries(sample.seconds || {}).map(([stage, value]) => `${STAGES[stage]} ${duration(value)}`);
    if (took.length) rows.push(["Time", took.join(", ")]);
    const found = make("dl");
    for (const [name, text] of rows) found.append(make("dt", {}, name), make("dd", {}, text));
    return found;
  };

  const scored = (side, system) => {
    const value = samples.score(view().predictor, system, state.prompt, state.repeat);
    const line = make("p", { className: "score" });
    if (value === null) line.append(make("span", { className: "bad-status" }, "no result"));
    else if (samples.isInvalid(view().predictor, value)) line.append(make("b", {}, value === 0 ? "0" : ""), make("span", { className: "bad-status" }, "invalid"));
    else line.append(make("b", {}, numeral(value)), make("span", { className: "unit" }, samples.predictors[view().predictor]));
    if (state.a !== state.b && outcome(state.prompt) === side) line.append(make("span", { className: "won" }, "higher"));
    return line;
  };

  const fillSide = (side, sample) => {
    const path = sample.video;
    $(`clip-${side}`).querySelector(".body").replaceChildren(
      path ? video(path, state[side], side, sample.sound) : screen("No clip"),
      ...(sample.sound ? [make("p", { className: "note" }, "With sound")] : []),
      scored(side, state[side]),
      make("h4", {}, sample.title || "No title"),
      facts(sample),
      ...[references(sample), folded("Further fields", sample.extra), folded("Reasoning", sample.reasoning), folded("Whole answer of the LLM", sample.completion)].filter(Boolean),
    );
  };

  let latest = 0;
  const show = async () => {
    const ticket = ++latest;
    const found = state.prompt !== null;
    for (const element of document.querySelectorAll(".duel, .actions, #everyone")) element.hidden = !found;
    if (!found) return void $("request").replaceChildren();
    const [task, id, text, category] = samples.prompts[state.prompt];
    $("request").replaceChildren(make("span", { className: "about" }, `${task} · ${category} · ${id}`), text);
    try {
      const sides = await Promise.all(["a", "b"].map((side) => samples.texts(state[side], state.prompt, state.repeat)));
      if (ticket !== latest) return;
      ["a", "b"].forEach((side, position) => fillSide(side, sides[position]));
    } catch (error) {
      for (const side of ["a", "b"]) $(`clip-${side}`).querySelector(".body").replaceChildren(screen(`The texts cannot be read (${error.message})`));
    }
    if ($("everyone").open) everyone();
  };

  const place = (value) => Math.max(value ?? -Infinity, -Number.MAX_VALUE);

  const everyone = () => {
    const predictor = view().predictor;
    const rows = samples.systems
      .map((system) => [system, samples.score(predictor, system, state.prompt, state.repeat)])
      .sort((x, y) => place(y[1]) - place(x[1]));
    const body = make("tbody");
    for (const [system, value] of rows) {
      const pick = (side) => {
        const button = make("button", { type: "button", onclick: () => choose(side, system) }, side.toUpperCase());
        button.setAttribute("aria-label", `Show ${label(system)} as ${side.toUpperCase()}`);
        return button;
      };
      const name = make("th", { scope: "row" }, label(system));
      const told = value === null ? "no result" : samples.isInvalid(predictor, value) ? "invalid" : numeral(value);
      body.append(make("tr", {}, name, make("td", { className: "count" }, told), make("td", {}, pick("a"), " ", pick("b"))));
    }
    const heads = ["System", samples.predictors[predictor], "Show as"].map((text, column) =>
      make("th", { scope: "col", className: column === 1 ? "" : "text" }, text));
    $("everyone").lastElementChild.replaceChildren(make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body));
  };
  $("everyone").addEventListener("toggle", () => $("everyone").open && state.prompt !== null && everyone());

  // -- choosing

  const pick = (prompt) => {
    state.prompt = prompt;
    reveal();
    show();
  };
  const step = (by) => {
    const next = state.list[state.list.indexOf(state.prompt) + by];
    if (next !== undefined) pick(next);
  };
  const choose = (side, system) => {
    state[side] = system;
    $(`system-${side}`).value = system;
    filter();
  };
  const swap = () => {
    [state.a, state.b] = [state.b, state.a];
    for (const side of ["a", "b"]) $(`system-${side}`).value = state[side];
    filter();
  };
  const play = () => {
    const videos = [...document.querySelectorAll(".duel video")];
    if (videos.some((element) => !element.paused)) return videos.forEach((element) => element.pause());
    const heard = videos.find((element) => element.dataset.sound === "yes"); // not two at once: A's, if it has any
    for (const element of videos) {
      if (element !== heard) element.muted = true;
      element.currentTime = 0;
      element.play().catch(() => {});
    }
  };

  list.addEventListener("scroll", fill, { passive: true });
  list.addEventListener("click", (event) => {
    const chosen = event.target.closest(".option");
    if (chosen) pick(Number(chosen.dataset.prompt));
  });
  const KEYS = { ArrowDown: 1, ArrowUp: -1, PageDown: 7, PageUp: -7 };
  list.addEventListener("keydown", (event) => {
    const at = state.list.indexOf(state.prompt);
    const last = state.list.length - 1;
    const to = { Home: 0, End: last }[event.key] ?? (event.key in KEYS ? Math.min(Math.max(at + KEYS[event.key], 0), last) : null);
    if (to === null || last < 0) return;
    event.preventDefault();
    pick(state.list[to]);
  });
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
    const at = $("clips").getBoundingClientRect();
    if (at.top > innerHeight || at.bottom < 0) return; // the gallery is out of sight
    const action = { j: () => step(1), k: () => step(-1), p: play, x: swap }[event.key];
    if (action) action();
  });
  $("play").addEventListener("click", play);
  $("swap").addEventListener("click", swap);
  $("filters").addEventListener("input", filter);
  $("filters").addEventListener("submit", (event) => event.preventDefault());

  for (const task of new Set(samples.prompts.map(([of]) => of))) $("f-task").append(make("option", {}, task));
  for (const side of ["a", "b"]) {
    $(`system-${side}`).append(...samples.systems.map((system) => make("option", { value: system }, label(system))));
    $(`system-${side}`).addEventListener("change", (event) => choose(side, event.target.value));
  }
  const order = view().order.filter((system) => samples.systems.includes(system));
  [state.a, state.b] = [order[0] ?? samples.systems[0], order[1] ?? order[0] ?? samples.systems[0]];
  for (const side of ["a", "b"]) $(`system-${side}`).value = state[side];
  state.prompt = samples.embedded[0] ?? null;
  onView(filter);
  filter();
})();
