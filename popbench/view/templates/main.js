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
  // A link of the page is followed at once: until a hashchange event comes, a key would still be one of the page before.
  addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#/']");
    if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    if (link.href === location.href) return;
    history.pushState(null, "", link.href);
    show();
  });
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, video")) return;
    popbench.keys[event.key]?.();
  });
  $("live").textContent = "connecting";
  show();
})();
