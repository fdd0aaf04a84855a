// Which page is shown: the address says it.
"use strict";
(() => {
  const { $, here, run, sample, overview } = popbench;
  const show = () => {
    const { page, values } = here();
    if (page === "run" && values.run) run(values);
    else if (page === "sample" && values.run && values.a) sample(values);
    else overview();
    scrollTo(0, 0);
  };
  addEventListener("hashchange", show);
  $("live").textContent = "connecting";
  show();
})();
