// Each view of the page for everybody: nothing that axe finds, from 320 pixels to 4K, light and dark, without motion, and
// by keyboard alone.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';

import { addFew, search, searchbox, startPage } from './page-support.mjs';

const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let place;

before(async () => (place = await startPage()));
after(() => place?.close());

const withPage = (visit, options) => place.withPage(visit, options);

/** What axe finds: rule and elements. */
async function findings(page) {
  await page.evaluate(AXE); // through the debugger, which no policy binds
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(' | ')}`);
}

/** The tabs of which part of the name is not to be seen. */
const cutTabs = (page) =>
  page.evaluate(() =>
    [...document.querySelectorAll('[role=tab]')]
      .filter((tab) => {
        const { left, right } = tab.getBoundingClientRect();
        return left < 0 || right > innerWidth || tab.scrollWidth > tab.clientWidth;
      })
      .map(({ textContent }) => textContent),
  );

const views = {
  empty: async () => {},
  pictures: addFew,
  found: async (page) => {
    await search(page, 'an airplane');
    const folded = page.getByText('Filter, select, export');
    if (await folded.isVisible()) await folded.click();
    await page.getByLabel('Look-alikes').check();
    await page.getByLabel('Look-alikes').uncheck();
  },
  viewer: async (page) => {
    await page.locator('.tile .open').first().click();
    await page.locator('#alikes button').first().waitFor();
  },
  sentences: async (page) => {
    await page.keyboard.press('Escape');
    await page.getByRole('tab', { name: 'Compare sentences' }).click();
    await page.locator('#pairs li').first().waitFor();
    await page.getByRole('searchbox', { name: 'Nearest to' }).fill('a taxi');
    await page.locator('#nearest li').first().waitFor();
  },
  models: async (page) => {
    await page.getByRole('tab', { name: 'Model and storage' }).click();
    await page.locator('.model').first().waitFor();
  },
};

for (const [width, height, colorScheme] of [
  [1100, 800, 'light'],
  [320, 640, 'dark'],
  [3840, 2160, 'dark'],
]) {
  test(`${width} × ${height}, ${colorScheme}: axe finds nothing, nothing scrolls sideways, nothing moves`, () =>
    withPage(
      async (page) => {
        for (const between of width === 320 ? [320, 390, 439, 441, 500, 641] : []) {
          await page.setViewportSize({ width: between, height });
          assert.deepEqual(await cutTabs(page), [], `${between} pixels`);
        }
        await page.setViewportSize({ width, height });
        for (const [name, show] of Object.entries(views)) {
          await show(page);
          assert.deepEqual(await findings(page), [], name);
          const sideways = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          assert.ok(sideways <= 0, `${name} is ${sideways} pixels too wide`);
          assert.equal(await page.evaluate(() => document.getAnimations().length), 0, name);
          if (process.env.SCREENSHOTS)
            await page.screenshot({ path: `${process.env.SCREENSHOTS}/${width}-${colorScheme}-${name}.png` });
        }
      },
      { viewport: { width, height }, colorScheme, reducedMotion: 'reduce' },
    ));
}

test('on a phone the first row of pictures is seen at once; what narrows the choice is unfolded by keyboard', () =>
  withPage(
    async (page) => {
      await addFew(page);
      await search(page, 'an airplane');
      await page.evaluate(() => scrollTo(0, 0)); // some engines scroll to what is clicked
      const box = (selector) => page.locator(selector).first().boundingBox();
      const row = await box('.tile');
      const foot = await box('.status');
      assert.ok(
        row.y + row.height <= foot.y,
        `the first row ends at ${row.y + row.height}, the foot begins at ${foot.y}`,
      );
      assert.equal(await page.getByLabel('Look-alikes').isVisible(), false);
      const folded = page.getByText('Filter, select, export');
      await folded.focus();
      await page.keyboard.press('Enter');
      await page.getByLabel('Look-alikes').waitFor();
      await page.getByRole('button', { name: 'Select all' }).click();
      await page.setViewportSize({ width: 1100, height: 844 });
      await folded.waitFor({ state: 'hidden' });
      assert.ok(await page.getByLabel('Look-alikes').isVisible());
      await page.setViewportSize({ width: 390, height: 844 });
      await page.getByLabel('Look-alikes').waitFor({ state: 'hidden' });
    },
    { viewport: { width: 390, height: 844 } },
  ));

test('the keyboard alone: tabs, the field, the grid, a picture, and back', () =>
  withPage(async (page) => {
    await addFew(page);
    await page.keyboard.press('Tab');
    const focus = () => page.evaluate(() => document.activeElement.id || document.activeElement.className);
    // From the button that was clicked, on through what narrows the choice, into the grid: one stop.
    const stops = [await focus()];
    for (let i = 0; i < 15; i++) {
      await page.keyboard.press('Tab');
      stops.push(await focus());
    }
    assert.equal(stops.filter((stop) => stop === 'open').length, 1, stops.join(' '));
    await searchbox(page).focus();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor();
    const name = await page.locator('#viewer-name').textContent();
    await page.keyboard.press('ArrowRight');
    assert.notEqual(await page.locator('#viewer-name').textContent(), name);
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'hidden' });
    assert.equal(await page.evaluate(() => document.activeElement.querySelector('.name').textContent), name);
    await page.getByRole('tab', { name: 'Find pictures' }).focus();
    await page.keyboard.press('End');
    assert.ok(await page.getByRole('heading', { name: 'Models', exact: true }).isVisible());
    await page.keyboard.press('Home');
    assert.ok(await searchbox(page).isVisible());
  }));
