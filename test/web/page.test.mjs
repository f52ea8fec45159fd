// What a person sees and does on the page, in a browser, with real daemons.
import assert from 'node:assert/strict';
import http from 'node:http';
import {createRequire} from 'node:module';
import {after, before, test} from 'node:test';

import {hostile, World} from './daemons.mjs';

const modules = createRequire(process.env.LIMPET_WEB_MODULES + '/');
const {chromium} = modules('playwright-core');
const axe = modules('axe-core').source;

const world = new World();
let browser;

before(async () => {
  await world.start();
  browser = await chromium.launch({executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu']});
}, {timeout: 180_000});

after(async () => {
  await browser?.close();
  await world.stop();
});

// look opens the page. What it complains of, and what it asks of others, fails the test at its end,
// unless it is expected.
async function look(t, url, options = {}) {
  const context = await browser.newContext({viewport: {width: 1200, height: 900}, ...options.context});
  context.setDefaultTimeout(60_000);
  const page = await context.newPage();
  const wrong = [];
  page.on('console', (m) => { if (['error', 'warning'].includes(m.type()) && !options.expected?.test(m.text())) wrong.push(m.text()); });
  page.on('pageerror', (e) => wrong.push(String(e)));
  page.on('request', (r) => { if (new URL(r.url()).origin !== new URL(url).origin) wrong.push(`it asks for ${r.url()}`); });
  t.after(async () => {
    const hacked = await page.evaluate(() => window.hacked).catch(() => undefined);
    await context.close();
    assert.equal(hacked, undefined);
    assert.deepEqual(wrong, []);
  });
  await options.before?.(page);
  await page.goto(url);
  return page;
}

const seen = (page, text) => page.getByText(text).first().waitFor();

test('the overview shows the links and what they carry', async (t) => {
  const page = await look(t, world.pageA);
  await seen(page, 'connected');
  assert.match(await page.getByRole('heading', {level: 1}).innerText(), /limpetd network 1/);
  const row = page.locator('#links tbody tr', {hasText: 'network 2'});
  await row.getByText(/^up for/).waitFor();
  await page.waitForFunction(() => /[1-9].*\/s/.test(document.querySelector('#links tbody td:nth-child(4)')?.textContent));
  await page.getByRole('img', {name: 'Network 1 with 1 links: network 2 is up'}).waitFor();
  await page.locator('#map text', {hasText: /↗ .*[1-9].*\/s/}).waitFor();

  const history = row.getByRole('button', {name: 'History of network 2'});
  await history.click();
  assert.equal(await history.getAttribute('aria-expanded'), 'true');
  await page.getByRole('heading', {name: 'History of network 2'}).waitFor();
  assert.match(await page.locator('#history dl').innerText(), /Epochs\s+1\s+Streams resumed\s+0/);
  await page.locator('#history tbody').getByText('delivered').waitFor();
  await history.click();
  assert.equal(await page.locator('#history').innerText(), '');
});

test('bindings can be searched', async (t) => {
  const page = await look(t, world.pageA + '#bindings');
  await page.getByRole('rowheader', {name: '$.Clock.*'}).waitFor();
  await page.getByRole('searchbox').fill('thinker link');
  await page.getByText(/^1 of \d+ bindings match/).waitFor();
  assert.equal(await page.locator('#bindings tbody tr').count(), 1);
  assert.match(await page.locator('#bindings tbody').innerText(), /\$\.Thinker\s+replier\s+\d+\s+link network 2/);
  await page.getByRole('searchbox').fill('nobody has this');
  await page.getByText('Nothing is bound that matches.').waitFor();
});

test('who is connected, and what has happened, stands there', async (t) => {
  const page = await look(t, world.pageB + '#programs');
  const row = page.locator('#programs tbody tr', {hasText: '$.Thinker (replies)'});
  await row.waitFor();
  assert.match(await row.innerText(), /uid \d+ \(pid \d+\)\s+Serve[^]*announce, listen, request, reply/);
  await page.goto(world.pageB + '#events');
  await page.getByText('Following what happens from now on.').waitFor();
  await page.locator('#events tbody').getByText('link up', {exact: true}).first().waitFor();
  await page.getByLabel('At least').selectOption({label: 'errors'});
  await page.getByText('Nothing has happened.').waitFor();
  await page.goto(world.pageB + '#overview');
  await page.locator('#networks tbody').getByText('network 1', {exact: true}).waitFor();
});

test('open requests and drops stand there', async (t) => {
  const page = await look(t, world.pageA + '#requests');
  const row = page.locator('#requests tbody tr', {hasText: '$.Thinker'}).first();
  await row.waitFor();
  assert.match(await row.innerText(), /\$\.Thinker\s+\[0:\d+\]\s+[^]*on the peer’s bus\s+Ksock \d+\s+link network 2/);
  await page.locator('#requests tbody').last().getByText('$.Clock.Now').waitFor();
  await page.goto(world.pageA + '#drops');
  await page.getByText('Following what is dropped from now on.').waitFor();
});

test('a tap shows what passes, on both sides', async (t) => {
  const page = await look(t, world.pageA + '#tap');
  await page.getByLabel('Name or wildcard', {exact: true}).fill('$.Weather.*');
  await page.getByLabel('with the beginning of the data').check();
  await page.getByRole('button', {name: 'Begin'}).click();
  await page.getByText(/^On: at most 50 messages/).waitFor();
  const row = page.locator('#tap tbody tr').first();
  await row.waitFor();
  assert.match(await row.innerText(), /network 2 →\s+announcement\s+forwarded\s+\$\.Weather\.\w+ \[0:\d+\].*\s+\$\.Weather\.\w+ \[1:\d+\].*\s+9 B "from noon"/);
  assert.equal(await page.locator('#tap tbody').getByText('$.Clock').count(), 0);
  await page.getByRole('button', {name: 'End'}).click();
  await page.locator('#tap').getByText('Off.').waitFor();
  await world.until(async () => await page.locator('#tap tbody tr').count() > 0);
});

test('what would become of a message is explained', async (t) => {
  const page = await look(t, world.pageA + '#explain', {expected: /400/});
  await page.getByRole('textbox', {name: 'Name', exact: true}).fill('$.Clock.Now');
  await page.getByRole('button', {name: 'Explain'}).click();
  await page.getByText(/It would be answered by Ksock \d+ on network 2/).waitFor();
  const tree = await page.getByRole('list', {name: 'What becomes of it on each bus'}).innerText();
  assert.match(tree, /Network 1 \$\.Clock\.Now[^]*over network 2 to network 2[^]*Network 2[^]*answered by Ksock \d+, by its binding \$\.Clock\.\*/);
  await page.getByRole('textbox', {name: 'Name', exact: true}).fill('$.Nobody');
  await page.keyboard.press('Enter');
  await page.getByText('The bus would refuse to send it: EADDRNOTAVAIL.').first().waitFor();
  await page.getByRole('textbox', {name: 'Name', exact: true}).fill('no name');
  await page.keyboard.press('Enter');
  await page.getByText(/no name/).first().waitFor();
});

test('everything can be reached with the keyboard alone', async (t) => {
  const page = await look(t, world.pageA);
  await page.locator('#links tbody tr', {hasText: 'network 2'}).waitFor();
  const focused = () => page.evaluate(() => document.activeElement.textContent.trim());
  const tabTo = async (text) => {
    for (let i = 0; i < 40; i++) {
      await page.keyboard.press('Tab');
      if (await focused() === text) return;
    }
    assert.fail(`${text} is not reached by the tabulator`);
  };
  await page.keyboard.press('Tab');
  assert.equal(await focused(), 'Skip to the content');
  assert.notEqual(await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), 'none');
  await tabTo('History');
  await page.keyboard.press('Enter');
  assert.equal(await focused(), 'History of network 2');
  await tabTo('Drain network 2…');
  await page.keyboard.press('Space');
  assert.equal(await focused(), 'Cancel'); // what does no harm
  await page.keyboard.press('Escape');
  await page.waitForFunction(() => !document.querySelector('dialog').open);
  await page.evaluate(() => document.querySelector('.skip').focus());
  await tabTo('Bindings');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.activeElement.textContent === 'Bindings' && document.activeElement.tagName === 'H2');
  assert.equal(await page.locator('nav [aria-current=page]').innerText(), 'Bindings');
  await page.keyboard.press('Tab');
  await page.keyboard.type('clock');
  await page.getByText(/^1 of \d+ bindings match/).waitFor();
});

