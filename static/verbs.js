// Verbs without a reload: a row or a page is told something, and only that part of the page is drawn anew.
// Without this script the same buttons and links are ordinary forms and pages.
//
//   form="verbs" formaction="..."   a button that tells a domain something; its row is replaced by the answer
//   <form data-acts="domain-5">     the same from a dialog: what it replaces, if the page shows it
//   data-asks                       a link whose page is a question: it is asked in the dialog
//   data-menu                       a link whose page is a list of verbs: it is shown as a menu
(() => {
  "use strict";
  const words = JSON.parse(document.getElementById("strings")?.textContent ?? "{}");
  const dialog = document.getElementById("dialog");
  const menu = document.getElementById("menu");
  const toasts = document.getElementById("toasts");
  if (!toasts) return;
  const TOAST_SECONDS = { good: 6, bad: 20 };
  const MOST_TOASTS = 4;
  let opener; // what opened the menu

  function say(text, tone = "good", href = "") {
    const toast = document.createElement(href ? "a" : "p");
    toast.className = `toast-line toast-${tone}`;
    toast.textContent = text;
    if (href) toast.href = href;
    toasts.append(toast);
    while (toasts.childElementCount > MOST_TOASTS) toasts.firstElementChild.remove();
    setTimeout(() => toast.remove(), TOAST_SECONDS[tone] * 1000);
  }

  const rowOf = (element) => element.closest("tr[id][hx-get]");

  /** Post what the button says; the answer replaces the row that it is of, if any. */
  function act(form, button) {
    const row = rowOf(button) ?? (menu.contains(button) && opener ? rowOf(opener) : null)
      ?? document.getElementById(form.dataset.acts ?? "");
    const target = row?.matches("tr") ? row : null;
    const url = new URL(button.getAttribute("formaction") ? button.formAction : form.action, location.href);
    if (target && new URL(target.getAttribute("hx-get"), location.href).searchParams.has("on-host")) {
      url.searchParams.set("on-host", "");
    }
    const source = target ?? document.body;
    if (source.dataset.acting) return;
    source.dataset.acting = "yes";
    htmx.ajax("POST", url.pathname + url.search, {
      source,
      target: target ?? document.body,
      swap: target ? "outerHTML" : "none",
      values: valuesOf(form, button),
    }).finally(() => { delete source.dataset.acting; });
  }

  function valuesOf(form, button) {
    const values = {};
    for (const [name, value] of new FormData(form, button)) {
      values[name] = name in values ? [values[name], value].flat() : value;
    }
    return values;
  }

  document.addEventListener("submit", (event) => {
    const form = event.target;
    const button = event.submitter;
    const here = form.id === "verbs" && (document.querySelector("[data-acted]") || rowOf(button) || menu.contains(button));
    if (!button || (!here && !("acts" in form.dataset))) return;
    event.preventDefault();
    act(form, button);
    if (dialog.contains(form)) dialog.close();
    closeMenu();
  });

  // The answer to an act carries this event.
  document.addEventListener("acted", ({ detail }) => {
    say(detail.text, detail.tone, detail.href);
    for (const element of document.querySelectorAll("[data-acted]")) htmx.trigger(element, "refresh");
    if (detail.done) document.dispatchEvent(new CustomEvent("done", { detail: detail.done }));
  });
  document.addEventListener("htmx:responseError", ({ detail }) => {
    if (detail.requestConfig.verb !== "get") say(words.failed.replace("{n}", detail.xhr.status), "bad");
  });
  document.addEventListener("htmx:sendError", ({ detail }) => {
    if (detail.requestConfig.verb !== "get") say(words.unreachable, "bad");
  });

  function closeMenu() {
    if (menu.hidden) return;
    const inside = menu.contains(document.activeElement);
    menu.hidden = true;
    opener?.setAttribute("aria-expanded", "false");
    if (inside) opener?.focus();
    opener = undefined;
  }

  async function openMenu(link) {
    const again = opener === link && !menu.hidden;
    closeMenu();
    if (again) return;
    opener = link;
    await htmx.ajax("GET", link.getAttribute("href"), { source: menu, target: menu, swap: "innerHTML" });
    if (opener !== link) return;
    menu.hidden = false;
    link.setAttribute("aria-expanded", "true");
    place(link);
    menu.querySelector("button, a")?.focus();
  }

  /** Below the link, its right edge on the link's; above when there is no room below. */
  function place(link) {
    const box = link.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = menu;
    const below = box.bottom + 4;
    menu.style.left = `${Math.max(8, Math.min(box.right - width, innerWidth - width - 8))}px`;
    menu.style.top = `${below + height < innerHeight - 8 ? below : Math.max(8, box.top - height - 4)}px`;
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-menu], [data-asks]");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      if ("menu" in link.dataset) {
        openMenu(link);
        return;
      }
      htmx.ajax("GET", link.getAttribute("href"), { source: dialog, target: dialog, swap: "innerHTML" });
    }
    if (!menu.contains(event.target) || link) closeMenu();
  });
  document.addEventListener("keydown", (event) => {
    if (menu.hidden) return;
    const items = [...menu.querySelectorAll("button, a")];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") closeMenu();
    else if (event.key === "Tab") setTimeout(() => menu.contains(document.activeElement) || closeMenu());
    else if (step) {
      event.preventDefault();
      items.at((items.indexOf(document.activeElement) + step) % items.length)?.focus();
    }
  });
  addEventListener("scroll", closeMenu, { passive: true, capture: true });
  addEventListener("resize", closeMenu);

  // A row that was drawn anew keeps the focus it had.
  let focused;
  document.addEventListener("htmx:beforeSwap", ({ detail }) => {
    const row = detail.target.closest?.("tr[id], [data-live-region]");
    const held = document.activeElement;
    const own = held && held !== document.body && row?.contains(held) ? held : null;
    focused = own && { row: rowOf(own)?.id, key: keyOf(own) };
  });
  document.addEventListener("htmx:afterSwap", () => {
    if (!focused?.row || document.activeElement !== document.body) return;
    const row = document.getElementById(focused.row);
    const same = [...(row?.querySelectorAll("a, button, input") ?? [])].find((one) => keyOf(one) === focused.key);
    (same ?? row?.querySelector("a.name"))?.focus({ preventScroll: true });
    focused = undefined;
  });
  const keyOf = (element) => element.getAttribute("formaction") ?? element.getAttribute("href") ?? element.name;
})();
