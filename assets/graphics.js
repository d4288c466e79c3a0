// A screen in noVNC.
import RFB from "@novnc/novnc";

const SHIFT = 0xffe1, CONTROL = 0xffe3; // keysyms of the left keys, keysymdef.h of X11
const KEYSYMS = new Map([["\n", 0xff0d], ["\t", 0xff09]]);
const WITH_SHIFT = /[A-Z~!@#$%^&*()_+{}|:"<>?]/; // QEMU knows keys, of the US layout unless told otherwise
const KEY_PAUSE = 12; // ms: a guest's keyboard has a short memory

/** What noVNC takes for its WebSocket: ours is open already when it begins. */
class Channel {
  binaryType = "arraybuffer";
  protocol = "";
  readyState = "open";
  onopen = null;
  onmessage = null;
  onerror = null;
  onclose = null;

  constructor(send) {
    this.send = send;
  }

  close() {
    this.readyState = "closed";
    queueMicrotask(() => this.onclose({ code: 1000 }));
  }
}

const pause = (time) => new Promise((done) => { setTimeout(done, time); });

/** Shows the guest's screen, and gives keys and pointer to `send`; `failed` is told when it cannot be shown. */
export class GraphicsScreen {
  #channel;
  #rfb;
  #closed = false;

  constructor(box, { send, failed, label }) {
    this.#channel = new Channel(send);
    this.#rfb = new RFB(box, this.#channel);
    this.#rfb.background = "transparent";
    this.#rfb.scaleViewport = true;
    box.querySelector("canvas").setAttribute("aria-label", label);
    box.querySelector("canvas").setAttribute("role", "img");
    for (const type of ["credentialsrequired", "disconnect"]) {
      this.#rfb.addEventListener(type, () => { if (!this.#closed) failed(); });
    }
  }

  show(buffer) {
    this.#channel.onmessage({ data: buffer });
  }

  set readOnly(yes) {
    this.#rfb.viewOnly = yes;
  }

  /** Fit the screen into the window, or show it as large as it is. */
  set fits(yes) {
    this.#rfb.scaleViewport = yes;
  }

  async type(text) {
    for (const character of text.replaceAll("\r\n", "\n")) {
      if (this.#closed) return;
      const code = character.codePointAt(0);
      const keysym = KEYSYMS.get(character) ?? (code < 0x100 ? code : 0x01000000 + code);
      const shifted = WITH_SHIFT.test(character);
      if (shifted) this.#rfb.sendKey(SHIFT, null, true);
      this.#rfb.sendKey(keysym, null);
      if (shifted) this.#rfb.sendKey(SHIFT, null, false);
      await pause(KEY_PAUSE);
    }
  }

  pressCtrlAltDel() {
    this.#rfb.sendCtrlAltDel();
  }

  /** Let go of the keys by which a person left the screen: it will not see them come up. */
  releaseKeys() {
    this.#rfb.sendKey(CONTROL, "ControlLeft", false);
    this.#rfb.sendKey(SHIFT, "ShiftLeft", false);
  }

  focus() {
    this.#rfb.focus();
  }

  close() {
    this.#closed = true;
    this.#rfb.disconnect();
  }
}
