// The samples: what of each is known at once (its scores), and the texts of a prompt, unpacked when it is picked.
"use strict";
popbench.samples = (() => {
  const { blob } = popbench;
  const all = blob("samples");
  const index = new Map(all.systems.map((system, number) => [system, number]));
  const unpacked = new Map();

  const at = (system, prompt, repeat) => (index.get(system) * all.prompts.length + prompt) * all.repeats.length + repeat;
  const score = (predictor, system, prompt, repeat) => {
    const value = all.scores[predictor][at(system, prompt, repeat)];
    return value === false ? -Infinity : value; // an invalid sample on a real scale, where 0 is a score
  };
  const isInvalid = (predictor, value) => value === (all.real.includes(predictor) ? -Infinity : 0);

  const unpack = async (text) => {
    const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text());
  };
  const textsOf = (prompt) => {
    if (!unpacked.has(prompt)) unpacked.set(prompt, unpack(all.texts[prompt]));
    return unpacked.get(prompt);
  };
  const texts = async (system, prompt, repeat) => {
    const { samples: found, references } = await textsOf(prompt);
    const sample = found.find((one) => one.system === index.get(system) && one.repeat === repeat);
    return sample ? { ...sample, shown: references } : { error: "this system has no such sample" };
  };

  // Compares two systems on a prompt: "a", "b", "tie", "error" (no result of one).
  const compare = (predictor, a, b, prompt, repeat) => {
    const [x, y] = [score(predictor, a, prompt, repeat), score(predictor, b, prompt, repeat)];
    if (x === null || y === null) return "error";
    return x === y ? "tie" : x > y ? "a" : "b";
  };
  const invalid = (predictor, system, prompt, repeat) => isInvalid(predictor, score(predictor, system, prompt, repeat));

  const clips = () => blob("clips");
  const source = (path) => (all.embedded.length && Object.hasOwn(clips(), path) ? `data:video/mp4;base64,${clips()[path]}` : all.folder + path);

  return { ...all, compare, invalid, isInvalid, score, source, texts };
})();
