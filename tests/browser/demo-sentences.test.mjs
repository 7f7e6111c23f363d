// The second panel: sentences by meaning.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { downloaded, searchbox, startPage } from './page-support.mjs';

let place;

before(async () => (place = await startPage()));
after(() => place?.close());

const show = async (page) => {
  await page.getByRole('tab', { name: 'Compare sentences' }).click();
  await page.locator('#pairs li').first().waitFor();
};
const textarea = (page) => page.getByRole('textbox', { name: 'One sentence a line' });
const groups = (page) => page.locator('#clusters li').allTextContents();

test('sentences are compared as they are typed, with the text half alone', () =>
  place.withPage(async (page, requests) => {
    await page.getByRole('tab', { name: 'Find pictures' }).focus();
    await page.keyboard.press('ArrowRight');
    assert.equal(await page.getByRole('tab', { name: 'Compare sentences' }).getAttribute('aria-selected'), 'true');
    await page.locator('#pairs li').first().waitFor();
    assert.equal(requests.filter((url) => url.includes('-image.safetensors')).length, 0);

    await textarea(page).fill('a cat face\nan airplane\na smiling cat\n\n  an airplane  \n');
    await page.locator('#matrix tr:nth-child(4)').waitFor();
    await page.locator('#matrix tr:nth-child(5)').waitFor({ state: 'detached' });
    assert.equal(await page.locator('#matrix td:not(:empty)').count(), 6, 'three different sentences, each pair twice');
    assert.deepEqual(await page.locator('#pairs li').first().locator('.words > span').allTextContents(), [
      'a cat face',
      'a smiling cat',
    ]);
    await textarea(page).fill('');
    await page.locator('#pairs li').first().waitFor({ state: 'detached' });
    await page.getByRole('tab', { name: 'Compare sentences' }).focus();
    await page.keyboard.press('Home');
    assert.ok(await searchbox(page).isVisible());
    assert.ok(!(await textarea(page).isVisible()));
  }));

test('groups, the nearest to a sentence, a list that is opened, and a table that is exported', () =>
  place.withPage(async (page) => {
    await show(page);
    assert.deepEqual(await groups(page), ['a smiling cat · a cat face', 'rain · an umbrella', '2 sentences alone']);
    await page.getByRole('slider', { name: 'Alike from' }).fill('0.38');
    await page.getByText('a taxi · a car').waitFor();

    await page.getByRole('searchbox', { name: 'Nearest to' }).fill('a taxi cab');
    await page.locator('#nearest li').first().waitFor();
    assert.match(await page.locator('#nearest li').first().textContent(), /a taxi/);

    const csv = 'id,text\r\n1,"a cat, smiling"\r\n2,"a ""cat"" face"\r\n3,pizza\r\n';
    await page.locator('#list').setInputFiles({ name: 'list.csv', mimeType: 'text/csv', buffer: Buffer.from(csv) });
    await page.locator('#matrix tr:nth-child(4)').waitFor();
    await page.locator('#matrix tr:nth-child(5)').waitFor({ state: 'detached' });
    assert.equal(await textarea(page).inputValue(), 'a cat, smiling\na "cat" face\npizza');
    await page.locator('#clusters li', { hasText: 'pizza' }).or(page.getByText('1 sentence alone')).waitFor();
    const table = await downloaded(page, () => page.locator('#export-sentences').click());
    const lines = String(table).trim().split('\r\n');
    assert.equal(lines[0], 'text,group');
    assert.match(lines[1], /^"a cat, smiling",1$/);
    assert.match(lines[2], /^"a ""cat"" face",1$/);
  }));

test('many sentences', () =>
  place.withPage(async (page) => {
    await show(page);
    const many = Array.from({ length: 600 }, (_, i) => `${['a cat', 'a car', 'rain', 'pizza'][i % 4]} ${i}`);
    await page
      .locator('#list')
      .setInputFiles({ name: 'many.txt', mimeType: 'text/plain', buffer: Buffer.from(many.join('\n')) });
    await page.locator('#announcements', { hasText: '600 sentences compared' }).waitFor({ state: 'attached' });
    assert.equal(await page.locator('#matrix tr').count(), 25, 'a matrix of the first 24');
  }));
