// Charts of what is measured: fetched from the API, drawn by uPlot, and kept current while they are seen.
//
//   data-charts="/api/domains/7/metrics/"   a card of charts; data-summary is how one is put in words
//   figure[data-unit][data-most]            a chart: its unit, and the most that it can be if that is known
//   [data-series="net_receive"]             a line in it, and where its value is written
//   button[data-range="300"]                shows so many seconds
(() => {
  "use strict";
  const KEPT = 3; // of the points at the end, so many are fetched again: the last ones may still change
  const SLOWEST = 60; // s between two fetches of what changes once an hour
  const LOST = 60000; // ms without an answer, after which all is fetched again
  const HEIGHT = 150; // CSS px
  const DAY = 86400;
  const GAP = 2.5; // steps without a point
  const SLOW_PERIOD = 30; // s between two measurements that nobody waits for
  const { uPlot } = window;
  const skew = Number(document.documentElement.dataset.now) - Date.now() / 1000;
  const now = () => Date.now() / 1000 + skew;

  const number = (value, digits) => value.toLocaleString(document.documentElement.lang, { maximumFractionDigits: digits });

  function written(value, unit) {
    if (value === null || value === undefined) return "–";
    if (unit === "%") return `${number(value, value < 10 ? 1 : 0)} %`;
    if (!unit.startsWith("B")) return number(value, 2);
    const power = Math.min(4, Math.max(0, Math.floor(Math.log2(Math.max(1, value)) / 10)));
    const scaled = value / 1024 ** power;
    return `${number(scaled, power && scaled < 10 ? 1 : 0)} ${["B", "KiB", "MiB", "GiB", "TiB"][power]}${unit.slice(1)}`;
  }

  class Chart {
    constructor(figure, sync) {
      this.figure = figure;
      this.sync = sync;
      this.unit = figure.dataset.unit;
      this.place = figure.querySelector(".chart-plot");
      this.keys = [...figure.querySelectorAll("[data-series]")];
      this.names = this.keys.map((key) => key.dataset.series);
      for (const key of this.keys) key.append(Object.assign(document.createElement("b"), { className: "num" }));
      new ResizeObserver(() => this.plot?.setSize(this.size())).observe(this.place);
    }

    size() {
      return { width: Math.max(120, this.place.clientWidth), height: HEIGHT };
    }

    options() {
      const style = getComputedStyle(document.documentElement);
      const colour = (name) => style.getPropertyValue(name).trim();
      const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--chart-grid"), width: 1 }, ticks: { show: false } };
      const line = (_, index) => ({ stroke: colour(`--chart-${index + 1}`), width: 1.5, points: { show: false } });
      return {
        ...this.size(),
        legend: { show: false },
        cursor: { sync: { key: this.sync }, drag: { x: false, y: false }, y: false },
        scales: {
          x: { range: () => this.range },
          y: { range: (_, __, most) => [0, this.top(most)] },
        },
        axes: [
          { ...axis, size: 30, space: 60, values: (_, marks) => marks.map((mark) => this.moment(mark)) },
          { ...axis, size: 72, values: (_, marks) => marks.map((mark) => written(mark, this.unit)), incrs: this.steps() },
        ],
        series: [{}, ...this.names.map(line)],
        hooks: { setCursor: [({ cursor }) => this.tell(cursor.idx)] },
      };
    }

    /** A time on the axis: of a month its day, else hours and minutes. */
    moment(seconds) {
      const date = new Date(seconds * 1000);
      const { lang } = document.documentElement;
      if (this.range[1] - this.range[0] > DAY) return date.toLocaleDateString(lang, { month: "short", day: "numeric" });
      return date.toLocaleTimeString(lang, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    }

    /** Where the marks of the axis may be: whole binary units of bytes. */
    steps() {
      if (!this.unit.startsWith("B")) return undefined;
      return Array.from({ length: 50 }, (_, power) => 2 ** power);
    }

    top(most) {
      const known = Number(this.figure.dataset.most);
      return known ? Math.max(known, most ?? 0) : Math.max(1, (most ?? 0) * 1.1);
    }

    draw(data, range) {
      this.range = range;
      this.fresh = GAP * Math.max(data.step, SLOW_PERIOD);
      this.data = [data.at, ...this.names.map((name) => data.series[name])];
      if (this.plot) this.plot.setData(this.data);
      else this.plot = new uPlot(this.options(), this.data, this.place);
      this.tell(null);
    }

    redraw() {
      this.plot?.destroy();
      this.plot = this.data ? new uPlot(this.options(), this.data, this.place) : undefined;
    }

    /** Write the values under the cursor, else the latest ones. */
    tell(index) {
      this.keys.forEach((key, line) => {
        key.lastElementChild.textContent = written(index === null || index === undefined ? this.latest(line) : this.data[line + 1][index], this.unit);
      });
    }

    /** The last value, unless it is too old to be called that. */
    latest(line) {
      const [at, ...values] = this.data;
      return at.length && now() - at.at(-1) < this.fresh ? values[line].at(-1) : null;
    }

    summary(pattern) {
      const told = this.names.map((_, line) => {
        const values = this.data[line + 1];
        const known = values.filter((value) => value !== null);
        return pattern
          .replace("{series}", this.keys[line].firstElementChild.textContent)
          .replace("{now}", written(this.latest(line), this.unit))
          .replace("{most}", written(known.length ? Math.max(...known) : null, this.unit));
      });
      const name = this.figure.querySelector(".chart-name").textContent;
      this.place.setAttribute("aria-label", `${name}. ${told.join(". ")}.`);
    }
  }

  class Charts {
    constructor(card) {
      this.card = card;
      this.note = card.querySelector(".chart-note");
      this.charts = [...card.querySelectorAll("figure")].map((figure) => new Chart(figure, card.dataset.charts));
      card.addEventListener("click", ({ target }) => {
        const button = target.closest("[data-range]");
        if (button) this.show(Number(button.dataset.range));
      });
      document.addEventListener("themechange", () => this.charts.forEach((chart) => chart.redraw()));
      document.addEventListener("visibilitychange", () => this.tick());
      setInterval(() => this.tick(), 1000);
      this.show(Number(card.querySelector("[aria-pressed=true]").dataset.range));
    }

    show(seconds) {
      for (const button of this.card.querySelectorAll("[data-range]")) {
        button.setAttribute("aria-pressed", String(Number(button.dataset.range) === seconds));
      }
      this.seconds = seconds;
      this.data = undefined;
      this.due = 0;
      this.tick();
    }

    seen() {
      const box = this.card.getBoundingClientRect();
      return !document.hidden && box.bottom > 0 && box.top < innerHeight;
    }

    /** Fetch if it is time to, somebody looks, and no answer is being waited for. */
    async tick() {
      // A connection that was lost without a word brings no answer.
      if (this.asking && performance.now() - this.asked > LOST) this.given.abort();
      if (this.asking || performance.now() < this.due || !this.seen()) return;
      if (this.answered && performance.now() - this.answered > LOST) this.data = undefined;
      const { seconds, data } = this;
      this.asking = true;
      this.asked = performance.now();
      const { signal } = this.given = new AbortController();
      try {
        const answer = await fetch(this.address(), { headers: { Accept: "application/json" }, signal });
        if (!answer.ok) throw new Error(answer.statusText);
        const told = await answer.json();
        if (seconds === this.seconds && data === this.data) this.take(told);
      } catch {
        this.say("failed"); // the server cannot be reached, or has no Redis: what is drawn stays
      }
      this.asking = false;
      const step = this.data?.step ?? 2;
      if (seconds === this.seconds) this.due = performance.now() + 1000 * Math.min(SLOWEST, Math.max(2, step)) - 500;
      else this.tick(); // another range was chosen meanwhile
    }

    address() {
      const { data } = this;
      const from = data ? data.at.at(-KEPT) ?? now() - this.seconds : now() - this.seconds;
      const asked = new URLSearchParams({ from: from.toFixed(0) });
      if (data) asked.set("step", data.step);
      return `${this.card.dataset.charts}?${asked}`;
    }

    /** Put the answer in the place of what was known of its time. */
    take({ from, step, series }) {
      const since = Date.parse(from) / 1000;
      const before = this.data ?? { at: [], series: {} };
      const first = now() - this.seconds;
      const kept = before.at.map((at, index) => index).filter((index) => before.at[index] > first && before.at[index] <= since);
      const names = Object.keys(series);
      const fresh = series[names[0]].map(([at]) => at);
      const last = before.at[kept.at(-1)];
      const gap = last !== undefined && fresh.length > 0 && fresh[0] - last > GAP * Math.max(step, SLOW_PERIOD) ? [last + step] : [];
      this.data = {
        step: before.step ?? step,
        at: [...kept.map((index) => before.at[index]), ...gap, ...fresh],
        series: Object.fromEntries(names.map((name) => [name, [
          ...kept.map((index) => before.series[name][index]),
          ...gap.map(() => null),
          ...series[name].map(([, value]) => value),
        ]])),
      };
      this.answered = performance.now();
      this.say(this.data.at.length ? null : "empty");
      for (const chart of this.charts) {
        chart.draw(this.data, [first, first + this.seconds]);
        chart.summary(this.card.dataset.summary);
      }
    }

    say(word) {
      this.note.hidden = !word;
      this.note.textContent = word ? this.note.dataset[word] : "";
    }
  }

  for (const card of document.querySelectorAll("[data-charts]")) new Charts(card);
})();
