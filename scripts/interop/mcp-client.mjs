// A program with MCP servers over stdio, as the official SDK builds one, at a server behind `keyfob mcp-proxy`:
// `node mcp-client.mjs SCENARIO URL`, with KEYFOB, KEYFOB_HOME and BROWSER as the proxy is to have them. A line for
// everything that held; the first that does not ends it.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { getDefaultEnvironment, StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import {
  CreateMessageRequestSchema, ElicitRequestSchema, ListRootsRequestSchema, ToolListChangedNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const [scenario, url] = process.argv.slice(2);
const { KEYFOB: keyfob, KEYFOB_HOME, BROWSER, CALLBACK_FILE } = process.env;
const origin = new URL(url).origin;
const said = [];

function proxy(...more) {
  const env = { ...getDefaultEnvironment(), KEYFOB_HOME, BROWSER };
  if (CALLBACK_FILE) env.CALLBACK_FILE = CALLBACK_FILE;
  const transport = new StdioClientTransport({ command: keyfob, args: ['mcp-proxy', url, ...more], env, stderr: 'pipe' });
  transport.stderr.on('data', (piece) => said.push(String(piece)));
  return transport;
}

async function connected(transport = proxy()) {
  const capabilities = { sampling: {}, elicitation: {}, roots: {} };
  const client = new Client({ name: 'interop', version: '1' }, { capabilities });
  client.setRequestHandler(CreateMessageRequestSchema, () => ({ role: 'assistant', model: 'm', content: { type: 'text', text: 'yes' } }));
  client.setRequestHandler(ElicitRequestSchema, () => ({ action: 'accept', content: { color: 'grün' } }));
  client.setRequestHandler(ListRootsRequestSchema, () => ({ roots: [{ uri: 'file:///here' }] }));
  client.onerror = (error) => { throw error; };
  await client.connect(transport);
  return client;
}

const call = async (client, name, args = {}, options) =>
  (await client.callTool({ name, arguments: args }, undefined, options)).content[0].text;
const echo = (client, text) => call(client, 'echo', { text });

function holds(what, wanted, found) {
  const [a, b] = [wanted, found].map((one) => JSON.stringify(one));
  if (a !== b) throw new Error(`${what}: wanted ${a}, found ${b}`);
  console.log(`${what}: ${b.length > 90 ? 'as it should be' : b}`);
}

function isTrue(what, condition) {
  if (!condition) throw new Error(`not so: ${what}`);
  console.log(what);
}

const next = (client, schema) => new Promise((resolve) => client.setNotificationHandler(schema, resolve));
const within = (ms, promise, what) => Promise.race([promise, sleep(ms).then(() => { throw new Error(`${what}: not within ${ms} ms`); })]);
const control = (path) => fetch(origin + path, { method: 'POST' });
// A person who goes where the address leads.
const approve = (address) => execFileSync(process.execPath, [`${import.meta.dirname}/approve.mjs`, address], { encoding: 'utf8' }).trim();

