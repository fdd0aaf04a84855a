// One sample beside another system's for the same prompt. The address names both.
"use strict";
popbench.sample = (values) => {
  const { $, address, ask, card, file, label, listen, make, numeral, system } = popbench;
  const { run, task, prompt } = values;
  const repeat = Number(values.repeat) || 0;
  const place = { run, task, prompt, repeat };
  const chosen = { a: values.a, b: values.b || null };
  let rows = [];
  let units = {};

  const request = make("p", { className: "request" });
  const sides = Object.fromEntries(["a", "b"].map((side) => {
    const select = make("select");
    select.setAttribute("aria-label", `System ${side.toUpperCase()}`);
    select.addEventListener("change", () => choose(side, select.value));
    const body = make("div", { className: "body" });
    const article = make("article", { className: "clip", id: `clip-${side}` },
      make("label", { className: "who" }, make("span", { className: `side ${side}` }, side.toUpperCase()), " ", select), body);
    return [side, { article, body, select }];
  }));
  const duel = make("div", { className: "duel" }, sides.a.article, sides.b.article);
  const strip = make("div", { className: "strip" });
  const others = make("section", { hidden: true }, make("h2", {}, "All systems on this prompt"), strip);
  const play = make("button", { type: "button" }, "Play both");
  const swap = make("button", { type: "button" }, "Swap A and B");
  const copy = make("button", { type: "button" }, "Copy link");
  const steps = make("span", { className: "steps" });
  $("main").replaceChildren(
    make("section", { className: "first" },
      make("p", { className: "crumbs" }, make("a", { href: "#/" }, "All runs"), " / ", make("a", { href: back() }, run === "." ? "this folder" : run)),
      request, make("p", { className: "actions" }, play, swap, copy, steps), duel),
    others);
  document.title = `${prompt} · popbench view`;

  function back() {
    const list = popbench.list;
    const query = list?.run === run ? Object.fromEntries(Object.entries(list.query).filter(([, value]) => value)) : {};
    return address("run", { run, ...query });
  }

  const scored = (sample) => {
    const line = make("p", { className: "score" });
    const scores = Object.entries(sample.scores);
    if (sample.status === "error") line.append(make("span", { className: "bad-status" }, "no result"));
    else if (sample.status === "invalid") line.append(make("span", { className: "bad-status" }, "invalid"));
    else {
      scores.forEach(([predictor, score], position) => {
        const unit = score === null ? "score to come" : units[predictor] || "";
        if (score !== null) line.append(make(position ? "span" : "b", {}, numeral(score)));
        line.append(make("span", { className: "unit" }, scores.length > 1 ? `${unit} (${predictor})` : unit));
      });
    }
    return line;
  };

  // Which of the two scores higher; it changes with the other side, and the clips play on.
  const mark = () => {
    const [a, b] = ["a", "b"].map((side) => rows.find((row) => row.system === chosen[side])?.score ?? null);
    for (const [side, higher] of [["a", a > b], ["b", b > a]]) {
      const line = sides[side].body.querySelector(".score");
      line?.querySelector(".won")?.remove();
      if (a !== null && b !== null && higher) line?.append(make("span", { className: "won" }, "higher"));
    }
  };

  const clip = (sample, side) => {
    if (!sample.clip) return card.screen(sample.status === "drafted" ? "The clip is to come" : "No clip");
    return card.video(file("clips", sample.clip, run), sample.system, side.toUpperCase(), sample.texts.sound, file("posters", sample.clip, run));
  };

  const fill = async (side) => {
    const { body } = sides[side];
    if (chosen[side] === null) return;
    try {
      const sample = await ask("sample", { ...place, system: chosen[side] });
      if (sample.system !== chosen[side]) return;
      const text = JSON.stringify(sample);
      if (body.dataset.known === text) return; // a clip that plays goes on
      body.dataset.known = text;
      request.replaceChildren(make("span", { className: "about" }, [task, sample.category, prompt, repeat ? `repeat ${repeat + 1}` : ""].filter(Boolean).join(" · ")), sample.prompt);
      body.replaceChildren(...card.body(sample.texts, clip(sample, side), scored(sample)));
      mark();
    } catch (error) {
      delete body.dataset.known;
      body.replaceChildren(card.screen(`The sample cannot be read: ${error.message}`));
    }
  };

  const list = () => {
    for (const side of ["a", "b"]) {
      sides[side].select.replaceChildren(...rows.map((row) => make("option", { value: row.system }, label(row.system))));
      sides[side].select.value = chosen[side];
    }
    sides.b.article.hidden = chosen.b === null;
    for (const button of [play, swap]) button.hidden = chosen.b === null;
    others.hidden = rows.length < 2;
    const samples = popbench.samplesOf(run, {});
    strip.replaceChildren(...rows.map((row) => {
      const element = samples.card(row);
      element.classList.toggle("chosen", row.system === chosen.a || row.system === chosen.b);
      element.addEventListener("click", (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        choose("b", row.system);
        duel.scrollIntoView({ block: "start" });
      });
      return element;
    }));
  };

  const load = async () => {
    try {
      rows = (await ask("prompt", place)).rows;
      const best = rows.filter((row) => row.system !== chosen.a).sort((x, y) => (y.score ?? -Infinity) - (x.score ?? -Infinity));
      if (chosen.b === null) chosen.b = best[0]?.system ?? null;
      list();
    } catch (error) {
      request.textContent = error.message;
    }
    fill("a");
    fill("b");
  };
  const remember = () => history.replaceState(null, "", address("sample", { run, task, prompt, repeat: repeat || "", ...chosen }));
  const choose = (side, name) => {
    chosen[side] = name;
    remember();
    list();
    mark();
    fill(side);
  };

  const exchange = () => {
    [chosen.a, chosen.b] = [chosen.b, chosen.a];
    remember();
    list();
    fill("a");
    fill("b");
  };
  const playBoth = () => {
    const videos = [...duel.querySelectorAll("video")];
    if (videos.some((element) => !element.paused)) return videos.forEach((element) => element.pause());
    const heard = videos.find((element) => element.dataset.sound === "yes"); // not two at once: A's, if it has any
    for (const element of videos) {
      if (element !== heard) element.muted = true;
      element.currentTime = 0;
      element.play().catch(() => {});
    }
  };
  swap.addEventListener("click", exchange);
  play.addEventListener("click", playBoth);
  copy.addEventListener("click", async () => {
    remember();
    try {
      await navigator.clipboard.writeText(location.href);
      copy.textContent = "Copied";
    } catch {
      copy.textContent = "Take it from the address bar";
    }
  });

  // The samples before and after this one in the list that it was opened from.
  const listed = popbench.list?.run === run ? popbench.list.rows : [];
  const at = listed.findIndex((row) => row.task === task && row.prompt_id === prompt && row.repeat === repeat && row.system === values.a);
  const keys = { p: playBoth, x: exchange };
  for (const [by, text, key] of [[-1, "← Previous", "k"], [1, "Next →", "j"]]) {
    const row = at < 0 ? undefined : listed[at + by];
    if (!row) continue;
    const link = make("a", { className: "button", href: address("sample", { run, task: row.task, prompt: row.prompt_id, repeat: row.repeat || "", a: row.system }) }, text);
    steps.append(link);
    keys[key] = () => link.click();
  }
  popbench.keys = keys;
  others.after(make("p", { className: "note keys" }, "Keys: ", make("kbd", {}, "j"), " ", make("kbd", {}, "k"), ": next and previous sample of the list. ",
    make("kbd", {}, "p"), ": play or pause both. ", make("kbd", {}, "x"), ": swap A and B."));

  let version = null;
  listen({ run }, (data) => {
    if (data.gone) return;
    units = data.state.units || {};
    if (version !== data.samples.version) load();
    version = data.samples.version;
  });
};
