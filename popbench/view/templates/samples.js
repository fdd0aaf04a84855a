// A run's samples: filters, a page of cards, and the way to the next.
"use strict";
popbench.samplesOf = (run, values) => {
  const { address, ask, counted, file, label, make, numeral, system, whole } = popbench;
  const LIMIT = 30;
  const NAMES = { system: "System", task: "Task", category: "Category", status: "Status" };
  const WAITING = { drafted: "clip to come", rendered: "score to come", error: "no result" };
  const ORDERS = { newest: "newest first", oldest: "in their order", highest: "highest first", lowest: "lowest first" };
  let about = { live: false, version: -1 };
  let page = Math.max(0, Number(values.page) - 1 || 0);
  let request = null;

  const selects = Object.fromEntries(Object.entries(NAMES).map(([name, title]) => {
    const element = make("select", { name }, make("option", { value: "" }, "all"));
    return [name, { element, label: make("label", {}, `${title} `, element) }];
  }));
  const search = make("input", { type: "search", placeholder: "words of prompt or title", autocomplete: "off", value: values.text || "" });
  const order = make("select", {}, ...Object.entries(ORDERS).map(([value, text]) => make("option", { value }, text)));
  const form = make("form", { className: "filters" }, ...Object.values(selects).map((select) => select.label),
    make("label", {}, "Search ", search), make("label", {}, "Order ", order));
  form.setAttribute("aria-label", "Filters");
  const told = make("p", { className: "count-line", role: "status" });
  const cards = make("div", { className: "cards" });
  const turn = (by, text) => make("button", { type: "button", onclick: () => { page += by; load(); section.scrollIntoView({ block: "start" }); } }, text);
  const [back, on] = [turn(-1, "Previous"), turn(1, "Next")];
  const where = make("span", { className: "count-line" });
  const pager = make("p", { className: "pager" }, back, where, on);
  const section = make("section", { id: "samples" }, make("h2", {}, "Samples"), form, told, cards, pager);

  const wanted = () => ({
    ...Object.fromEntries(Object.keys(NAMES).map((name) => [name, selects[name].element.value || values[name] || ""])),
    text: search.value.trim(),
    order: order.value,
  });

  const picture = (row) => {
    if (!row.clip) return make("span", { className: "no-picture" }, WAITING[row.status] || (row.status === "invalid" ? "invalid" : "no clip"));
    const image = make("img", { src: file("posters", row.clip, run), loading: "lazy", decoding: "async", alt: "" });
    image.addEventListener("error", () => image.replaceWith(make("span", { className: "no-picture" }, "the clip cannot be read")));
    return image;
  };
  const place = (row) => ({ run, task: row.task, prompt: row.prompt_id, repeat: row.repeat || "", a: row.system });
  const score = (row) => {
    if (row.status === "invalid") return make("span", { className: "bad-status" }, "invalid");
    if (row.status === "error") return make("span", { className: "bad-status" }, "no result");
    if (row.score === null) return make("span", { className: "unit" }, row.clip ? WAITING[row.status] || "no score" : "");
    return make("span", {}, make("b", {}, numeral(row.score)), " ", make("span", { className: "unit" }, about.unit || ""));
  };
  // A card leads to its sample.
  const card = (row) => make("a", { className: `thumb ${row.status}`, href: address("sample", place(row)) },
    make("span", { className: "frame" }, picture(row)),
    make("span", { className: "title" }, row.title || row.prompt || row.prompt_id),
    system(row.system),
    make("span", { className: "score" }, score(row)),
    row.error ? make("span", { className: "problem" }, row.error) : null);

  const options = (name, counts) => {
    const { element, label: around } = selects[name];
    const chosen = element.value || values[name] || "";
    const names = Object.keys(counts);
    if (chosen && !names.includes(chosen)) names.push(chosen);
    const text = JSON.stringify([names, counts]);
    around.hidden = names.length < 2 && !chosen;
    if (element.dataset.known === text) return;
    element.dataset.known = text;
    element.replaceChildren(make("option", { value: "" }, "all"), ...names.map((value) =>
      make("option", { value }, `${name === "system" ? label(value) : value || "none"} (${whole(counts[value] || 0)})`)));
    element.value = chosen;
  };

  const kept = new Map(); // cards by what they show: a picture that is there stays there
  const fill = (rows) => {
    const shown = rows.map((row) => {
      const text = JSON.stringify(row);
      if (!kept.has(text)) kept.set(text, card(row));
      return [text, kept.get(text)];
    });
    kept.clear();
    for (const [text, element] of shown) kept.set(text, element);
    cards.replaceChildren(...shown.map(([, element]) => element));
  };

  const load = async () => {
    request?.abort();
    const controller = (request = new AbortController());
    const query = wanted();
    try {
      const found = await ask("samples", { run, ...query, offset: page * LIMIT, limit: LIMIT }, controller.signal);
      if (!section.isConnected) return; // another page is shown now
      for (const name of Object.keys(NAMES)) options(name, found.facets[name]);
      const pages = Math.max(1, Math.ceil(found.matched / LIMIT));
      if (page >= pages) {
        page = pages - 1;
        return void load();
      }
      fill(found.rows);
      const reading = about.complete === false ? `; reading${about.share ? `, ${Math.floor(100 * about.share)} % so far` : ""}` : "";
      told.textContent = `${counted(found.matched, "sample")}${found.matched ? "" : about.n ? ": change the filters" : " so far"}${reading}`;
      where.textContent = `page ${whole(page + 1)} of ${whole(pages)}`;
      [back.disabled, on.disabled, pager.hidden] = [page === 0, page + 1 >= pages, pages === 1];
      const { order: ordered, ...filters } = query;
      const kept_ = ordered === usual() ? filters : query;
      history.replaceState(null, "", address("run", Object.fromEntries(Object.entries({ run, ...kept_, page: page ? page + 1 : "" }).filter(([, value]) => value !== ""))));
      popbench.list = { run, query, rows: found.rows };
    } catch (error) {
      if (error.name !== "AbortError") told.textContent = `The samples cannot be read: ${error.message}`;
    }
  };
  const usual = () => (about.live ? "newest" : "oldest");
  let pause; // while somebody types
  const change = () => {
    clearTimeout(pause);
    for (const name of Object.keys(NAMES)) values[name] = "";
    page = 0;
    load();
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", change);
  search.addEventListener("input", () => {
    clearTimeout(pause);
    pause = setTimeout(change, 200);
  });

  // What is new: samples on the first page come by themselves; a later page stays as it is while it is read.
  const take = (data, unit) => {
    const first = about.version === -1;
    const changed = data.samples.version !== about.version || data.samples.complete !== about.complete || data.live !== about.live;
    about = { ...data.samples, live: data.live, unit };
    if (first) order.value = values.order || usual();
    if (first || (changed && page === 0)) load();
  };

  return { card, section, take };
};
