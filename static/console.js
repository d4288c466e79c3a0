// A console: asks for a ticket, opens the socket, shows what comes, and says what goes on. What draws the serial
// line and the screen is a module of its own, which is fetched when a console is opened.
//
//   data-console           the element; data-kind is what it shows, data-at-once opens it with the page
//   data-console-do="..."  a button in it
//   data-when="busy"       a note that is shown in this state
const ENDS = { 4401: "signed-out", 4409: "busy", 4410: "taken", 4411: "stopped" };
const PROBLEMS = {
  wrong_state: "stopped", no_serial_device: "no-serial", no_vnc_device: "no-vnc", console_busy: "busy-host",
};
const FINAL = 4422; // the host was asked, and asking again is no use
const SILENCE = 30000; // ms: the server says something every 10 s
const LONGEST_WAIT = 15000; // ms between two attempts
const STOPPED_WAIT = 3000; // ms until a domain that does not run is looked at again
const STARTING_WAIT = 1000; // ms until one that was just told to start is,
const START_PATIENCE = 30000; // and in which it may still refuse
const CSRF = "[name=csrfmiddlewaretoken]";

class Console {
  constructor(root) {
    this.root = root;
    this.box = this.one("[data-console-screen]");
    this.words = JSON.parse(this.one("[data-console-words]").textContent);
    this.mode = "ask";
    this.attempts = 0;
    this.patient = 0; // until when no refusal is taken for the last word
    root.addEventListener("click", (event) => this.onClick(event));
    root.addEventListener("keydown", (event) => this.onKey(event), { capture: true });
    document.addEventListener("fullscreenchange", () => this.onFullScreen());
    this.one("form").addEventListener("submit", () => this.typePasted());
    this.show("idle");
    if ("atOnce" in root.dataset) this.open();
  }

  one(selector) {
    return this.root.querySelector(selector);
  }

  get kind() {
    return this.root.dataset.kind;
  }

  /** Say the state in the status line, and show the note that belongs to it. */
  show(state, detail = "") {
    this.root.dataset.state = state;
    this.one("[data-console-status]").textContent = this.words[state] ?? detail;
    for (const note of this.root.querySelectorAll("[data-when]")) {
      note.hidden = note.dataset.when !== state || (state === "reconnecting" && !detail);
      const text = note.querySelector("[data-detail]");
      if (text) text.textContent = note.hidden ? "" : detail;
    }
    for (const button of this.root.querySelectorAll("[data-needs]")) {
      button.disabled = state !== "live" || (this.readOnly && "types" in button.dataset);
      button.hidden = button.dataset.needs !== "any" && button.dataset.needs !== this.kind;
    }
  }

  /** Begin anew, with this mode: by a person, or for the first time. */
  open(mode = "ask") {
    this.mode = mode;
    this.attempts = 0;
    this.show("connecting");
    this.connect();
  }

  async connect() {
    this.leave();
    const turn = this.turn = {}; // a later attempt makes this one void
    try {
      const [ticket, { screens }] = await Promise.all([this.ticket(), import(this.root.dataset.library)]);
      if (this.turn === turn && ticket) this.begin(turn, ticket, screens[this.kind]);
    } catch {
      if (this.turn === turn) this.later(); // no network, or a server that is being started again
    }
  }

  /** Ask for a ticket. Null when that was refused, which is shown. */
  async ticket() {
    const headers = { "X-CSRFToken": this.one(CSRF).value, "Content-Type": "application/json" };
    const body = JSON.stringify({ kind: this.kind });
    const answer = await fetch(this.root.dataset.tickets, { method: "POST", headers, body });
    if (answer.ok) return answer.json();
    if (answer.status === 401 || answer.status === 403) this.show("signed-out");
    else if (answer.status < 500) this.show("error", (await answer.json()).detail);
    else throw new Error(answer.status);
    return null;
  }

  begin(turn, { ticket, url }, Screen) {
    const socket = this.socket = new WebSocket(new URL(url, location.href.replace(/^http/, "ws")));
    socket.binaryType = "arraybuffer";
    socket.onopen = () =>
      socket.send(JSON.stringify({ ticket, mode: this.mode, acknowledges: this.kind === "serial" }));
    socket.onmessage = ({ data }) => {
      if (this.turn !== turn) return;
      this.stillThere();
      if (typeof data === "string") this.onWord(JSON.parse(data), Screen);
      else this.screen?.show(data);
    };
    socket.onclose = ({ code }) => {
      if (this.turn === turn) this.onClose(code);
    };
    this.stillThere();
  }

