// The card of a sample: its clip, and what became of it in words.
"use strict";
popbench.card = (() => {
  const { make, numeral } = popbench;
  const STAGES = { llm: "draft", generate: "clip", predict: "score" };

  const duration = (value) => (value < 0.1 ? `${numeral(1000 * value)} ms` : `${numeral(value)} s`);

  const screen = (...texts) => make("div", { className: "screen" }, ...texts);

  const shapes = {}; // width by height of each system's last clip: the next one has its place at once

  // A clip with sound is heard when the reader plays it; no clip starts by itself.
  const video = (source, system, name, sound, poster) => {
    const element = make("video", { controls: true, loop: true, muted: !sound, playsInline: true, preload: poster ? "none" : "metadata" });
    element.dataset.sound = sound ? "yes" : "no";
    element.setAttribute("aria-label", `Clip of ${name}${sound ? ", with sound" : ""}`);
    element.addEventListener("error", () => element.replaceWith(screen(`Clip not found: ${decodeURI(source.replace(/^\.\//, ""))}`)));
    const fit = () => {
      const shape = shapes[system] || 16 / 9;
      Object.assign(element.style, { aspectRatio: shape, width: `min(100%, min(36rem, 80vh) * ${shape})`, marginInline: "auto" });
    };
    element.addEventListener("loadedmetadata", () => {
      if (element.videoWidth) shapes[system] = element.videoWidth / element.videoHeight;
      fit();
    });
    fit();
    if (!poster) { // a picture from within the clip stands for it: many begin with black
      let at = null;
      element.addEventListener("loadedmetadata", () => {
        if (element.paused && Number.isFinite(element.duration)) element.currentTime = at = Math.min(1, element.duration / 3);
      }, { once: true });
      element.addEventListener("play", () => {
        if (at !== null && Math.abs(element.currentTime - at) < 0.05) element.currentTime = 0;
      }, { once: true });
    } else {
      const picture = new Image();
      picture.addEventListener("load", () => {
        shapes[system] ||= picture.naturalWidth / picture.naturalHeight;
        fit();
      });
      element.poster = picture.src = poster;
    }
    element.src = source;
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

  // What is shown of a sample, below one another: its clip, its score (an element), its texts.
  const body = (sample, clip, score) => [
    clip,
    ...(sample.sound ? [make("p", { className: "note" }, "With sound")] : []),
    score,
    make("h4", {}, sample.title || "No title"),
    facts(sample),
    ...[references(sample), folded("Further fields", sample.extra), folded("Reasoning", sample.reasoning), folded("Whole answer of the LLM", sample.completion)].filter(Boolean),
  ];

  return { body, screen, video };
})();
