// The address map: one cell for each address, drawn on a canvas from one letter for each.
// Hover and the arrow keys tell what is there, a click and Enter open it.
(() => {
  "use strict";
  const words = JSON.parse(document.getElementById("strings")?.textContent ?? "{}");
  const KINDS = { ".": "silent", o: "other", f: "foreign", h: "hypervisor", x: "excluded" };
  const cells = new Map(); // range -> {version, letters}: a card fetched again is drawn from here at once
  const cursors = new Map(); // range -> the cell that the arrow keys chose
  const fetching = new Map(); // range -> when the next fetch may start
  const GRID_FROM = 4; // px of a cell that leave room for a gap between cells
  const LARGEST_CELL = 32; // CSS px

  const colours = () => {
    const style = getComputedStyle(document.documentElement);
    const colour = (kind) => style.getPropertyValue(`--map-${kind}`).trim();
    return Object.fromEntries(Object.entries(KINDS).map(([letter, kind]) => [letter, colour(kind)]));
  };

  /** Columns and rows: a square when the number of bits is even, else twice as wide as high. */
  function shapeOf(size) {
    const columns = 2 ** Math.ceil(Math.log2(size) / 2);
    return { columns, rows: Math.ceil(size / columns) };
  }

  /** CSS px that a map may be wide. */
  function roomFor(canvas) {
    const body = canvas.closest(".range-body");
    const { paddingLeft, paddingRight } = getComputedStyle(body);
    return Math.min(Number(canvas.dataset.width), body.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight));
  }

  function draw(canvas) {
    const known = cells.get(canvas.dataset.mapId);
    const size = Number(canvas.dataset.size);
    const { columns, rows } = shapeOf(size);
    // Whole device pixels for each cell: a scaled grid would show stripes.
    const room = Math.min(roomFor(canvas), columns * LARGEST_CELL) * devicePixelRatio;
    const cell = Math.max(1, Math.floor(room / columns));
    canvas.width = columns * cell;
    canvas.height = rows * cell;
    canvas.style.width = `${canvas.width / devicePixelRatio}px`;
    const context = canvas.getContext("2d");
    const palette = colours();
    const gap = cell >= GRID_FROM ? Math.max(1, Math.round(cell / 12)) : 0;
    for (let index = 0; index < size; index += 1) {
      context.fillStyle = palette[known?.letters[index] ?? "."];
      context.fillRect((index % columns) * cell, Math.floor(index / columns) * cell, cell - gap, cell - gap);
    }
    if (known) mark(canvas, context, columns, cell, gap);
  }

  function mark(canvas, context, columns, cell, gap) {
    const index = cursors.get(canvas.dataset.mapId) ?? -1;
    if (index < 0) return;
    context.strokeStyle = getComputedStyle(document.body).color;
    context.lineWidth = Math.max(1, cell / 10);
    context.strokeRect((index % columns) * cell, Math.floor(index / columns) * cell, cell - gap, cell - gap);
  }

  /** Fetch the map if its card says that it changed; a slow answer makes the next fetch wait longer. */
  async function load(canvas) {
    const { mapId, version, map } = canvas.dataset;
    if (cells.get(mapId)?.version === version) return;
    const next = fetching.get(mapId) ?? 0;
    if (next > performance.now()) {
      if (next !== Infinity) setTimeout(() => update(mapId), next - performance.now());
      return;
    }
    fetching.set(mapId, Infinity);
    const start = performance.now();
    try {
      const answer = await fetch(map);
      if (answer.ok) cells.set(mapId, { version, letters: await answer.text() });
    } catch {
      // the server cannot be reached: what is drawn stays, and the badge says so
    }
    fetching.set(mapId, performance.now() + Math.max(250, 4 * (performance.now() - start)));
    update(mapId);
  }

  const canvases = () => document.querySelectorAll("canvas[data-map]");

  function update(mapId) {
    for (const canvas of canvases()) {
      if (canvas.dataset.mapId !== mapId) continue;
      draw(canvas);
      load(canvas);
    }
  }

  function addressAt(canvas, index) {
    const { network } = canvas.dataset;
    if (!network.includes(":")) {
      const base = network.split(".").reduce((sum, part) => sum * 256 + Number(part), 0) + index;
      return [24, 16, 8, 0].map((shift) => Math.floor(base / 2 ** shift) % 256).join(".");
    }
    // A range of IPv6 is at most a /112: only the last group counts up.
    const groups = network.split(":");
    const last = network.endsWith("::") ? 0 : parseInt(groups.pop(), 16);
    const head = network.endsWith("::") ? network : `${groups.join(":")}:`;
    return head + (last + index).toString(16);
  }

  function indexAt(canvas, event) {
    const { columns, rows } = shapeOf(Number(canvas.dataset.size));
    const box = canvas.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * columns);
    const row = Math.floor(((event.clientY - box.top) / box.height) * rows);
    const index = row * columns + column;
    const inside = column >= 0 && column < columns && index >= 0 && index < Number(canvas.dataset.size);
    return inside ? index : -1;
  }

  function tell(canvas, index) {
    const tip = document.querySelector(`[data-map-tip="${canvas.dataset.mapId}"]`);
    if (!tip) return;
    const kind = KINDS[cells.get(canvas.dataset.mapId)?.letters[index] ?? "."];
    tip.textContent = index < 0 ? " " : `${addressAt(canvas, index)} · ${words[kind]}`;
  }

  function open(canvas, index) {
    if (index < 0) return;
    const url = canvas.dataset.mapAt.replace("IP", encodeURIComponent(addressAt(canvas, index)));
    htmx.ajax("GET", url, { target: "#dialog" });
  }

  const ARROWS = { ArrowLeft: () => -1, ArrowRight: () => 1, ArrowUp: (n) => -n, ArrowDown: (n) => n };

  function onKey(event) {
    const canvas = event.target.closest?.("canvas[data-map]");
    if (!canvas) return;
    const size = Number(canvas.dataset.size);
    const index = cursors.get(canvas.dataset.mapId) ?? 0;
    if (event.key === "Enter") open(canvas, index);
    if (!ARROWS[event.key]) return;
    event.preventDefault();
    const moved = Math.min(size - 1, Math.max(0, index + ARROWS[event.key](shapeOf(size).columns)));
    cursors.set(canvas.dataset.mapId, moved);
    draw(canvas);
    tell(canvas, moved);
  }

  const onMap = (handler) => (event) => {
    const canvas = event.target.closest?.("canvas[data-map]");
    if (canvas) handler(canvas, indexAt(canvas, event));
  };

  const all = () => canvases().forEach((canvas) => {
    draw(canvas);
    load(canvas);
  });
  document.addEventListener("pointermove", onMap(tell));
  document.addEventListener("click", onMap(open));
  document.addEventListener("keydown", onKey);
  document.addEventListener("htmx:afterSwap", all);
  document.addEventListener("themechange", () => canvases().forEach(draw));
  addEventListener("resize", () => canvases().forEach(draw));
  all();
})();
