// What a report's page has to be, in a browser: node tools/test_page.mjs CHROMIUM MODULES REPORT.html [SCREENSHOTS]
// MODULES is a node_modules directory with playwright-core and axe-core. tools/test_page.sh gets all of them.
import { createRequire } from "node:module";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [chromiumPath, modules, report, screenshots] = process.argv.slice(2);
const require = createRequire(pathToFileURL(join(resolve(modules), "_.js")));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const address = pathToFileURL(resolve(report)).href;
if (screenshots) mkdirSync(screenshots, { recursive: true });

const wrong = [];
const expect = (holds, what) => holds || wrong.push(what);

const profile = mkdtempSync(join(tmpdir(), "caramba-page-"));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: chromiumPath,
  headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

// A phone, a tablet, a desk; light and dark.
const looks = [
  { width: 360, height: 740, colorScheme: "light" },
  { width: 768, height: 1024, colorScheme: "dark" },
  { width: 1280, height: 900, colorScheme: "light" },
];
try {
  for (const look of looks) {
    const name = `${look.width} px, ${look.colorScheme}`;
    const page = await context.newPage();
    page.on("console", (message) => message.type() === "error" && wrong.push(`${name}: the console says: ${message.text()}`));
    page.on("pageerror", (error) => wrong.push(`${name}: ${error.message}`));
    page.on("request", (request) => request.url() === address || request.url().startsWith("data:") || wrong.push(`${name}: it asks for ${request.url()}`));
    await page.emulateMedia({ colorScheme: look.colorScheme });
    await page.setViewportSize(look);
    await page.goto(address, { waitUntil: "load" });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    expect(wide <= 0, `${name}: the page is ${wide} px wider than the window`);
    const small = await page.evaluate(() => [...document.querySelectorAll("figure svg text")].map((text) => text.getBoundingClientRect().height).filter((height) => height > 0 && height < 7).length);
    expect(small === 0, `${name}: ${small} texts of charts are less than 7 px high`);
    if (screenshots) await page.screenshot({ path: join(screenshots, `${basename(report, ".html")}-${look.width}.png`), fullPage: true });
    await tables(page, name);
    await values(page, name);
    await page.evaluate(() => document.querySelectorAll("details").forEach((one) => (one.open = true)));
    const sideways = await page.evaluate(() => [...document.querySelectorAll(".scroll")].filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.getAttribute("aria-label")));
    expect(sideways.length === 0, `${name}: tables are wider than their place: ${sideways.join("; ")}`);
    await page.evaluate(axe);
    const found = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"] }));
    for (const one of found.violations) wrong.push(`${name}: ${one.help} (${one.id}): ${one.nodes.slice(0, 3).map((node) => `${node.target} ${node.html.slice(0, 120)}`).join("; ")}`);
    expect(found.passes.length > 10, `${name}: axe looked at ${found.passes.length} rules only`);
    await page.close();
  }
  const page = await context.newPage();
  await page.goto(address);
  const pdf = await page.pdf({ format: "A4" });
  if (screenshots) (await import("node:fs")).writeFileSync(join(screenshots, `${basename(report, ".html")}.pdf`), pdf);
  const pages = (pdf.toString("latin1").match(/\/Type \/Page\b/g) ?? []).length;
  expect(pages > 0, "it does not print");
} finally {
  await context.close();
  rmSync(profile, { recursive: true, force: true });
}
for (const one of wrong) console.error(one);
console.log(`${report}: ${wrong.length ? `${wrong.length} things are wrong` : "loads, sorts, shows its values and is accessible"} at ${looks.map((look) => look.width).join(", ")} px`);
process.exit(wrong.length ? 1 : 0);

// Every table sorts by each of its columns, both ways, by keyboard too.
async function tables(page, name) {
  await page.evaluate(() => document.querySelectorAll("details").forEach((one) => (one.open = true)));
  const count = await page.locator("table").count();
  for (let table = 0; table < count; table++) {
    const headers = page.locator("table").nth(table).locator("thead th");
    for (let column = 0; column < (await headers.count()); column++) {
      const button = headers.nth(column).locator("button");
      for (const [turn, direction] of ["ascending", "descending"].entries()) {
        if (turn === 0) await button.focus();
        await page.keyboard.press("Enter");
        expect((await headers.nth(column).getAttribute("aria-sort")) === direction, `${name}: table ${table}, column ${column} is not said to be ${direction}`);
        const order = await page.evaluate(([table, column]) => [...document.querySelectorAll("table")[table].tBodies[0].rows].map((row) => row.cells[column]).filter((cell) => "value" in cell.dataset).map((cell) => Number(cell.dataset.value)), [table, column]);
        const sorted = [...order].sort((a, b) => (direction === "ascending" ? a - b : b - a));
        expect(JSON.stringify(order) === JSON.stringify(sorted), `${name}: table ${table} is not ${direction} by column ${column}: ${order}`);
      }
    }
  }
}

// Every chart says its values: under the pointer, and as one goes through them by keyboard.
async function values(page, name) {
  const charts = page.locator("figure[data-values]");
  for (let chart = 0; chart < (await charts.count()); chart++) {
    const figure = charts.nth(chart);
    const told = figure.locator("output");
    await figure.locator(".paper").focus();
    await page.keyboard.press("ArrowRight");
    const first = await told.textContent();
    await page.keyboard.press("End");
    const last = await told.textContent();
    expect(/\d/.test(first) && /\d/.test(last), `${name}: chart ${chart} says "${first}" and "${last}" by keyboard`);
    await page.keyboard.press("Escape");
    const mark = figure.locator("svg [data-mark]").first();
    await mark.scrollIntoViewIfNeeded();
    await mark.hover({ force: true });
    expect(/\d/.test(await told.textContent()), `${name}: chart ${chart} says nothing under the pointer`);
  }
}