const scenarios = {
  async features() {
    const client = await connected();
    const { tools } = await client.listTools();
    holds('tools', 'admin ask count echo grow wait', tools.map(({ name }) => name).sort().join(' '));
    holds('a call', 'grüß dich\n\u2028', await echo(client, 'grüß dich\n\u2028'));
    const steps = [];
    const onprogress = ({ progress }) => steps.push(progress);
    await call(client, 'count', { steps: 3, ms: 50 }, { onprogress });
    holds('progress', [1, 2, 3], steps);
    holds('sampling, elicitation, roots', 'yes grün file:///here', await call(client, 'ask'));
    const changed = next(client, ToolListChangedNotificationSchema);
    await call(client, 'grow');
    await within(2000, changed, 'list changed');
    isTrue('one tool more after notifications/tools/list_changed', (await client.listTools()).tools.some(({ name }) => name === 'grown-1'));
    const stop = new AbortController();
    const waiting = call(client, 'wait', {}, { signal: stop.signal }).catch((error) => error.message);
    await sleep(500);
    stop.abort('enough');
    isTrue('a call was cancelled', (await waiting).includes('enough'));
    holds('a call after that', 'still here', await echo(client, 'still here'));
    const many = Array.from({ length: 50 }, (_, at) => `text ${at}`);
    holds('50 calls at once', many, await Promise.all(many.map((one) => echo(client, one))));
    await client.close();
  },

  async long() {
    const client = await connected();
    const steps = [];
    const options = { onprogress: ({ progress }) => steps.push(progress), timeout: 10_000, resetTimeoutOnProgress: true };
    const began = Date.now();
    const counting = call(client, 'count', { steps: 10, ms: 2_200, cut: 4 }, options);
    await sleep(1000);
    const before = Date.now();
    await echo(client, 'meanwhile');
    isTrue('another call does not wait for it', Date.now() - before < 1000);
    holds('the answer of a long call', 'counted to 10', await counting);
    holds('its progress, across a stream that was cut', [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], steps);
    isTrue('it took 22 s', Date.now() - began > 22_000);
    await client.close();
  },

  async forgotten() {
    const client = await connected();
    await echo(client, 'before');
    await control('/_forget');
    const many = ['1', '2', '3', '4', '5'];
    holds('five calls after the server forgot the session', many, await Promise.all(many.map((one) => echo(client, one))));
    const changed = next(client, ToolListChangedNotificationSchema);
    await call(client, 'grow');
    await within(2000, changed, 'list changed');
    console.log('list changed, in the new session');
    await client.close();
  },

  async expiring() {
    await control('/_lifetime/3');
    const client = await connected();
    for (let at = 0; at < 40; at++) {
      if (await echo(client, `${at}`) !== `${at}`) throw new Error(`call ${at}`);
      await sleep(250);
    }
    console.log('40 calls in 10 s with tokens of 3 s');
    await control('/_lifetime/3600');
    await client.close();
  },

  async 'step-up'() {
    const client = await connected();
    holds('allowed without more', 'hello', await echo(client, 'hello'));
    holds('a call that needs more scope', 'for admins', await call(client, 'admin'));
    holds('again', 'for admins', await call(client, 'admin'));
    holds('what was allowed still is', 'hello', await echo(client, 'hello'));
    await client.close();
  },

  async five() {
    const clients = await Promise.all(Array.from({ length: 5 }, () => connected()));
    const said = await Promise.all(clients.map((client, at) => echo(client, `client ${at}`)));
    holds('five programs at once', ['client 0', 'client 1', 'client 2', 'client 3', 'client 4'], said);
    await Promise.all(clients.map((client) => client.close()));
  },

  async successor() {
    const first = proxy();
    const killed = connected(first).catch((error) => error.message);
    for (let tries = 0; tries < 100 && !existsSync(CALLBACK_FILE); tries++) await sleep(50);
    const address = readFileSync(CALLBACK_FILE, 'utf8');
    const second = connected();
    await sleep(1000);
    process.kill(first.pid, 'SIGKILL');
    isTrue('the one that asked was killed', (await killed).includes('closed'));
    await sleep(1000);
    // As a browser goes there, which fetch() does not.
    const page = ['-s', '-o', '/dev/null', '-w', '%{http_code}', '--noproxy', '*', approve(address)];
    holds('the page that was open ends at the second one', '200', execFileSync('curl', page, { encoding: 'utf8' }));
    const client = await within(5000, second, 'the second one');
    holds('a call', 'hello', await echo(client, 'hello'));
    await client.close();
  },

  // The SDK's client closes a server that refuses its handshake, so this one speaks for itself.
  async headless() {
    const transport = proxy();
    const answers = new Map();
    transport.onmessage = (message) => answers.get(message.id)?.(message);
    await transport.start();
    const ask = (id, method, params) => {
      const answer = new Promise((resolve) => answers.set(id, resolve));
      transport.send({ jsonrpc: '2.0', id, method, params });
      return answer;
    };
    const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'interop', version: '1' } };
    const began = Date.now();
    const { error } = await ask(1, 'initialize', params);
    const took = Date.now() - began;
    isTrue(`an error in ${took} ms`, took < 2000);
    holds('its code', -31001, error.code);
    holds('its command', `keyfob login ${url}`, error.data.try);
    const [address] = /http:\S+\/auth\?\S+/.exec(error.message);
    isTrue('it holds an address to open', address.includes('code_challenge='));
    const run = (args, input) => execFileSync(keyfob, args, { input, encoding: 'utf8', env: { ...process.env, BROWSER: '' } });
    const printed = run(['login', url, '--print-auth-url']).trim();
    run(['login', '--callback-url', '-'], approve(printed));
    console.log('keyfob login URL --print-auth-url, then --callback-url -');
    const { result } = await ask(2, 'initialize', params);
    holds('the same proxy, after that', 'interop', result.serverInfo.name);
    transport.send({ jsonrpc: '2.0', method: 'notifications/initialized' });
    isTrue('it lists tools', (await ask(3, 'tools/list')).result.tools.length > 0);
    await transport.close();
  },
};

try {
  await scenarios[scenario]();
  const leaks = said.join('').match(/^\{|Bearer/m);
  if (leaks) throw new Error(`stderr holds what it must not: ${leaks}`);
  process.exit(0);
} catch (error) {
  console.error(`${error.message}\nstderr of the proxy:\n${said.join('')}`);
  process.exit(1);
}
