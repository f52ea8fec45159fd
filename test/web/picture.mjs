// Makes a picture of the page, for the README.
import {createRequire} from 'node:module';

import {World} from './daemons.mjs';

const {chromium} = createRequire(process.env.LIMPET_WEB_MODULES + '/')('playwright-core');
const world = new World();
try {
  await world.start();
  const browser = await chromium.launch({executablePath: process.env.CHROMIUM, args: ['--no-sandbox', '--disable-gpu']});
  const page = await browser.newPage({viewport: {width: 1000, height: 690}, colorScheme: 'light'});
  await page.goto(world.pageA);
  await page.getByRole('button', {name: 'History of network 2'}).click();
  await page.locator('#map text', {hasText: /↗ .*[1-9].*\/s/}).waitFor();
  await page.evaluate(() => { document.activeElement.blur(); scrollTo(0, 0); });
  await page.waitForTimeout(3000); // for rates that have settled
  await page.screenshot({path: process.argv[2]});
  await browser.close();
} finally {
  await world.stop();
}
