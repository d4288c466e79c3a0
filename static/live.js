// Live changes. The socket says what changed, by type and id; this script fetches again what the page shows of it.
//
//   data-live="host.changed:5 crawl.changed"  fetch this element again (its hx-get) when one of these happens;
//                                             such an element has an id
//   data-live-region                          a list: fetched as a whole when many of its rows changed,
//   data-live-rest="host.changed"             or when something changed that none of its rows shows
//   data-live-every="15"                      and at least every so many seconds while it is visible
(() => {
  "use strict";
  const path = document.body.dataset.liveSocket;
  if (!path) return;
  const words = JSON.parse(document.getElementById("strings").textContent);
  const ROW_PAUSE = 100; // ms between two fetches of one row
  const REGION_PAUSE = 2000; // and of one list
  const MANY_ROWS = 8; // of one list within BURST: they are fetched as a whole
  const BURST = 500; // ms
  const MOST_SEEN = 500;
  const SECOND_LOOK = 400; // ms: what no row shows now, the answer to a click may be about to show
  const SILENCE = 30000; // the server says something every 10 s
  const PATIENCE = 30000; // ms for an answer: a connection that was lost without a word brings none
  // By id, since a row that was fetched again is a new element.
  const times = new Map();
  const waiting = new Set();
  const dirty = new Set();
  const asking = new Map(); // id -> {element, since, again}: who asked, when, and whether it changed again meanwhile
  const looking = new Map(); // id of a list -> what changed that none of its rows showed
  const seenOnce = new Set(); // "list operation": one that a row showed when it moved is no news to its list
  const bursts = new Map(); // id of a list -> when rows of it were fetched of late
  const started = performance.now();
  let socket, sequence, silence, attempts = 0;

  function badge(state) {
    const element = document.getElementById("live-badge");
    const word = element.querySelector(".live-word");
    if (word.textContent === words[state]) return;
    element.dataset.liveState = state;
    word.textContent = words[state];
  }

  const pauseOf = (element) => (element.hasAttribute("data-live-region") ? REGION_PAUSE : ROW_PAUSE);
  const tokens = (element, name) => (element.dataset[name] ?? "").split(" ");

  function visible(element) {
    if (document.hidden) return false;
    const box = element.getBoundingClientRect();
    return box.bottom > -200 && box.top < innerHeight + 200;
  }

  /** Fetch at once, or at the end of the pause since the last time; what is out of sight waits until it is seen. */
  function refresh(element) {
    const { id } = element;
    if (waiting.has(id)) return;
    if (isAsking(id)) {
      const asked = asking.get(id);
      asked.again = true;
      if (performance.now() - asked.since < PATIENCE) return;
      asking.delete(id);
      htmx.trigger(asked.element, "htmx:abort");
    }
    if (!visible(element)) {
      dirty.add(id);
      return;
    }
    const pause = (times.get(id) ?? -Infinity) + pauseOf(element) - performance.now();
    if (pause <= 0) {
      fetchNow(id);
      return;
    }
    waiting.add(id);
    setTimeout(() => fetchNow(id), pause);
  }

  /** An element that left the page with its whole list hears of no answer: it asks no more. */
  function isAsking(id) {
    if (asking.has(id) && !asking.get(id).element.isConnected) asking.delete(id);
    return asking.has(id);
  }

  function fetchNow(id) {
    waiting.delete(id);
    dirty.delete(id);
    const element = document.getElementById(id);
    if (!element) return;
    times.set(id, performance.now());
    asking.set(id, { element, since: performance.now(), again: false });
    // It does not bubble: the list around a row would take it for its own, and fetch all rows for one.
    element.dispatchEvent(new CustomEvent("refresh"));
  }

  function onAnswered({ detail }) {
    const { id } = detail.requestConfig.elt; // detail.elt is what is left in the page
    if (detail.requestConfig.verb !== "get" || !asking.has(id)) return;
    const { again } = asking.get(id);
    asking.delete(id);
    const element = document.getElementById(id);
    if (!element) return;
    if (again) refresh(element);
    else if (element.hasAttribute("data-live-region")) seeAfter(element);
  }

  /** A row that changed while its whole list was under way may have been overwritten by what was before. */
  function seeAfter(region) {
    const since = times.get(region.id);
    for (const row of region.querySelectorAll("[data-live][id]")) {
      if ((times.get(row.id) ?? -Infinity) >= since) refresh(row);
    }
  }

  /** Whether so many rows of a list changed of late that it is better fetched as a whole. */
  function isBurst(region, rows) {
    const now = performance.now();
    const late = (bursts.get(region.id) ?? []).filter((at) => now - at < BURST);
    bursts.set(region.id, [...late, ...rows.map(() => now)]);
    return late.length + rows.length > MANY_ROWS;
  }

  function refreshAll(elements) {
    const rows = new Map();
    for (const element of elements) {
      const region = element.hasAttribute("data-live-region") ? element : element.closest("[data-live-region]");
      if (!region || region === element) {
        refresh(element);
      } else {
        rows.set(region, [...(rows.get(region) ?? []), element]);
      }
    }
    for (const [region, found] of rows) {
      if (isBurst(region, found)) refresh(region);
      else found.forEach(refresh);
    }
  }

  function onChange({ type, id }) {
    const wanted = [type, `${type}:${id}`, id];
    const found = [...document.querySelectorAll("[data-live]")].filter((element) =>
      tokens(element, "live").some((token) => wanted.includes(token)));
    refreshAll(found);
    if (seenOnce.size > MOST_SEEN) seenOnce.clear();
    for (const region of document.querySelectorAll("[data-live-rest]")) {
      if (!tokens(region, "liveRest").includes(type)) continue;
      if (shows(region, wanted)) {
        if (type === "operation.changed") seenOnce.add(`${region.id} ${id}`);
        continue;
      }
      if (!looking.has(region.id)) setTimeout(lookAgain, SECOND_LOOK, region.id);
      looking.set(region.id, [...(looking.get(region.id) ?? []).slice(0, MANY_ROWS), wanted]);
    }
    document.dispatchEvent(new CustomEvent("live", { detail: { type, id } }));
  }

  const shows = (region, wanted) => [region, ...region.querySelectorAll("[data-live]")].some((element) =>
    tokens(element, "live").some((token) => wanted.includes(token)));

  function lookAgain(id) {
    const region = document.getElementById(id);
    const changed = looking.get(id);
    looking.delete(id);
    if (!region) return;
    const fresh = changed.filter((wanted) => !seenOnce.has(`${id} ${wanted[2]}`) && !shows(region, wanted));
    if (fresh.length) refresh(region);
  }

  function refreshShown() {
    const shown = [...document.querySelectorAll("[data-live-region], [data-live]")];
    shown.filter((element) => !element.parentElement.closest("[data-live-region]")).forEach(refresh);
    document.dispatchEvent(new CustomEvent("live", { detail: { type: "resync" } }));
  }

  function onMessage(event) {
    const message = JSON.parse(event.data);
    stillThere();
    // Not before: a server without Redis accepts a socket, to close it.
    badge("live");
    attempts = 0;
    if (message.type === "beat") return;
    if (message.type === "hello") {
      refreshShown(); // what changed between the page and its socket was told to nobody
      return;
    }
    const gap = sequence !== undefined && message.sequence !== sequence + 1;
    sequence = message.sequence;
    if (gap || message.type === "resync") refreshShown();
    else onChange(message);
  }

  function stillThere() {
    clearTimeout(silence);
    silence = setTimeout(() => socket.close(), SILENCE);
  }

  function connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    socket = new WebSocket(`${scheme}//${location.host}${path}`);
    socket.onopen = () => {
      stillThere();
      sequence = undefined;
    };
    socket.onmessage = onMessage;
    socket.onclose = onClose;
  }

  function onClose(event) {
    clearTimeout(silence);
    if (event.code === 4401) {
      location.reload(); // signed out elsewhere: the page asks for the login
      return;
    }
    attempts += 1;
    badge(attempts > 3 || !navigator.onLine ? "offline" : "reconnecting");
    const ceiling = Math.min(15000, 500 * 2 ** attempts);
    setTimeout(connect, ceiling / 2 + (Math.random() * ceiling) / 2);
  }

  function seeAgain() {
    for (const id of dirty) {
      const element = document.getElementById(id);
      if (!element) dirty.delete(id);
      else if (visible(element)) refresh(element);
    }
  }

  // What is drawn anew under a pressed button would lose the click: it is fetched again a moment later.
  let pressed = false;
  document.addEventListener("pointerdown", ({ button }) => { pressed = button === 0; }, true);
  // A menu that the browser opens keeps to itself that the button was released.
  for (const type of ["pointerup", "pointercancel", "dragend", "contextmenu"]) {
    document.addEventListener(type, () => setTimeout(() => { pressed = false; }), true);
  }
  document.addEventListener("htmx:beforeSwap", ({ detail }) => {
    const { id } = detail.requestConfig.elt;
    if (!pressed || detail.requestConfig.verb !== "get" || !asking.has(id)) return;
    detail.shouldSwap = false;
    asking.get(id).again = true;
  });
  document.addEventListener("htmx:afterRequest", onAnswered);
  let seen = 0;
  addEventListener("scroll", () => {
    clearTimeout(seen);
    seen = setTimeout(seeAgain, 100);
  }, { passive: true, capture: true });
  document.addEventListener("visibilitychange", seeAgain);
  setInterval(() => {
    for (const element of document.querySelectorAll("[data-live-every]")) {
      const due = (times.get(element.id) ?? started) + Number(element.dataset.liveEvery) * 1000;
      if (performance.now() > due && visible(element)) refresh(element);
    }
  }, 1000);
  badge("reconnecting");
  // Not before htmx has seen the page: what is told to fetch itself until then would never answer.
  document.addEventListener("DOMContentLoaded", connect);
})();
