// Several pictures at once; when pictures were taken; files that a browser does not read.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import sharp from 'sharp';

import {
  addFew,
  allRead,
  downloaded,
  few,
  names,
  picture,
  sample,
  search,
  searchbox,
  startPage,
} from './page-support.mjs';

let place;

before(async () => (place = await startPage()));
after(() => place?.close());

const inOrder = few.toSorted();
const tile = (page, number) => page.locator(`.tile[aria-posinset="${number}"] .open`);
const selected = (page) => page.locator('.tile.selected .name').allTextContents();
const isSelected = (page, count) => page.locator('#selected', { hasText: `${count} selected` }).waitFor();
const exported = async (page) =>
  String(await downloaded(page, () => page.getByRole('button', { name: 'Names' }).click()))
    .trim()
    .split('\n');

test('several are selected with the mouse, and exported, hidden and removed together', () =>
  place.withPage(async (page) => {
    await addFew(page);
    await tile(page, 2).click({ modifiers: ['ControlOrMeta'] });
    await isSelected(page, 1);
    await tile(page, 5).click({ modifiers: ['Shift'] });
    await isSelected(page, 4);
    assert.deepEqual((await selected(page)).toSorted(), inOrder.slice(1, 5));
    await tile(page, 3).click({ modifiers: ['ControlOrMeta'] });
    await isSelected(page, 3);
    assert.match(await tile(page, 2).textContent(), /, selected/, 'it is said to those who do not see it');
    const three = [inOrder[1], inOrder[3], inOrder[4]];
    assert.deepEqual(await exported(page), three);

    await page.getByRole('button', { name: 'Hide', exact: true }).click();
    await page.locator('#summary', { hasText: `${few.length - 3} of ${few.length} pictures` }).waitFor();
    assert.ok(three.every((name) => !inOrder.slice(0, 1).includes(name)));
    assert.ok(!(await page.locator('#selected').isVisible()));
    await page.getByLabel('Hidden ones').check();
    await tile(page, 2).click({ modifiers: ['ControlOrMeta'] });
    await tile(page, 4).click({ modifiers: ['ControlOrMeta'] });
    await page.getByRole('button', { name: 'Remove', exact: true }).click();
    await allRead(page, few.length - 2);
    const left = await names(page);
    assert.ok(!left.includes(inOrder[1]) && !left.includes(inOrder[3]) && left.includes(inOrder[4]));

    await page.getByRole('button', { name: 'Select all' }).click();
    await isSelected(page, few.length - 2);
    await page.getByRole('button', { name: 'Select none' }).click();
    await page.locator('.tile.selected').first().waitFor({ state: 'detached' });
  }));

test('several are selected by keyboard', () =>
  place.withPage(async (page) => {
    await addFew(page);
    await search(page, 'pizza');
    await searchbox(page).press('ArrowDown');
    await page.keyboard.press('Shift+ArrowRight');
    await page.keyboard.press('Shift+ArrowRight');
    await isSelected(page, 3);
    await page.keyboard.press('Shift+ArrowLeft');
    await isSelected(page, 2);
    const shown = await names(page);
    assert.deepEqual(await exported(page), shown.slice(0, 2), 'in their order, whether they fit or not');

    await searchbox(page).press('ArrowDown');
    await page.keyboard.press('Escape');
    await page.locator('.tile.selected').first().waitFor({ state: 'detached' });
    await page.keyboard.press('Control+ ');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('Control+ ');
    await isSelected(page, 2);
    await page.keyboard.press('Delete');
    await allRead(page, few.length - 2);
    assert.deepEqual((await names(page)).slice(0, 2), [shown[1], shown[3]]);
    await page.keyboard.press('Control+a');
    await isSelected(page, few.length - 2);
    await page.keyboard.press('h');
    await page.locator('#summary', { hasText: `0 of ${few.length - 2} pictures` }).waitFor();
  }));

test('dates are those of EXIF, else those of the files', () =>
  place.withPage(async (page) => {
    const file = await picture(sample(/pizza/));
    const buffer = await sharp(file.buffer)
      .withExif({ IFD2: { DateTimeOriginal: '2001:05:06 07:08:09' } })
      .jpeg()
      .toBuffer();
    await page.locator('#files').setInputFiles([
      { name: 'dated.jpg', mimeType: 'image/jpeg', buffer },
      { ...file, name: 'new.jpg' },
    ]);
    await allRead(page, 2);
    await page.getByLabel('From', { exact: true }).fill('2001-05-06');
    await page.getByLabel('To', { exact: true }).fill('2001-05-06');
    await page.locator('#summary', { hasText: '1 of 2 pictures' }).waitFor();
    assert.deepEqual(await names(page), ['dated.jpg']);
    await page.locator('.tile .open').click();
    await page.locator('#viewer-about', { hasText: 'May 6, 2001' }).waitFor();
    await page.keyboard.press('Escape');
    await page.reload();
    await allRead(page, 2);
    await page.getByLabel('To', { exact: true }).fill('2001-05-06');
    await page.locator('#summary', { hasText: '1 of 2 pictures' }).waitFor();
  }));

test('of HEIC, which this browser does not read, it is said what to do', () =>
  place.withPage(async (page) => {
    const head = Buffer.from('\0\0\0\x18ftypheic\0\0\0\0mif1heic', 'latin1');
    await page.locator('#files').setInputFiles({ name: 'IMG_0001.HEIC', mimeType: 'image/heic', buffer: head });
    const alert = page.getByRole('alert').filter({ hasText: '1 picture could not be read' });
    await alert.waitFor();
    assert.match(await alert.textContent(), /IMG_0001\.HEIC: this browser does not read HEIC\. Safari does; elsewhere/);
  }));
