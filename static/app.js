// What every page does by itself: ages that run, keys, dialogs, copying. Reading works without it.
(() => {
  "use strict";
  const words = JSON.parse(document.getElementById("strings")?.textContent ?? "{}");
  const AGE_UNITS = [["s", 1, 60], ["min", 60, 3600], ["h", 3600, 86400], ["d", 86400, Infinity]];
  // Ages follow the server's clock: a browser's own may be wrong.
  const skew = Number(document.documentElement.dataset.now) - Date.now() / 1000;

  function ageText(seconds) {
    if (seconds < 1) return words.age.now;
    const [unit, size] = AGE_UNITS.find(([, , limit]) => seconds < limit);
    return words.age[unit].replace("{n}", Math.floor(seconds / size));
  }

  function updateAges() {
    const now = Date.now() / 1000 + skew;
    for (const element of document.querySelectorAll("time[data-age]")) {
      const text = ageText(now - Date.parse(element.dateTime) / 1000);
      if (element.textContent !== text) element.textContent = text;
    }
  }

  const STEPS = { j: 1, k: -1 };
  const GO = { o: "/", d: "/domains/", p: "/operations/", h: "/hosts/", c: "/discovery/" };
  const SCREEN_SECONDS = 7;
  let went = 0;

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "/") {
      event.preventDefault();
      (document.querySelector(".filters input[type=search]") ?? document.getElementById("find"))?.focus();
    } else if (event.key === "?") {
      document.getElementById("help")?.showModal();
    } else if (event.key === "g") {
      went = event.timeStamp;
    } else if (went && event.timeStamp - went < 1500 && GO[event.key]) {
      location.href = GO[event.key];
    }
    if (event.key !== "g") went = 0;
    if (STEPS[event.key]) toRow(STEPS[event.key]);
    const row = document.activeElement.closest("main tbody tr");
    if (event.key === "x") row?.querySelector("input[type=checkbox]")?.click();
    if (event.key === "m") row?.querySelector("[data-menu]")?.click();
  }

  /** Move the focus to the name in the next or previous row of the table that has it, else of the first. */
  function toRow(step) {
    const names = [...document.querySelectorAll("main tbody a.name")];
    const at = names.findIndex((name) => name.closest("tr").contains(document.activeElement));
    names[at < 0 ? 0 : Math.min(names.length - 1, Math.max(0, at + step))]?.focus();
  }

  /** The screen of a running domain, again and again while somebody looks. */
  function refreshScreens() {
    for (const image of document.querySelectorAll("img[data-screen]")) {
      const box = image.getBoundingClientRect();
      if (document.hidden || box.bottom < 0 || box.top > innerHeight || !image.complete) continue;
      const next = image.cloneNode();
      // One that cannot be had is no reason to go on showing the last one as if it were now.
      next.onload = next.onerror = () => image.replaceWith(next);
      next.src = `${image.src.split("?")[0]}?${Date.now()}`;
    }
  }

  async function copy(button) {
    const source = document.getElementById(button.dataset.copies);
    const label = button.querySelector("span") ?? button;
    const before = label.textContent;
    try {
      await navigator.clipboard.writeText(source.textContent);
      label.textContent = words.copied;
      setTimeout(() => { label.textContent = before; }, 2000);
    } catch {
      getSelection().selectAllChildren(source); // no permission: ready for Ctrl-C
    }
  }

  function download(button) {
    const source = document.getElementById(button.dataset.downloads);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([source.textContent], { type: "application/json" }));
    link.download = button.dataset.filename;
    link.click();
    URL.revokeObjectURL(link.href);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-opens], [data-copies], [data-downloads], [data-closes]");
    if (button?.dataset.opens) document.getElementById(button.dataset.opens).showModal();
    if (button?.dataset.copies) copy(button);
    if (button?.dataset.downloads) download(button);
    if (button && "closes" in button.dataset && button.closest("dialog")) {
      event.preventDefault();
      button.closest("dialog").close();
    }
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  // A menu that would reach out of the window is moved into it. This event does not bubble.
  document.addEventListener("toggle", ({ target }) => {
    const list = target.matches("details.menu[open]") && target.querySelector(".menu-list");
    if (!list) return;
    list.style.translate = "";
    const { left, right } = list.getBoundingClientRect();
    const out = Math.max(0, right + 8 - document.documentElement.clientWidth) || Math.min(0, left - 8);
    if (out) list.style.translate = `${-out}px`;
  }, true);
  document.addEventListener("keydown", onKey);
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.target.id === "dialog" && !event.target.open) event.target.showModal();
    updateAges();
  });
  setInterval(updateAges, 1000);
  setInterval(refreshScreens, SCREEN_SECONDS * 1000);
})();
