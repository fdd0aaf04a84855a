// A page with few clips: plays those that are in the page, copies texts, and changes the theme.
"use strict";
(() => {
  document.getElementById("theme").addEventListener("click", theme.toggle);

  const urls = new Map();
  const urlOf = (id) => {
    if (!urls.has(id)) {
      const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (char) => char.charCodeAt(0));
      urls.set(id, URL.createObjectURL(new Blob([bytes], { type: "video/mp4" })));
    }
    return urls.get(id);
  };
  for (const video of document.querySelectorAll("video")) {
    if (video.dataset.clip) video.src = urlOf(video.dataset.clip);
    video.addEventListener("error", () => video.closest("figure")?.classList.add("broken"));
    if (video.controls) continue;
    const turn = () => { if (video.paused) video.play(); else video.pause(); };
    video.tabIndex = 0;
    video.addEventListener("click", turn);
    video.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      turn();
    });
  }
  for (const link of document.querySelectorAll("a[data-clip]")) link.href = urlOf(link.dataset.clip);

  for (const button of document.querySelectorAll("button[data-copy]")) {
    const text = document.getElementById(button.dataset.copy);
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text.textContent);
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy"; }, 1500);
      } catch { // from a file, some browsers refuse: the text is selected for the reader to copy
        getSelection().selectAllChildren(text);
      }
    });
  }
})();
