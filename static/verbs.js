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
  const acting = new Set(); // what is told something now: ids of rows, or "" for the page
  let opener; // what opened the menu
  let openerPlace; // and where that is found, when it is drawn anew meanwhile
  let asked; // who asked for a menu last

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
    const id = target?.id ?? "";
    if (acting.has(id)) return;
    acting.add(id);
    send(asker(), "POST", url.pathname + url.search, {
      target: target ?? document.body,
      swap: target ? "outerHTML" : "none",
      values: valuesOf(form, button),
    }).finally(() => acting.delete(id));
  }

  /** Who sends: an element of its own, since a row may be drawn anew before the answer comes, and not hear it. */
  const asker = () => Object.assign(document.body.appendChild(document.createElement("span")), { hidden: true });

  function send(source, method, path, context) {
    const answered = htmx.ajax(method, path, { source, ...context });
    return answered.catch(() => {}).finally(() => source.remove()); // what failed is said by its event
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
    else if (isAsked(detail)) say(words.not_shown, "bad");
  });
  document.addEventListener("htmx:sendError", ({ detail }) => {
    if (detail.requestConfig.verb !== "get") say(words.unreachable, "bad");
    else if (isAsked(detail)) say(words.not_shown, "bad");
  });
  /** Whether a person waits for it, and would wait on. */
  const isAsked = ({ target }) => target === dialog || target === menu;

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
    openerPlace = placeOf(link);
    // One that does not come must not leave another row's verbs under this one.
    menu.replaceChildren();
    const source = asked = asker();
    await send(source, "GET", link.getAttribute("href"), { target: menu, swap: "innerHTML" });
    if (asked !== source || !opener || !menu.childElementCount) return;
    menu.hidden = false;
    opener.setAttribute("aria-expanded", "true");
    place(opener);
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
      send(asker(), "GET", link.getAttribute("href"), { target: dialog, swap: "innerHTML" });
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

  // What is drawn anew keeps the focus that it had, and the menu what it belongs to.
  let focused, before;
  const keyOf = (element) => element.getAttribute("formaction") ?? element.getAttribute("href")
    ?? element.getAttribute("name") ?? element.getAttribute("aria-label");
  const placeOf = (element) => ({ element, part: element.parentElement?.closest("[id]")?.id, key: keyOf(element) });

  /** The element itself, or what was drawn in its place. */
  function foundAgain({ element, part, key }) {
    if (element.isConnected) return element;
    const box = document.getElementById(part ?? "");
    const same = [...(box?.querySelectorAll("a, button, input, summary, [tabindex]") ?? [])];
    return (key && same.find((one) => keyOf(one) === key)) ?? (box?.matches("tr") ? box.querySelector("a.name") : null);
  }

  function giveFocusBack(place) {
    if (place && document.activeElement === document.body) foundAgain(place)?.focus({ preventScroll: true });
  }

  document.addEventListener("htmx:beforeSwap", ({ detail }) => {
    focused = document.activeElement === document.body ? undefined : placeOf(document.activeElement);
    if (detail.target === dialog && !dialog.open) before = focused;
    if (detail.target === menu && detail.requestConfig.elt !== asked) detail.shouldSwap = false;
  });
  document.addEventListener("htmx:afterSwap", () => {
    giveFocusBack(focused);
    focused = undefined;
    if (!opener || opener.isConnected) return;
    opener = foundAgain(openerPlace);
    if (opener) opener.setAttribute("aria-expanded", String(!menu.hidden));
    else closeMenu();
  });
  dialog.addEventListener("close", () => {
    if (dialog.contains(document.activeElement)) document.activeElement.blur();
    giveFocusBack(before);
  });
})();
