// The client that the official conformance suite runs: `node mcp-conformance-client.mjs URL` reaches URL through
// `keyfob mcp-proxy`, does what the scenario asks of a client, and fails when the proxy does. Up to revision
// 2025-11-25 the SDK's client speaks; of 2026-07-28, which it does not know, each message is spelled out here.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { getDefaultEnvironment, StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const url = process.argv[2];
const { MCP_CONFORMANCE_SCENARIO: scenario, MCP_CONFORMANCE_PROTOCOL_VERSION: version } = process.env;
const { KEYFOB: keyfob, BROWSER } = process.env;
const context = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT ?? '{}');
// What the suite's authorization server takes for the address of a client's document.
const document = 'https://conformance-test.local/client-metadata.json';

const more = [];
const env = { ...getDefaultEnvironment(), BROWSER, KEYFOB_HOME: mkdtempSync(join(tmpdir(), 'keyfob-conformance-')) };
if (scenario === 'auth/basic-cimd') more.push('--client-id', document);
if (scenario === 'auth/pre-registration') {
  more.push('--client-id', context.client_id, '--client-secret-env', 'CLIENT_SECRET');
  env.CLIENT_SECRET = context.client_secret;
}
const args = ['mcp-proxy', url, '--auth-timeout', '15', ...more];
const transport = new StdioClientTransport({ command: keyfob, args, env });
// A callback that cannot be trusted ends the sign-in, and the client is told so.
const isRefused = /^auth\/(iss-(supported-missing|wrong|unexpected|normalized)|metadata-issuer|resource-mismatch)/.test(scenario);

async function withSdk() {
  const capabilities = scenario.startsWith('elicitation') ? { elicitation: { form: { applyDefaults: true } } } : {};
  const client = new Client({ name: 'conformance', version: '1' }, { capabilities });
  if (capabilities.elicitation) {
    client.setRequestHandler(ElicitRequestSchema, () => ({ action: 'accept', content: {} }));
  }
  await client.connect(transport);
  const { tools } = await client.listTools();
  await callAll(tools, (name, args) => client.callTool({ name, arguments: args }));
  await client.close();
}

async function withoutSession() {
  const waiting = new Map();
  let id = 0;
  transport.onmessage = (message) => waiting.get(message.id)?.(message);
  await transport.start();
  const ask = async (method, params = {}) => {
    const number = ++id;
    const answer = new Promise((resolve) => waiting.set(number, resolve));
    const _meta = {
      'io.modelcontextprotocol/protocolVersion': version,
      'io.modelcontextprotocol/clientInfo': { name: 'conformance', version: '1' },
      'io.modelcontextprotocol/clientCapabilities': { elicitation: {}, roots: {}, sampling: {} },
    };
    await transport.send({ jsonrpc: '2.0', id: number, method, params: { ...params, _meta } });
    const { result, error } = await answer;
    if (error) throw new Error(`${method}: ${error.code} ${error.message}`);
    return result;
  };
  if (!scenario.startsWith('auth/')) await ask('server/discover').catch((error) => console.error(error.message));
  const { tools } = await ask('tools/list');
  await callAll(tools, async (name, args) => {
    const wanted = { name, arguments: args };
    const { resultType, inputRequests, requestState } = await ask('tools/call', wanted);
    if (resultType !== 'input_required') return;
    // Another tool's call in between must carry nothing of this one.
    await ask('tools/call', { name: 'test_mrtr_unrelated', arguments: {} });
    const accepted = Object.keys(inputRequests).map((key) => [key, { action: 'accept', content: { confirmed: true } }]);
    await ask('tools/call', { ...wanted, requestState, inputResponses: Object.fromEntries(accepted) });
  });
  const lists = [['prompts', 'prompts/get', 'name'], ['resources', 'resources/read', 'uri']];
  for (const [what, method, key] of scenario === 'http-standard-headers' ? lists : []) {
    const first = (await ask(`${what}/list`))[what][0];
    await ask(method, { [key]: first[key] });
  }
  await transport.close();
}

/** The calls that the scenario wants to see. */
async function callAll(tools, call) {
  const called = scenario.startsWith('json-schema-ref') ? [] : tools;
  for (const { name } of called.filter(({ name }) => name !== 'json_schema_2020_12_tool')) {
    await call(name, argumentsOf(name, tools));
  }
}

function argumentsOf(name, tools) {
  if (name === 'add_numbers') return { a: 2, b: 3 };
  if (name === 'json_schema_echo') return { schema: tools.find((tool) => tool.name === 'json_schema_2020_12_tool').inputSchema };
  return (context.toolCalls ?? []).find((one) => one.name === name)?.arguments ?? {};
}

try {
  await (version === '2026-07-28' ? withoutSession() : withSdk());
  process.exit(0);
} catch (error) {
  console.error(error.message);
  if (isRefused && !error.message.includes('-31002')) console.error('keyfob did not refuse it with -31002');
  process.exit(1);
}
