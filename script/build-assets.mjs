// Bundle what comes from npm into build/assets/vendor: for all pages and for consoles each one script and one
// stylesheet, and one sprite of the icons in use.
import { build } from "esbuild";
import { mkdir, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";

const OUT = "build/assets/vendor";
const ICONS = "node_modules/@tabler/icons/icons/outline";

/** The drawing inside an icon file: its frame is replaced by a symbol that takes size and width from CSS. */
async function symbol(name) {
  const svg = await readFile(`${ICONS}/${name}.svg`, "utf8").catch(() => {
    throw new Error(`assets/icons.txt: Tabler has no outline icon named "${name}"`);
  });
  const drawing = svg.slice(svg.indexOf(">", svg.indexOf("<svg")) + 1, svg.indexOf("</svg>"));
  const attributes = 'viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-linecap="round" stroke-linejoin="round"';
  return `<symbol id="${name}" ${attributes}>${drawing.replace(/\s+/g, " ").trim()}</symbol>`;
}

async function sprite() {
  const names = (await readFile("assets/icons.txt", "utf8")).split("\n").filter(Boolean);
  const symbols = await Promise.all(names.map(symbol));
  await writeFile(`${OUT}/icons.svg`, `<svg xmlns="http://www.w3.org/2000/svg">\n${symbols.join("\n")}\n</svg>\n`);
}

/** Minified files lose their notices; the licences travel beside them. */
async function licences() {
  const { dependencies } = JSON.parse(await readFile("package.json", "utf8"));
  const texts = Object.entries(dependencies).map(async ([name, version]) => {
    const folder = `node_modules/${name}`;
    const file = (await readdir(folder)).find((entry) => /^licen[cs]e/i.test(entry));
    const { license } = JSON.parse(await readFile(`${folder}/package.json`, "utf8"));
    return `${name} ${version}\n\n${file ? await readFile(`${folder}/${file}`, "utf8") : `${license}\n`}`;
  });
  await writeFile(`${OUT}/LICENSES.txt`, (await Promise.all(texts)).join("\n----\n\n"));
}

// Our content security policy allows no style that is written into the page; xterm.js 6 has no other way.
const XTERM_STYLES = [
  ['createElement("style")', 'createElement("adopted-style")', 3],
  ['t.setAttribute("style",', "t.style.cssText=(", 1],
];

/** Have xterm.js use style sheets and properties, as its own code does elsewhere; fail if it has changed. */
const strictStyles = {
  name: "strict-styles",
  setup({ onLoad }) {
    onLoad({ filter: /@xterm\/xterm\/lib\/xterm\.mjs$/ }, async ({ path }) => {
      let contents = await readFile(path, "utf8");
      for (const [found, instead, times] of XTERM_STYLES) {
        const pieces = contents.split(found);
        if (pieces.length !== times + 1) throw new Error(`xterm.js has not ${times} times ${found}`);
        contents = pieces.join(instead);
      }
      return { contents, loader: "js" };
    });
  },
};

const common = {
  outdir: OUT,
  bundle: true,
  minify: true,
  target: ["chrome109", "firefox115", "safari16"],
  logLevel: "warning",
};

await rm(OUT, { recursive: true, force: true });
await mkdir(OUT, { recursive: true });
await build({ ...common, entryPoints: ["assets/vendor.js", "assets/vendor.css"] });
// noVNC waits for the browser's answer while it is loaded, which modules alone can do.
await build({ ...common, entryPoints: ["assets/console.js", "assets/console.css"], format: "esm", plugins: [strictStyles] });
await Promise.all([sprite(), licences()]);
for (const name of (await readdir(OUT)).sort()) {
  const { size } = await stat(`${OUT}/${name}`);
  console.log(`  ${OUT}/${name}  ${Math.ceil(size / 1024)} kB`);
}