test('what changes a thing asks first, and does it', async (t) => {
  const page = await look(t, world.pageA);
  await page.getByRole('button', {name: 'History of network 2'}).click();
  const epochs = () => page.locator('#history dl').innerText().then((text) => Number(text.match(/Epochs\s+(\d+)/)[1]));
  const before = await epochs();
  const drain = page.getByRole('button', {name: 'Drain network 2'});
  await drain.click();
  await page.getByRole('dialog').getByRole('button', {name: 'Cancel'}).click();
  await drain.click();
  await page.getByRole('dialog', {name: 'Drain this link?'}).getByRole('button', {name: 'Drain it'}).click();
  await page.getByRole('alert').getByText(/network 2 is drained/).waitFor();
  await page.waitForFunction((n) => Number(document.querySelector('#history dl').innerText.match(/Epochs\s+(\d+)/)[1]) > n, before);
  await page.locator('#history ol').getByText('a new epoch has begun').waitFor();
  await page.getByRole('button', {name: 'Reload the configuration'}).click();
  await page.getByRole('dialog').waitFor();
  await page.keyboard.press('Escape');
});

test('who is not known may look, and is offered nothing else', async (t) => {
  const page = await look(t, world.pageB, {expected: /403/});
  await seen(page, 'and may only look');
  await page.getByRole('button', {name: /History of/}).click();
  await page.locator('#history dl').getByText('Epochs').waitFor();
  assert.equal(await page.getByRole('button', {name: /Drain|Reload/}).count(), 0);
  const status = await page.evaluate(() => fetch('/kbus.limpet.v1.AdminService/Reload', {method: 'POST', headers: {'content-type': 'application/json'}, body: '{}'}).then((r) => r.status)).catch(String);
  assert.equal(status, 403);
});

