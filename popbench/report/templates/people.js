// What people say of a pair, above what the predictor says, in the tooltip of a cell of the matrix.
"use strict";
(() => {
  const { $, make } = popbench;
  const told = (event) => {
    const cell = event.target.closest("td[data-people]");
    if (!cell) return;
    const tooltip = $("tooltip");
    const sentences = cell.dataset.people.split("\n").map((line) => make("div", {}, line));
    const [of] = tooltip.getElementsByTagName("div");
    of.before(...sentences);
    of.prepend("By the predictor. ");
    dispatchEvent(new Event("scroll")); // the tooltip is higher now, and has to be placed again
  };
  for (const table of document.querySelectorAll("table.matrix")) {
    for (const name of ["pointerover", "focusin"]) table.addEventListener(name, told);
  }
})();
