// A voter's answers: kept in the browser where it keeps anything, and written as the file that is sent back.
"use strict";
const ballot = JSON.parse(document.getElementById("ballot").textContent);
const CHOICES = ["left", "right", "tie", "skip"];
const state = (() => {
  const place = `popbench-ballot-${ballot.ballot}`;
  const known = new Map(ballot.pairs.map((pair) => [pair.id, pair]));
  let keeps = true;

  const fresh = () => {
    const bytes = crypto.getRandomValues(new Uint8Array(8));
    return { voter: [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(""), name: "", votes: {}, saved: true };
  };
  const right = (vote, id) =>
    vote && known.has(id) && CHOICES.includes(vote.choice) && Number.isFinite(vote.seconds) && vote.seconds >= 0 &&
    typeof vote.at === "string" && !Number.isNaN(Date.parse(vote.at));
  const load = () => {
    let found = null;
    try {
      found = JSON.parse(localStorage.getItem(place));
      localStorage.setItem(`${place}-test`, "1");
      localStorage.removeItem(`${place}-test`);
    } catch (error) {
      if (!(error instanceof SyntaxError)) keeps = false;
    }
    const voter = fresh();
    if (!found || typeof found !== "object" || !/^[0-9a-f]{16}$/.test(found.voter)) return voter;
    const votes = Object.entries(found.votes ?? {}).filter(([id, vote]) => right(vote, id));
    return {
      voter: found.voter, name: typeof found.name === "string" ? found.name.slice(0, 60) : "",
      votes: Object.fromEntries(votes), saved: found.saved === true,
    };
  };

  let now = load();
  const keep = () => {
    try {
      localStorage.setItem(place, JSON.stringify(now));
    } catch {
      keeps = false;
    }
  };
  // Half of the voters see all pairs the other way round, so that places of a pair even out over voters.
  const mirrored = () => parseInt(now.voter.slice(-1), 16) % 2 === 1;

  return {
    get keeps() { return keeps; },
    get name() { return now.name; },
    get voter() { return now.voter; },
    get saved() { return now.saved; },
    get answered() { return Object.keys(now.votes).length; },
    choice: (id) => now.votes[id]?.choice,
    clips: (pair) => (mirrored() ? [...pair.clips].reverse() : pair.clips),
    named(name) { now.name = name.trim().slice(0, 60); keep(); },
    vote(pair, choice, seconds) {
      const at = new Date().toISOString();
      now.votes[pair.id] = { choice, seconds: Math.round(seconds * 10) / 10, at };
      now.saved = false;
      keep();
    },
    wasSaved() { now.saved = true; keep(); },
    another() { now = fresh(); keep(); },
    file() {
      const votes = ballot.pairs.filter((pair) => now.votes[pair.id]).map((pair) => ({
        pair: pair.id, left: state.clips(pair)[0].id, ...now.votes[pair.id],
      }));
      return JSON.stringify({ schema: 1, ballot: ballot.ballot, voter: now.voter, name: now.name, votes }, null, 1);
    },
  };
})();
