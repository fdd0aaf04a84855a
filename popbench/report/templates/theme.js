// The theme, before anything is painted: the one chosen on this machine, or that of the system.
"use strict";
const theme = (() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const remembered = () => {
    try { return localStorage.getItem("popbench-theme"); } catch { return null; }
  };
  const paint = (name) => { document.documentElement.dataset.theme = name; };
  const follow = () => paint(remembered() || (dark.matches ? "dark" : "light"));
  const toggle = () => {
    const name = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("popbench-theme", name); } catch { /* the choice lasts as long as the page */ }
    paint(name);
  };
  dark.addEventListener("change", follow);
  addEventListener("beforeprint", () => paint("light"));
  addEventListener("afterprint", follow);
  follow();
  return { toggle };
})();
