// The rows of a table that are selected, and what is done with all of them. A selection is of what the page
// shows: it survives that rows are drawn anew, and a row that leaves the page leaves it.
(() => {
  "use strict";
  const form = document.getElementById("bulk");
  if (!form) return;
  const count = form.querySelector("[data-picked]");
  const before = count.textContent;
  const picked = new Set();
  let last; // the box that was used last: Shift selects from there

  const boxes = () => [...document.querySelectorAll('input[form="bulk"][name="ids"]')];
  const all = () => document.querySelector("[data-picks-all]");

  function show() {
    const shown = boxes();
    const here = new Set(shown.map((box) => box.value));
    for (const value of picked) if (!here.has(value)) picked.delete(value);
    for (const box of shown) {
      box.checked = picked.has(box.value);
      box.closest("tr").classList.toggle("is-picked", box.checked);
    }
    const head = all();
    if (head) {
      head.disabled = shown.length === 0;
      head.checked = picked.size > 0 && picked.size === shown.length;
      head.indeterminate = picked.size > 0 && picked.size < shown.length;
    }
    form.classList.toggle("is-open", picked.size > 0);
    const text = picked.size ? count.dataset.picked.replace("{n}", picked.size) : before;
    if (count.textContent !== text) count.textContent = text;
    for (const button of form.querySelectorAll("button")) button.disabled = picked.size === 0;
    for (const menu of form.querySelectorAll("details")) {
      menu.hidden = picked.size === 0;
      if (menu.hidden) menu.open = false;
    }
  }

  function pick(box, wanted) {
    if (wanted) picked.add(box.value);
    else picked.delete(box.value);
  }

  document.addEventListener("click", (event) => {
    const box = event.target.closest?.('input[form="bulk"][name="ids"]');
    if (!box) return;
    const shown = boxes();
    const from = event.shiftKey ? shown.findIndex((one) => one.value === last) : -1;
    const to = shown.indexOf(box);
    const range = from < 0 ? [box] : shown.slice(Math.min(from, to), Math.max(from, to) + 1);
    for (const one of range) pick(one, box.checked);
    last = box.value;
    show();
  });
  document.addEventListener("change", (event) => {
    if (!event.target.matches("[data-picks-all]")) return;
    for (const box of boxes()) pick(box, event.target.checked);
    show();
  });
  form.addEventListener("reset", () => {
    picked.clear();
    setTimeout(show);
  });
  document.addEventListener("done", () => {
    picked.clear();
    show();
  });
  document.addEventListener("htmx:afterSwap", show);
  show();
})();
