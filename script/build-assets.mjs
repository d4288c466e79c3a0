// Bundle what comes from npm into build/assets/vendor: one script, one stylesheet, one sprite of the icons in use.
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

await rm(OUT, { recursive: true, force: true });
await mkdir(OUT, { recursive: true });
await build({
  entryPoints: ["assets/vendor.js", "assets/vendor.css"],
  outdir: OUT,
  bundle: true,
  minify: true,
  target: ["chrome109", "firefox115", "safari16"],
  logLevel: "warning",
});
await Promise.all([sprite(), licences()]);
for (const name of (await readdir(OUT)).sort()) {
  const { size } = await stat(`${OUT}/${name}`);
  console.log(`  ${OUT}/${name}  ${Math.ceil(size / 1024)} kB`);
}
