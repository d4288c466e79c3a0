// What shows a console, as one module that only pages with a console load: xterm.js for the serial line, noVNC for
// the screen. script/build-assets.mjs has xterm.js put its styles into the element of adopted-style.js.
import "./adopted-style.js";
import { GraphicsScreen } from "./graphics.js";
import { SerialScreen } from "./serial.js";

export const screens = { serial: SerialScreen, vnc: GraphicsScreen };
