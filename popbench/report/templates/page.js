// The page: its data, and which view is shown. All of it is plain text to the document: no markup is made of it.
"use strict";
const popbench = (() => {
  const blobs = {};
  const blob = (name) => {
    if (!(name in blobs)) {
      const element = document.getElementById(`json-${name}`);
      blobs[name] = element ? JSON.parse(element.textContent) : null;
    }
    return blobs[name];
  };
  const $ = (id) => document.getElementById(id);

  // make("p", {className: "note"}, "text", child): elements whose texts stay texts.
  const make = (tag, values = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), values);
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  };

  const numeral = (value) => {
    if (value === null || value === undefined) return "–";
    if (value === 0) return "0";
    const digits = Number(value.toPrecision(3));
    return Math.abs(value) >= 100 ? digits.toLocaleString("en") : String(digits);
  };

  const data = blob("data");
  const state = { view: 0 };
  const listeners = [];
  const onView = (listener) => listeners.push(listener);

  const show = (index) => {
    state.view = index;
    for (const block of document.querySelectorAll("[data-view]")) block.hidden = block.dataset.view !== String(index);
    for (const listener of listeners) listener(index);
  };

  const choose = () => {
    const [task, predictor] = [$("task").value, $("predictor").value];
    const exact = data.views.findIndex((view) => view.task === task && view.predictor === predictor);
    show(exact >= 0 ? exact : data.views.findIndex((view) => view.predictor === predictor));
    $("task").value = data.views[state.view].task;
  };
  $("task").addEventListener("change", choose);
  $("predictor").addEventListener("change", choose);

  $("theme").addEventListener("click", theme.toggle);

  // A table that goes on to the right fades out there.
  const mark = (table) => table.classList.toggle("more", table.scrollLeft + table.clientWidth < table.scrollWidth - 1);
  const sized = new ResizeObserver((entries) => entries.forEach((entry) => mark(entry.target)));
  for (const table of document.querySelectorAll(".scroll")) {
    sized.observe(table);
    table.addEventListener("scroll", () => mark(table), { passive: true });
  }

  return { $, blob, data, make, numeral, onView, state, view: () => data.views[state.view] };
})();
