// The matrix of win rates: a tooltip with every interval on hover and focus, and arrow keys between the cells.
"use strict";
(() => {
  const { $, data, make } = popbench;
  const tooltip = $("tooltip");

  const told = (cell) => {
    const sides = data.views[cell.closest("table").dataset.matrix].sides;
    const [a, b, value, interval, exact, all, wins, ties, losses, n, p, adjusted, verdict] = sides[cell.dataset.pair];
    const sentence = {
      better: "Decided: the row is better.",
      worse: "Decided: the row is worse.",
      undecided: "Undecided: 50 % lies within the interval over all pairs.",
    }[verdict] || "No verdict: fewer than 10 prompts.";
    const rows = [
      ["win rate, %", value],
      ["bootstrap", interval],
      ["exact", exact],
      ["over all pairs", all],
      ["wins, ties, losses", `${wins}, ${ties}, ${losses}`],
      ["prompts", n],
      ["p", p],
      ["p, adjusted", adjusted],
    ];
    const list = make("dl");
    for (const [name, text] of rows) list.append(make("dt", {}, name), make("dd", {}, String(text)));
    return [make("strong", {}, a), " over ", make("strong", {}, b), make("div", {}, sentence), list];
  };

  let current = null;
  const open = (cell) => {
    close();
    current = cell;
    tooltip.replaceChildren(...told(cell));
    tooltip.hidden = false;
    cell.setAttribute("aria-describedby", "tooltip");
    place();
  };
  const place = () => {
    if (!current) return;
    const at = current.getBoundingClientRect();
    const box = tooltip.getBoundingClientRect();
    const left = Math.min(Math.max(8, at.left + at.width / 2 - box.width / 2), innerWidth - box.width - 8);
    const below = at.bottom + 8 + box.height < innerHeight;
    tooltip.style.left = `${Math.max(8, left)}px`;
    tooltip.style.top = `${below ? at.bottom + 8 : Math.max(8, at.top - box.height - 8)}px`;
  };
  const close = () => {
    tooltip.hidden = true;
    current?.removeAttribute("aria-describedby");
    current = null;
  };

  const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  for (const table of document.querySelectorAll("table.matrix")) {
    const grid = [...table.tBodies[0].rows].map((row) => [...row.cells].slice(1));
    const first = table.querySelector("td[data-pair]");
    if (first) first.tabIndex = 0;
    const cellOf = (event) => event.target.closest("td[data-pair]");
    table.addEventListener("pointerover", (event) => (cellOf(event) ? open(cellOf(event)) : close()));
    table.addEventListener("pointerleave", close);
    table.addEventListener("focusin", (event) => cellOf(event) && open(cellOf(event)));
    table.addEventListener("focusout", close);
    table.addEventListener("keydown", (event) => {
      if (event.key === "Escape") close();
      const step = STEPS[event.key];
      const cell = cellOf(event);
      if (!step || !cell) return;
      event.preventDefault();
      let row = grid.findIndex((cells) => cells.includes(cell));
      let column = grid[row].indexOf(cell);
      do {
        row += step[0];
        column += step[1];
      } while (grid[row]?.[column] && !("pair" in grid[row][column].dataset));
      const next = grid[row]?.[column];
      if (!next) return;
      cell.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
  }
  addEventListener("scroll", place, { passive: true, capture: true }); // a focused cell scrolls into sight
})();