test('names are text, whatever is in them', async (t) => {
  const real = await look(t, world.pageB);
  await real.getByRole('rowheader', {name: hostile}).waitFor();
  assert.equal(await real.locator('img').count(), 0);

  const bad = hostile + '\u202e\u0007';
  const link = {name: bad, state: 'LINK_STATE_UP', identity: bad, lastError: bad, peerVersion: bad, peerNetworkId: 7, counts: {fromBusEnded: {[bad]: '3'}, lost: {[bad]: '3'}}, errorCode: bad};
  const message = {name: bad, idSerial: 1};
  const answers = {
    'AdminService/GetStatus': {version: bad, bus: bad, insecure: [bad], boundsReached: [{who: bad, bound: bad, count: '1'}], links: [link]},
    'BusService/ListBindings': {bindings: [{ksock: 1, name: bad}]},
    'AdminService/ListOpenRequests': {open: '1', requests: [{name: bad, idSerial: 1, askerLink: bad, replierLink: bad, age: '3s'}]},
    'AdminService/ListSlowRepliers': {repliers: [{name: bad, link: bad, count: '1'}]},
    'AdminService/WatchDrops': {result: {drops: [{source: 'DROP_SOURCE_LINK', link: bad, reason: bad, message}, {source: 'DROP_SOURCE_RULES', identity: bad, reason: 'denied', message}], whole: true}},
    'AdminService/ListPrograms': {programs: [{identity: bad, source: bad, call: bad, names: [{name: bad}], rights: [{action: bad, allowed: true}]}], peers: [{link: bad, rights: []}]},
    'AdminService/ListNetworks': {networks: [{networkId: 9, link: bad, version: bad, instanceId: bad}]},
    'AdminService/WatchEvents': {result: {events: [{event: bad, level: bad, attributes: [{key: bad, value: bad}]}], whole: true}},
    'AdminService/Tap': {result: {records: [{link: bad, reason: bad, read: message, given: message, size: 3, data: Buffer.from(bad).toString('base64')}]}},
    'AdminService/Explain': {outcome: {answer: bad}, hop: {network: 1, message, rule: {action: bad, text: bad}, stop: {reason: bad, answer: bad}, replier: {ksock: 1, binding: bad, link: bad},
      claims: [{link: bad, name: bad}], branches: [{link: bad, message, why: bad, end: 'EXPLAIN_END_BUSY'}]}},
  };
  const page = await look(t, world.pageA, {before: (p) => p.route('**/kbus.limpet.v1.*/*', (route) => {
    const answer = answers[route.request().url().split('kbus.limpet.v1.')[1]];
    return route.fulfill({contentType: 'application/json', body: JSON.stringify(answer ?? {}) + '\n'});
  })});
  const shown = `${hostile}\\u{202e}\\u{7}`;
  await page.getByRole('rowheader', {name: shown}).waitFor();
  await page.getByRole('button', {name: /History of/}).click();
  await page.locator('#history').getByText(shown).first().waitFor();
  for (const view of ['bindings', 'programs', 'requests', 'drops', 'events']) {
    await page.goto(`${world.pageA}#${view}`);
    await page.locator(`#${view} tbody`).getByText(shown).first().waitFor();
  }
  await page.goto(`${world.pageA}#tap`);
  await page.getByRole('button', {name: 'Begin'}).click();
  await page.locator('#tap tbody').getByText(shown).first().waitFor();
  await page.goto(`${world.pageA}#explain`);
  await page.getByRole('textbox', {name: 'Name', exact: true}).fill('$.A');
  await page.getByRole('button', {name: 'Explain'}).click();
  await page.locator('#explained').getByText(shown).first().waitFor();
  assert.equal(await page.locator('img, main script').count(), 0);
});

