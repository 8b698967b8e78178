// A person at the management page, in Chromium: `node manage.mjs GATEWAY ISSUER CHROMIUM`, with MANAGEMENT_KEY,
// and SHOTS for pictures. A line for everything that held; the first that does not ends it, and so does an error
// on the console, a violation of the page's policy, or a request of the page to anywhere else.
import { chromium } from 'playwright-core';
import { mkdirSync } from 'node:fs';

const [gateway, issuer, executablePath] = process.argv.slice(2);
const { MANAGEMENT_KEY: managementKey, SHOTS: shots } = process.env;
const LIMIT_MS = 15000;
const wrong = [];
// What the console says of an answer that was meant to be one.
let meant = [];

function holds(what, claim) {
  if (!claim) throw new Error(`does not hold: ${what}`);
  console.log(`page: ${what}`);
}

const browser = await chromium.launch({
  executablePath,
  args: [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
  ],
});
const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: 'light' });
context.setDefaultTimeout(LIMIT_MS);
await context.exposeFunction('violates', (what) => wrong.push(`policy: ${what}`));
await context.addInitScript(() => document.addEventListener('securitypolicyviolation', (event) =>
  globalThis.violates(`${event.effectiveDirective} ${event.blockedURI}`)));
const page = await context.newPage();
page.on('console', (message) => {
  if (['error', 'warning'].includes(message.type()) && !meant.some((text) => message.text().includes(text))) {
    wrong.push(`console: ${message.text()} ${message.location().url}`);
  }
});
page.on('pageerror', (error) => wrong.push(`script: ${error.stack}`));
page.on('request', (request) => {
  if (new URL(request.url()).origin !== gateway) wrong.push(`request: ${request.url()}`);
});

/** Nothing is wider than the window, or than its own box; pictures at both widths, in both colours. */
async function picture(name) {
  for (const width of [320, 400, 768, 1024, 1200, 1280]) {
    await page.setViewportSize({ width, height: 900 });
    const wide = await page.evaluate(() => {
      const end = (one) => one.getBoundingClientRect().right - parseFloat(getComputedStyle(one).paddingRight);
      const tables = [...document.querySelectorAll('table')].filter((one) => one.offsetWidth && end(one) > end(one.parentNode) + 1);
      return [...tables, ...(document.documentElement.scrollWidth > innerWidth ? [document.body] : [])].map((one) => one.innerText);
    });
    if (wide.length) wrong.push(`layout: at ${width} px ${name} has what is too wide: ${wide}`);
    if (!shots || ![400, 1280].includes(width)) continue;
    mkdirSync(shots, { recursive: true });
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme });
      await page.screenshot({ path: `${shots}/${name}-${width}-${colorScheme}.png`, fullPage: true });
    }
  }
  await page.emulateMedia({ colorScheme: 'light' });
}

const row = (name) => page.locator('#accounts tr').filter({ hasText: name });
const gone = (locator) => locator.waitFor({ state: 'detached' });

/** A prompt by a client: status, answer and the seconds to wait. */
async function prompt(key, text) {
  const reply = await fetch(`${gateway}/v1/responses`, {
    method: 'POST', signal: AbortSignal.timeout(LIMIT_MS),
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'm', stream: true, input: [{ type: 'message', role: 'user', content: text }] }),
  });
  return { status: reply.status, text: await reply.text(), wait: reply.headers.get('retry-after') };
}

async function atTheGate() {
  await page.goto(`${gateway}/manage`);
  await picture('gate');
  meant = ['status of 401'];
  await page.fill('#gate-key', 'not-the-key');
  await page.click('#gate-open');
  await page.getByText('this is not the management key').waitFor();
  holds('a wrong key opens nothing', await page.locator('#work').isHidden());
  meant = [];
  await page.fill('#gate-key', managementKey);
  await page.keyboard.press('Enter');
  await row('my-idp/me@example.com').waitFor();
  holds('one account, ready', await page.locator('#accounts tr').count() === 1
    && (await row('me@example.com').innerText()).includes('ready'));
}

async function signInAgain() {
  await fetch(`${issuer}/_identity?email=jane@example.com&sub=user-2`, { method: 'POST' });
  await page.selectOption('#provider', 'my-idp');
  await page.click('#begin');
  const card = page.locator('#logins > li');
  await card.locator('a').waitFor();
  await picture('sign-in');
  // Nobody listens where the browser is sent in the end; the address is what counts.
  const ended = context.waitForEvent('requestfailed', (request) => request.url().includes('code='));
  const opened = context.waitForEvent('page');
  await card.locator('a').click();
  const [tab, last] = [await opened, await ended];
  await tab.close();
  const form = card.locator('form');
  await form.locator('input').fill('http://127.0.0.1:1/?code=x&state=y');
  meant = ['status of 400'];
  await form.getByRole('button', { name: 'Finish' }).click();
  await card.getByRole('alert').filter({ hasText: /./ }).waitFor();
  meant = [];
  console.log(`page: a wrong address: ${await card.getByRole('alert').innerText()}`);
  await form.locator('input').fill(last.url());
  await form.getByRole('button', { name: 'Finish' }).click();
  await card.getByText('signed in as my-idp/jane@example.com').waitFor();
  await row('my-idp/jane@example.com').waitFor();
  holds('two accounts after the sign-in', await page.locator('#accounts tr').count() === 2);
  await card.getByRole('button', { name: 'Close' }).click();
  await gone(card);
}

