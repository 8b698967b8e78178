// Revision 2026-07-28, without sessions, with the second line of the official SDK: `node mcp-modern.mjs` serves with
// it, and reaches itself with it through `keyfob mcp-proxy` (KEYFOB, KEYFOB_HOME): pinned, by itself, and in the old way.
import { Client } from '@modelcontextprotocol/client';
import { getDefaultEnvironment, StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';

const text = (said) => ({ content: [{ type: 'text', text: said }] });
let wasCancelled = false;
const handler = toNodeHandler(createMcpHandler(() => {
  const server = new McpServer({ name: 'modern', version: '1' });
  server.registerTool('echo', { inputSchema: z.object({ text: z.string() }) }, ({ text: said }) => text(said));
  server.registerTool('count', { inputSchema: z.object({ steps: z.number() }) }, async ({ steps }, { mcpReq }) => {
    for (let progress = 1; progress <= steps; progress++) {
      await mcpReq.notify({ method: 'notifications/progress', params: { progressToken: mcpReq._meta.progressToken, progress } });
      await sleep(50);
    }
    return text(`counted to ${steps}`);
  });
  server.registerTool('wait', {}, async ({ mcpReq }) => {
    await once(mcpReq.signal, 'abort');
    wasCancelled = true;
    return text('nobody reads this');
  });
  return server;
}));
const seen = [];
const server = createServer((request, response) => {
  const { 'mcp-protocol-version': version, 'mcp-method': method, 'mcp-name': name, 'mcp-session-id': session } = request.headers;
  seen.push([request.method, version, method, name, session].map((one) => one ?? '-').join(' '));
  return handler(request, response);
}).listen(0, '127.0.0.1');
await once(server, 'listening');
const url = `http://127.0.0.1:${server.address().port}/mcp`;

function holds(what, wanted, found) {
  const [a, b] = [wanted, found].map((one) => JSON.stringify(one));
  if (a !== b) throw new Error(`${what}: wanted ${a}, found ${b}\n${seen.join('\n')}`);
  console.log(`${what}: ${b}`);
}

for (const mode of [{ pin: '2026-07-28' }, 'auto', 'legacy']) {
  const name = typeof mode === 'string' ? mode : `pinned to ${mode.pin}`;
  const env = { ...getDefaultEnvironment(), KEYFOB_HOME: process.env.KEYFOB_HOME, BROWSER: '' };
  const client = new Client({ name: 'interop', version: '1' }, { versionNegotiation: { mode } });
  await client.connect(new StdioClientTransport({ command: process.env.KEYFOB, args: ['mcp-proxy', url], env }));
  const isModern = mode !== 'legacy';
  holds(`${name}: revision`, isModern ? '2026-07-28' : '2025-11-25', client.getNegotiatedProtocolVersion());
  holds(`${name}: tools`, 'count echo wait', (await client.listTools()).tools.map((tool) => tool.name).sort().join(' '));
  const said = (await client.callTool({ name: 'echo', arguments: { text: 'grüß dich' } })).content[0].text;
  holds(`${name}: a call`, 'grüß dich', said);
  const steps = [];
  await client.callTool({ name: 'count', arguments: { steps: 3 } }, { onprogress: ({ progress }) => steps.push(progress) });
  holds(`${name}: progress`, [1, 2, 3], steps);
  if (isModern) {
    const stop = new AbortController();
    const waiting = client.callTool({ name: 'wait', arguments: {} }, { signal: stop.signal }).catch(() => 'cancelled');
    await sleep(300);
    stop.abort('enough');
    holds(`${name}: a call given up`, 'cancelled', await waiting);
    await sleep(500);
    holds(`${name}: the server heard of it`, true, wasCancelled);
    wasCancelled = false;
    holds(`${name}: headers of a call`, true, seen.includes('POST 2026-07-28 tools/call echo -'));
    holds(`${name}: nothing but POST`, [], seen.filter((line) => !line.startsWith('POST ')));
  }
  await client.close();
  seen.length = 0;
}
process.exit(0);
