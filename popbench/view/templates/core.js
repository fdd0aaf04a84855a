// What every part of the page uses: elements whose texts stay texts, addresses, requests, events, and numbers in words.
"use strict";
const popbench = (() => {
  const $ = (id) => document.getElementById(id);

  // make("p", {className: "note"}, "text", child)
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
  const whole = (value) => value.toLocaleString("en");
  const counted = (number, noun) => `${whole(number)} ${noun}${number === 1 ? "" : "s"}`;
  const duration = (seconds) => {
    if (seconds < 90) return `${Math.round(seconds)} s`;
    if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
    return seconds < 36 * 3600 ? `${numeral(seconds / 3600)} h` : `${Math.round(seconds / 86400)} days`;
  };
  const dollars = (usd) => `$${usd >= 0.01 || usd === 0 ? usd.toFixed(2) : usd.toPrecision(2)}`;
  // How long ago something was: a text that stays true while the page is open and nothing else changes.
  const grow = (age) => (age.textContent = `${duration(Math.max(0, Date.now() / 1000 - age.dataset.since))} ago`);
  setInterval(() => document.querySelectorAll("[data-since]").forEach(grow), 5000);
  const ago = (moment) => {
    const age = make("span");
    age.dataset.since = moment;
    grow(age);
    return age;
  };
  const rate = (perSecond) => (perSecond >= 1 ? `${numeral(perSecond)}/s` : perSecond * 60 >= 1 ? `${numeral(perSecond * 60)}/min` : `${numeral(perSecond * 3600)}/h`);

  const label = (name) => name.replaceAll("|", " · ");

  // A system's name: what wrote, how, and what rendered.
  const system = (name) => {
    const [llm, mode, generator] = name.split("|");
    if (generator === undefined) return make("span", { className: "system" }, make("span", { className: "llm" }, name));
    return make("span", { className: "system", title: label(name) },
      make("span", { className: "llm" }, llm), " ", make("span", { className: "mode" }, mode), " ", make("span", { className: "rest" }, generator));
  };
  const STATES = {
    "at work": "A process is at work on it.",
    stalled: "A process has it, and has finished nothing for long.",
    killed: "Its process ended without closing it: a kill, a crash, or a power cut. What was done is kept, and the same command goes on with it.",
    stopped: "It was stopped before it was done. The same command goes on with it.",
    finished: "Every sample has a result.",
    incomplete: "It came to its end, and some samples have no result. The same command tries these again.",
    unreadable: "Its files cannot be read.",
  };
  const pill = (state) => make("span", { className: `pill ${state.replace(" ", "-")}`, title: STATES[state] || "" }, state);

  // How much of something is done.
  const bar = (done, total, className = "") => {
    const fill = make("i");
    fill.style.width = `${total ? Math.min(100, (100 * done) / total) : 100}%`;
    const element = make("span", { className: `progress ${className}` }, fill);
    element.setAttribute("role", "img");
    element.setAttribute("aria-label", `${whole(done)} of ${whole(total)} done`);
    return element;
  };

  const parameters = (values) => {
    const found = new URLSearchParams();
    for (const [name, value] of Object.entries(values)) if (value !== "" && value !== null && value !== undefined) found.set(name, value);
    return found.toString();
  };
  const address = (page, values = {}) => `#/${page}${Object.keys(values).length ? `?${parameters(values)}` : ""}`;
  const here = () => {
    const [page, query] = location.hash.replace(/^#\/?/, "").split("?", 2);
    return { page, values: Object.fromEntries(new URLSearchParams(query || "")) };
  };

  const ask = async (path, values, signal) => {
    const response = await fetch(`${path}?${parameters(values)}`, { signal });
    if (!response.ok) throw new Error((await response.text()).slice(0, 300) || `status ${response.status}`);
    return response.json();
  };
  const file = (folder, name, run) => `${folder}/${encodeURIComponent(name)}?${parameters({ run })}`;

  const tell = (text, live) => {
    if ($("live").textContent !== text) $("live").textContent = text;
    $("live").classList.toggle("on", live);
  };

  // One stream of events at a time, none while the page is out of sight: a browser has few connections for all pages.
  let stream = null;
  let wanted = null;
  const connect = () => {
    stream?.close();
    stream = null;
    if (wanted === null || document.hidden) return;
    stream = new EventSource(`events?${parameters(wanted.values)}`);
    const { take } = wanted;
    stream.addEventListener("message", (event) => {
      tell("live", true);
      const data = JSON.parse(event.data);
      $("folder").textContent = data.folder ?? "";
      take(data);
    });
    stream.addEventListener("error", () => tell("not connected: is popbench view still there?", false));
  };
  const listen = (values, take) => {
    wanted = { values, take };
    connect();
  };
  document.addEventListener("visibilitychange", connect);

  $("theme").addEventListener("click", theme.toggle);

  return { $, STATES, address, ago, ask, bar, counted, dollars, duration, file, here, label, listen, make, numeral, pill, rate, system, whole };
})();
