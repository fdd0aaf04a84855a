// The charts: drawn when they come into sight, by Vega's interpreter, which needs no eval.
"use strict";
(() => {
  const { data, onView, view } = popbench;
  const drawn = new Map();

  const heightOf = (chart) => chart.rows * (chart.rows > 12 ? data.row.dense : data.row.usual);

  const chartOf = (element) => {
    const block = element.closest("[data-view]");
    const charts = block ? data.views[block.dataset.view].charts : data.charts;
    return charts[element.dataset.chart];
  };

  const draw = async (element) => {
    const chart = chartOf(element);
    if (!chart || !element.clientWidth) return;
    const width = element.clientWidth;
    if (drawn.get(element) === width) return;
    drawn.set(element, width);
    const specification = { ...data.specifications[chart.kind], datasets: chart.data };
    const filled = (layer) => chart.data[(layer.data || specification.data).name].length;
    specification.layer = specification.layer.filter(filled); // Vega warns of layers without data
    if (chart.rows) specification.height = heightOf(chart);
    const values = { rows: chart.rows, ticks: chart.ticks || [] };
    specification.params = specification.params.map((param) => ({ ...param, value: values[param.name] }));
    try {
      await vegaEmbed(element, specification, { actions: false, renderer: "svg", ast: true, mode: "vega-lite" });
      element.querySelector("svg")?.setAttribute("aria-hidden", "true");
    } catch (error) {
      element.classList.add("failed");
      element.textContent = `This chart cannot be drawn (${error.message}).`;
    }
  };

  const seen = new IntersectionObserver(
    (entries) => entries.forEach((entry) => entry.isIntersecting && draw(entry.target)),
    { rootMargin: "300px" },
  );
  const all = [...document.querySelectorAll(".chart")];
  for (const element of all) {
    const chart = chartOf(element);
    if (chart?.rows) element.style.minHeight = `${heightOf(chart)}px`;
    seen.observe(element);
  }
  // Those out of sight are drawn when there is nothing else to do: for pictures of the whole page.
  const idle = globalThis.requestIdleCallback || ((call) => setTimeout(call, 500));
  const drawLater = (left) => idle(async () => {
    await draw(left[0]);
    if (left.length > 1) drawLater(left.slice(1));
  });
  if (all.length) addEventListener("load", () => drawLater(all));
  addEventListener("beforeprint", () => all.forEach(draw));
})();
