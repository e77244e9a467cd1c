// Looks at pages in Chromium: `node look.mjs CHROMIUM MODULES JOBS.json`, and tells as JSON what it saw of each.
// A job is { html, scheme: "light"|"dark", width, height, png?, golden?, skim? }: one that is skimmed is a large page, of
// which the time that it takes to be shown is told, and not whether all of it can be used.
import { readFileSync, writeFileSync, existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [chromium, modules, jobs] = process.argv.slice(2);
const require = createRequire(pathToFileURL(modules + '/'));
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const browser = await require('playwright-core').chromium.launch({
  executablePath: chromium,
  args: ['--no-sandbox', '--disable-gpu', '--hide-scrollbars', '--font-render-hinting=none'],
});

// The mean difference of two pictures in percent, each seen as 64 by 96 squares: what another font moves by a
// pixel is no difference, what is gone or has another colour is.
async function difference(page, one, other) {
  const url = (file) => 'data:image/png;base64,' + readFileSync(file).toString('base64');
  return page.evaluate(async ([one, other]) => {
    const squares = async (url) => {
      const image = new Image();
      image.src = url;
      await image.decode();
      const canvas = document.createElement('canvas');
      canvas.width = 64;
      canvas.height = 96;
      const context = canvas.getContext('2d');
      context.imageSmoothingQuality = 'high';
      context.drawImage(image, 0, 0, 64, 96);
      return context.getImageData(0, 0, 64, 96).data;
    };
    const [a, b] = [await squares(one), await squares(other)];
    let sum = 0;
    for (let at = 0; at < a.length; at += 1) sum += Math.abs(a[at] - b[at]);
    return (sum / a.length / 255) * 100;
  }, [url(one), url(other)]);
}

const seen = [];
for (const job of JSON.parse(readFileSync(jobs, 'utf8'))) {
  const context = await browser.newContext({
    viewport: { width: job.width, height: job.height },
    colorScheme: job.scheme,
    reducedMotion: 'reduce',
  });
  const page = await context.newPage();
  const errors = [];
  const requests = [];
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && errors.push(message.text()));
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('request', (request) => requests.push(request.url()));
  const start = performance.now();
  await page.goto(pathToFileURL(job.html).href, { timeout: 120_000 });
  await page.evaluate(() => new Promise((shown) => requestAnimationFrame(() => requestAnimationFrame(shown))));
  const millis = performance.now() - start;
  if (job.png) await page.screenshot({ path: job.png, fullPage: Boolean(job.whole) });
  const wide = await page.evaluate((skim) => {
    const width = document.documentElement.clientWidth;
    const out = [...document.querySelectorAll('body *')].filter((node) => {
      if (node.closest('.scroll') || node.classList.contains('skip')) return false;
      // What is folded has a place only once it is asked for, which takes as long as all else.
      if (skim && node.closest('details:not([open]) > :not(summary)')) return false;
      return node.getBoundingClientRect().right > width + 1;
    });
    return out.slice(0, 5).map((node) => node.outerHTML.slice(0, 120));
  }, Boolean(job.skim));
  if (job.skim) {
    const scripts = await page.evaluate(() => document.querySelectorAll('body script, head script').length);
    seen.push({ errors, requests, wide, scripts, millis });
    await context.close();
    continue;
  }
  // Every part that can be used is come to by the Tab key, and shows that it is.
  const usable = await page.evaluate(() => document.querySelectorAll('a[href], summary, [tabindex="0"]').length);
  const reached = new Set();
  let unseen = 0;
  for (let at = 0; at < usable + 2; at += 1) {
    await page.keyboard.press('Tab');
    const at_ = await page.evaluate(() => {
      const node = document.activeElement;
      if (!node || node === document.body) return null;
      const style = getComputedStyle(node);
      const all = [...document.querySelectorAll('a[href], summary, [tabindex="0"]')];
      return [all.indexOf(node), style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0];
    });
    if (!at_) continue;
    reached.add(at_[0]);
    if (!at_[1]) unseen += 1;
  }
  const hidden = await page.evaluate(() => {
    const all = [...document.querySelectorAll('a[href], summary, [tabindex="0"]')];
    return all.filter((node) => !node.checkVisibility()).length;
  });
  await page.evaluate(() => document.querySelectorAll('details').forEach((node) => (node.open = true)));
  await page.evaluate(axe);
  const found = await page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }));
  const violations = found.violations.map((it) => `${it.id}: ${it.nodes[0].html.slice(0, 160)} (${it.nodes.length})`);
  const one = {
    errors,
    requests,
    wide,
    millis,
    violations,
    scripts: await page.evaluate(() => document.querySelectorAll('body script, head script').length),
    usable: usable - hidden,
    reached: reached.size,
    unseen,
  };
  if (job.golden && existsSync(job.golden)) {
    one.difference = await difference(await context.newPage(), job.png, job.golden);
  }
  seen.push(one);
  await context.close();
}
await browser.close();
process.stdout.write(JSON.stringify(seen));