  /** A browser does not notice by itself that its connection was lost without a word. */
  stillThere() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => {
      this.leave();
      this.later();
    }, SILENCE);
  }

  onWord(word, Screen) {
    if (word.type === "ready") {
      this.attempts = this.patient = 0;
      this.refusal = null;
      this.draw(Screen, word.mode === "view");
    }
    if (word.type === "ready" || word.type === "viewers") this.count(word.viewers);
    if (word.type === "error") this.refusal = word;
    if (word.type === "skipped") this.screen?.remark(this.words.skipped.replace("{n}", word.bytes));
  }

  draw(Screen, readOnly) {
    const had = this.hasFocus();
    this.screen?.close();
    const { socket } = this;
    this.screen = new Screen(this.box, {
      label: this.box.getAttribute("aria-label"),
      send: (bytes) => { if (socket.readyState === WebSocket.OPEN) socket.send(bytes); },
      drawn: (size) => {
        if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ acknowledged: size }));
      },
      failed: () => this.fail(),
    });
    this.screen.readOnly = this.readOnly = readOnly;
    this.root.toggleAttribute("data-read-only", readOnly);
    this.show("live");
    this.fit();
    if (had || "atOnce" in this.root.dataset) this.screen.focus();
  }

  count(viewers) {
    const parts = [this.words.live];
    if (this.readOnly) parts.push(this.words["read-only"]);
    if (viewers > 1) parts.push(this.words.viewers.replace("{n}", viewers));
    this.one("[data-console-status]").textContent = parts.join(", ");
  }

  hasFocus() {
    return this.box.contains(document.activeElement) || document.activeElement === document.body;
  }

  /** The screen speaks something that cannot be shown. */
  fail() {
    this.leave();
    this.show("error", this.words.unreadable);
  }

  onClose(code) {
    clearTimeout(this.silence);
    const { refusal } = this;
    const state = ENDS[code] ?? PROBLEMS[refusal?.problem];
    this.refusal = null;
    if (performance.now() < this.patient && (state === "stopped" || code === FINAL)) this.again(STARTING_WAIT);
    else if (state) this.show(state, refusal?.detail);
    else if (code === FINAL) this.show("error", refusal?.detail);
    else this.later(refusal?.detail);
    if (this.root.dataset.state === "stopped") this.again(STOPPED_WAIT);
  }

  /** Try again by itself, later each time; who only looked on looks on, and nobody takes over unasked. */
  later(detail) {
    this.show("reconnecting", detail);
    this.attempts += 1;
    const ceiling = Math.min(LONGEST_WAIT, 500 * 2 ** this.attempts);
    this.again(ceiling / 2 + (Math.random() * ceiling) / 2);
  }

  again(wait) {
    this.mode = this.mode === "view" ? "view" : "ask";
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => { if (this.root.isConnected) this.connect(); }, wait);
  }

  /** Close what is open, if anything; what was drawn last stays to be read. */
  leave() {
    clearTimeout(this.waiting);
    clearTimeout(this.silence);
    this.turn = null;
    this.socket?.close();
    this.socket = null;
  }

  change(link) {
    for (const tab of this.root.querySelectorAll("[data-console-kind]")) tab.removeAttribute("aria-current");
    link.setAttribute("aria-current", "page");
    this.root.dataset.kind = link.dataset.consoleKind;
    this.screen?.close();
    this.screen = null;
    if ("atOnce" in this.root.dataset) history.replaceState(null, "", link.href);
    this.open();
  }

  onClick(event) {
    const link = event.target.closest("[data-console-kind]");
    const button = event.target.closest("[data-console-do]");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      this.change(link);
    }
    if (button) this[button.dataset.consoleDo](button);
  }

  /** Every key is the guest's but these: by them a person gets out (WCAG 2.1.2). */
  onKey(event) {
    if (!(event.key === "Enter" && event.ctrlKey && event.shiftKey) || !this.box.contains(event.target)) return;
    event.preventDefault();
    event.stopPropagation();
    this.screen?.releaseKeys?.();
    this.one("[data-console-kind][aria-current]").focus();
  }

  // What the buttons do, by their names.

  retry() {
    this.open();
  }

  look() {
    this.open("view");
  }

  take() {
    this.open("take");
  }

  async start(button) {
    button.disabled = true;
    const headers = { "X-CSRFToken": this.one(CSRF).value };
    try {
      const answer = await fetch(this.root.dataset.start, { method: "POST", headers });
      this.patient = performance.now() + START_PATIENCE;
      if (answer.ok) this.open();
      else this.show("error", (await answer.json()).detail);
    } catch {
      this.show("error", this.words.unreachable); // no network, or somebody's page instead of an answer
    }
    button.disabled = false;
  }

  keys() {
    this.screen.pressCtrlAltDel();
    this.screen.focus();
  }

  fits(button) {
    button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true");
    this.fit();
  }

  fit() {
    if (this.kind === "vnc") this.screen.fits = this.one("[data-console-do=fits]").getAttribute("aria-pressed") === "true";
  }

  async paste() {
    const text = this.one("textarea[name=text]");
    text.value = await navigator.clipboard?.readText().catch(() => "") ?? "";
    this.one("dialog").showModal();
    text.select();
  }

  typePasted() {
    const text = this.one("textarea[name=text]");
    this.screen?.type(text.value);
    text.value = "";
    this.screen?.focus();
  }

  async full() {
    if (document.fullscreenElement) await document.exitFullscreen();
    else await this.root.requestFullscreen();
  }

  /** In full screen also Escape is the guest's, where the browser lets us; holding it leaves. */
  onFullScreen() {
    if (document.fullscreenElement === this.root) navigator.keyboard?.lock?.(["Escape"]);
    this.screen?.focus();
  }
}

for (const root of document.querySelectorAll("[data-console]")) new Console(root);