/** With a code typed elsewhere; the page asks by itself whether that has happened. */
async function byDevice() {
  await fetch(`${issuer}/_identity?email=tablet@example.com&sub=user-3`, { method: 'POST' });
  await page.check('[name=way][value=device]');
  await page.click('#begin');
  const card = page.locator('#logins > li');
  const code = await card.locator('.code').innerText();
  await picture('device');
  await fetch(`${issuer}/_device?user_code=${code}&do=approve`, { method: 'POST' });
  await card.getByText('signed in as my-idp/tablet@example.com').waitFor();
  await row('my-idp/tablet@example.com').waitFor();
  holds('a third account, by a code', await page.locator('#accounts tr').count() === 3);
  await card.getByRole('button', { name: 'Close' }).click();
  await gone(card);
}

async function addKey() {
  await page.fill('#key-name', 'browser');
  await page.fill('#key-providers', 'my-idp/jane@example.com');
  await page.click('#key-add');
  const key = await page.locator('#new-keys [data-part=key]').innerText();
  holds('a new client key is shown', key.startsWith('kf-'));
  await page.locator('#keys tr').filter({ hasText: 'browser' }).waitFor();
  await picture('key');
  await page.getByRole('button', { name: 'Done' }).click();
  holds('and not again', !(await page.content()).includes(key));
  return key;
}

async function coolDown(key) {
  const good = await prompt(key, 'say hello');
  holds('the second account answers a prompt, no restart', good.status === 200 && good.text.includes('Hello from the fake API.'));
  const late = await prompt(key, 'come back in 60');
  holds(`its quota is used up: ${late.status}, ${late.wait} s`, late.status === 429 && Number(late.wait) > 55);
  const cooling = row('jane@example.com').locator('[data-part=left]');
  await cooling.waitFor();
  const left = async () => {
    const text = await cooling.innerText();
    const [, minutes = '0', seconds = '0'] = text.match(/^(?:(\d+) min)? ?(?:(\d+) s)?$/) ?? [];
    return 60 * minutes + Number(seconds);
  };
  const first = await left();
  await page.waitForFunction((before) => document.querySelector('#accounts [data-part=left]')?.innerText !== before,
    await cooling.innerText());
  const second = await left();
  holds(`it counts down: ${first} s, ${second} s`, first <= 60 && second < first && second > 40);
  holds('the state says so', (await row('jane@example.com').innerText()).includes('cooling'));
  await picture('cooling');
  await row('jane@example.com').getByRole('button', { name: 'clear cool-downs' }).click();
  await gone(cooling);
  await row('jane@example.com').locator('.state.ready').waitFor();
  holds('cleared, it answers again', (await prompt(key, 'say hello')).status === 200);
}

async function removeKey(key) {
  const mine = page.locator('#keys tr').filter({ hasText: 'browser' });
  await mine.getByRole('button', { name: 'remove browser' }).click();
  await mine.getByRole('group').getByRole('button', { name: 'Remove' }).click();
  await gone(mine);
  holds('a removed key lets nobody in', (await prompt(key, 'say hello')).status === 401);
  await page.click('#forget');
  await page.locator('#gate-key').waitFor();
  holds('the management key is forgotten', await page.evaluate(() => sessionStorage.length) === 0);
}

async function guess() {
  meant = ['status of 401', 'status of 429'];
  for (let round = 0; round < 6; round += 1) {
    await page.fill('#gate-key', `guess-${round}`);
    await page.click('#gate-open');
    await page.locator('#gate-open[aria-busy=false]').waitFor();
  }
  await page.getByText(/^Try again in 4 min/).waitFor();
  holds('five wrong keys have to wait', await page.locator('#gate-open').isDisabled());
  await picture('locked');
  meant = [];
}

try {
  await atTheGate();
  await signInAgain();
  await byDevice();
  const key = await addKey();
  await coolDown(key);
  await removeKey(key);
  await guess();
} catch (error) {
  if (shots) await page.screenshot({ path: `${shots}/failed.png`, fullPage: true });
  wrong.push(error.stack);
}
await browser.close();
for (const line of wrong) console.error(line);
process.exit(wrong.length ? 1 : 0);
