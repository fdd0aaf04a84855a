// The voter's way through the pairs. Clips are decoded when their pair is shown, and let go afterwards.
{
  const $ = (id) => document.getElementById(id);
  const sections = ["start", "vote", "done"];
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  let at = 0;
  let since = 0;
  let urls = [];

  const open = (name) => {
    for (const section of sections) $(section).hidden = section !== name;
    $("progress").hidden = name === "start";
    if (name !== "vote") clear();
    scrollTo(0, 0);
  };
  const clear = () => {
    for (const video of document.querySelectorAll("#stage video")) {
      video.remove();
      video.removeAttribute("src"); // a clip that is still being read would complain of its missing address
      video.load();
    }
    urls.forEach((url) => URL.revokeObjectURL(url));
    urls = [];
  };
  const count = () => {
    $("meter").value = state.answered;
    $("count").textContent = `${state.answered} of ${ballot.pairs.length}`;
  };

  const film = (side, clip, which) => {
    const box = $(side);
    const text = $(`clip-${clip.id}`).textContent;
    const url = URL.createObjectURL(new Blob([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], { type: "video/mp4" }));
    urls.push(url);
    const video = document.createElement("video");
    video.controls = true;
    video.playsInline = true;
    video.preload = "auto";
    video.disablePictureInPicture = true;
    video.setAttribute("controlslist", "nodownload noremoteplayback");
    video.setAttribute("aria-label", `${which} video: ${clip.title}`);
    const broken = box.querySelector(".broken");
    broken.hidden = true;
    video.addEventListener("error", () => {
      if (!video.isConnected) return;
      broken.hidden = false;
      video.hidden = true;
    });
    video.addEventListener("loadedmetadata", shape);
    video.addEventListener("play", () => {
      for (const other of document.querySelectorAll("video")) if (other !== video) other.pause();
    });
    for (const kind of ["play", "pause", "ended"]) {
      video.addEventListener(kind, () => box.classList.toggle("playing", !video.paused && !video.ended));
    }
    box.classList.remove("playing");
    box.querySelector(".title").textContent = clip.title || "(without a title)";
    video.src = url;
    box.querySelector(".screen").prepend(video);
    return video;
  };
  // Wide videos stand below one another where the window is narrow; upright ones fit beside one another.
  const shape = () => {
    const known = [...document.querySelectorAll("#stage video")].filter((video) => video.videoWidth);
    $("stage").dataset.shape = known.some((video) => video.videoWidth > video.videoHeight) ? "wide" : "tall";
  };

  const play = () => {
    const [first, second] = document.querySelectorAll("#stage video");
    second.currentTime = 0;
    first.currentTime = 0;
    first.play().catch(() => { /* the browser waits for a click, and the controls are there */ });
  };
  const show = (number) => {
    at = number;
    const pair = ballot.pairs[at];
    open("vote");
    clear();
    const clips = state.clips(pair);
    const [first, second] = [film("left", clips[0], "First"), film("right", clips[1], "Second")];
    first.addEventListener("ended", () => second.play().catch(() => {}), { once: true });
    $("again").onclick = () => {
      first.addEventListener("ended", () => second.play().catch(() => {}), { once: true });
      play();
    };
    $("question").textContent = pair.question;
    for (const button of document.querySelectorAll(".choice")) {
      button.setAttribute("aria-pressed", String(button.dataset.choice === state.choice(pair.id)));
    }
    $("back").disabled = at === 0;
    count();
    $("status").textContent =
      `Pair ${at + 1} of ${ballot.pairs.length}. First: ${clips[0].title}. Second: ${clips[1].title}.`;
    $("question").focus({ preventScroll: true });
    since = performance.now();
    if (!calm.matches) play();
  };

  const finish = () => {
    open("done");
    count();
    const skipped = ballot.pairs.filter((pair) => state.choice(pair.id) === "skip").length;
    const all = state.answered === ballot.pairs.length ? `all ${ballot.pairs.length}` : `${state.answered} of ${ballot.pairs.length}`;
    $("summary").textContent = `You have answered ${all} pairs${skipped ? `, and skipped ${skipped} of them` : ""}.`;
    $("text").value = state.file();
    $("status").textContent = $("summary").textContent;
    $("done-heading").focus({ preventScroll: true });
  };
  const next = () => {
    const open_ = ballot.pairs.map((pair, number) => (state.choice(pair.id) ? -1 : number)).filter((number) => number >= 0);
    if (!open_.length) finish();
    else show(open_.find((number) => number > at) ?? open_[0]);
  };
  const choose = (choice) => {
    state.vote(ballot.pairs[at], choice, (performance.now() - since) / 1000);
    warn();
    next();
  };
  const back = () => { if (at > 0) show(at - 1); };

  const save = () => {
    const link = document.createElement("a");
    const url = URL.createObjectURL(new Blob([`${state.file()}\n`], { type: "application/json" }));
    link.href = url;
    link.download = `votes-${ballot.ballot}-${state.voter}.json`;
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
    state.wasSaved();
    $("status").textContent = "Your votes are saved as a file.";
  };
  const warn = () => {
    $("unkept").hidden = state.keeps;
    $("kept").hidden = !state.keeps;
  };
  const greet = () => {
    $("name").value = state.name;
    $("go").textContent = state.answered ? "Go on" : "Begin";
    if (state.answered) {
      $("kept").textContent = `You have answered ${state.answered} of ${ballot.pairs.length} pairs, which this browser has kept.`;
    }
    warn();
    open("start");
  };

  $("begin").addEventListener("submit", (event) => {
    event.preventDefault();
    state.named($("name").value);
    at = -1;
    next();
  });
  for (const button of document.querySelectorAll(".choice")) {
    button.addEventListener("click", () => choose(button.dataset.choice));
  }
  $("back").addEventListener("click", back);
  $("early").addEventListener("click", save);
  $("save").addEventListener("click", save);
  $("review").addEventListener("click", () => show(0));
  $("other").addEventListener("click", () => {
    if (!state.saved && !confirm("Your votes are not saved as a file yet, and would be lost. Go on all the same?")) return;
    state.another();
    location.reload();
  });
  $("theme").addEventListener("click", theme.toggle);

  const KEYS = {
    ArrowLeft: () => choose("left"), ArrowRight: () => choose("right"), ArrowDown: () => choose("tie"),
    s: () => choose("skip"), ArrowUp: back, p: () => $("again").click(),
  };
  // Before the video's own controls, which take the arrows too.
  document.addEventListener("keydown", (event) => {
    if ($("vote").hidden || event.ctrlKey || event.altKey || event.metaKey) return;
    const act = KEYS[event.key] ?? KEYS[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    if (!event.repeat) act();
  }, { capture: true });
  addEventListener("beforeunload", (event) => {
    if (!state.keeps && !state.saved) event.preventDefault();
  });
  greet();
}