test('the page lets nothing in from elsewhere', async (t) => {
  const page = await look(t, world.pageA, {expected: /Content Security Policy|Trusted|Refused|violates|Failed to load|ERR_/});
  await seen(page, 'connected');
  const made = await page.evaluate(() => {
    try {
      document.createElement('div').innerHTML = '<b>x</b>';
      return 'made';
    } catch (e) {
      return e.name;
    }
  });
  assert.equal(made, 'TypeError');
});

test('a page of another origin gets nothing, and cannot have this one in a frame', async (t) => {
  const other = http.createServer((_, answer) => {
    answer.setHeader('content-type', 'text/html');
    answer.end('<!doctype html><title>elsewhere</title>');
  });
  await new Promise((resolve) => other.listen(0, '127.0.0.1', resolve));
  const context = await browser.newContext();
  t.after(async () => {
    await context.close();
    other.close();
  });
  const page = await context.newPage();
  await page.goto(`http://localhost:${other.address().port}/`);
  const before = (await world.call('AdminService/GetStatus', {})).bindings;
  const ended = await page.evaluate(async (url) => {
    const call = (headers, mode) => fetch(url + 'kbus.limpet.v1.AdminService/GetStatus', {method: 'POST', headers, mode, body: '{}', credentials: 'include'}).then((r) => `${r.type} ${r.status}`, (e) => e.name);
    const frame = document.createElement('iframe');
    frame.src = url;
    const loaded = new Promise((resolve) => { frame.onload = resolve; });
    document.body.append(frame);
    await loaded;
    let inside;
    try { inside = frame.contentDocument?.title ?? 'not to be seen'; } catch (e) { inside = e.name; }
    return [await call({'content-type': 'application/json'}, 'cors'), await call({'content-type': 'text/plain'}, 'cors'), await call({}, 'no-cors'), inside];
  }, world.pageA);
  assert.deepEqual(ended.slice(0, 2), ['TypeError', 'TypeError']);
  assert.ok(['TypeError', 'opaque 0'].includes(ended[2]), ended[2]);
  assert.equal(ended[3], 'not to be seen');
  assert.ok(before > 0);
});

const views = ['overview', 'bindings', 'programs', 'requests', 'drops', 'events', 'tap', 'explain'];

for (const colorScheme of ['light', 'dark']) {
  test(`every view can be used by everybody, ${colorScheme}`, async (t) => {
    const page = await look(t, world.pageA, {context: {colorScheme}});
    await page.getByRole('button', {name: 'History of network 2'}).click();
    const paper = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    assert.equal(paper, colorScheme === 'dark' ? 'rgb(20, 24, 28)' : 'rgb(255, 255, 255)');
    for (const view of views) {
      await page.goto(`${world.pageA}#${view}`);
      await page.locator(`#${view}`).waitFor();
      await page.evaluate(axe);
      const {violations} = await page.evaluate(() => window.axe.run(document, {resultTypes: ['violations']}));
      assert.deepEqual(violations.map((v) => `${view}: ${v.id}: ${v.help}: ${v.nodes.map((n) => n.html).join(' ')}`), []);
    }
    await page.setViewportSize({width: 360, height: 640});
    await page.goto(`${world.pageA}#overview`);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'on a small screen the page is too wide');
  });
}

test('a daemon that goes and comes is seen', async (t) => {
  const page = await look(t, world.pageA, {expected: /Failed to load resource|ERR_/});
  await page.locator('#links tbody tr', {hasText: 'network 2'}).getByText(/^up for/).waitFor();
  await world.end(world.a);
  await seen(page, 'limpetd cannot be reached');
  world.a = await world.startA();
  await seen(page, 'connected');
  await page.locator('#links tbody tr', {hasText: 'network 2'}).getByText(/^up for/).waitFor();
});
