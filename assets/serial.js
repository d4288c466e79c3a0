// A serial line in xterm.js.
import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";

const SCROLLBACK = 10_000; // lines
const LEAST_COLUMNS = 80; // a guest is not told how wide its line is: it takes it for a terminal of old
const PIECE = 16 * 1024; // bytes of one message; the server takes 64 KiB
const LIGHT = { background: "#ffffff", foreground: "#1b2028", cursor: "#1f5fae", selectionBackground: "#bcd4f2" };
const DARK = { background: "#0d1014", foreground: "#d5dbe3", cursor: "#86b8f5", selectionBackground: "#31496b" };

/** Shows what the guest writes, and gives what is typed to `send`; `drawn` is told how many bytes are shown. */
export class SerialScreen {
  #terminal;
  #fit = new FitAddon();
  #sizes;
  #drawn;
  #retheme = () => { this.#terminal.options.theme = this.#theme(); };

  constructor(box, { send, drawn, label }) {
    this.#drawn = drawn;
    this.#terminal = new Terminal({
      cursorBlink: true,
      fontFamily: getComputedStyle(box).fontFamily,
      fontSize: 14,
      minimumContrastRatio: 4.5,
      scrollback: SCROLLBACK,
      theme: this.#theme(),
    });
    Terminal.strings.promptLabel = label;
    this.#terminal.loadAddon(this.#fit);
    this.#terminal.open(box);
    const encoder = new TextEncoder();
    this.#terminal.onData((text) => this.#inPieces(encoder.encode(text), send));
    this.#terminal.onBinary((text) => this.#inPieces(Uint8Array.from(text, (one) => one.charCodeAt(0)), send));
    this.#sizes = new ResizeObserver(() => this.#resize());
    this.#sizes.observe(box);
    document.addEventListener("themechange", this.#retheme);
  }

  #theme() {
    return document.documentElement.dataset.bsTheme === "dark" ? DARK : LIGHT;
  }

  #inPieces(bytes, send) {
    for (let start = 0; start < bytes.length; start += PIECE) send(bytes.slice(start, start + PIECE));
  }

  #resize() {
    const size = this.#fit.proposeDimensions();
    if (size?.rows) this.#terminal.resize(Math.max(LEAST_COLUMNS, size.cols), size.rows);
  }

  show(buffer) {
    this.#terminal.write(new Uint8Array(buffer), () => this.#drawn(buffer.byteLength));
  }

  /** Put a line of ours between what the guest wrote. */
  remark(text) {
    this.#terminal.write(`\r\n\x1b[0;7m ${text} \x1b[0m\r\n`);
  }

  set readOnly(yes) {
    this.#terminal.options.disableStdin = yes;
  }

  type(text) {
    this.#terminal.paste(text);
  }

  focus() {
    this.#terminal.focus();
  }

  close() {
    document.removeEventListener("themechange", this.#retheme);
    this.#sizes.disconnect();
    this.#terminal.dispose();
  }
}
