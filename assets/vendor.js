// Everything the pages need that others wrote, as one file. Own scripts in static/ use the three globals.
import htmx from "htmx.org";
import * as bootstrap from "@tabler/core";
import uPlot from "uplot";

Object.assign(window, { htmx, bootstrap, uPlot });
