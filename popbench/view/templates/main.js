// Which page is shown: the address says it.
"use strict";
(() => {
  const { $, here, run, sample, overview } = popbench;
  const show = () => {
    const { page, values } = here();
    popbench.keys = {};
    if (page === "run" && values.run) run(values);
    else if (page === "sample" && values.run && values.a) sample(values);
    else overview();
    scrollTo(0, 0);
    $("main").focus({ preventScroll: true });
  };
  addEventListener("hashchange", show);
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, video")) return;
    popbench.keys[event.key]?.();
  });
  $("live").textContent = "connecting";
  show();
})();
