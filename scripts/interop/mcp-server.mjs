// An MCP server as the official SDK builds one (Streamable HTTP, sessions, resumable streams), protected the way the
// SDK protects one, with its tokens from oidc-provider at another origin: strict, with PKCE, `resource`, rotation and `iss`.
// `node mcp-server.mjs PORT`. POST /_forget forgets all sessions, POST /_lifetime/S is how long tokens live from now on.
import { createMcpExpressApp } from '@modelcontextprotocol/sdk/server/express.js';
import { requireBearerAuth } from '@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js';
import { InvalidTokenError } from '@modelcontextprotocol/sdk/server/auth/errors.js';
import { getOAuthProtectedResourceMetadataUrl, mcpAuthMetadataRouter } from '@modelcontextprotocol/sdk/server/auth/router.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { CreateMessageResultSchema } from '@modelcontextprotocol/sdk/types.js';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import Provider from 'oidc-provider';
import * as z from 'zod';

const port = Number(process.argv[2]);
const url = new URL(`http://127.0.0.1:${port}/mcp`);
let lifetime = 3600;

// ---- the authorization server

const issuing = createServer().listen(0, '127.0.0.1');
await once(issuing, 'listening');
const issuer = `http://127.0.0.1:${issuing.address().port}`;
const scope = 'mcp:use mcp:admin';
const provider = new Provider(issuer, {
  features: {
    registration: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      // Without `resource` a token would be good for nothing here.
      defaultResource: () => undefined,
      getResourceServerInfo: (_, resource) => {
        if (resource !== url.href) throw new Error(`no such resource: ${resource}`);
        return { scope, accessTokenTTL: lifetime, accessTokenFormat: 'opaque' };
      },
      useGrantedResource: () => false,
    },
  },
  scopes: ['openid', 'offline_access', ...scope.split(' ')],
  pkce: { required: () => true },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  expiresWithSession: () => false,
  rotateRefreshToken: true,
  cookies: { keys: ['interop'] },
});
issuing.on('request', provider.callback());
provider.on('registration_create.success', () => console.log('registered'));
provider.on('authorization.success', (ctx) => console.log(`authorized: ${ctx.oidc.params.scope}`));
provider.on('grant.success', (ctx) => console.log(`granted: ${ctx.oidc.params.grant_type}`));
for (const event of ['grant.error', 'authorization.error', 'registration_create.error', 'server_error']) {
  provider.on(event, (_, error) => console.log(`${event}: ${error.error_description ?? error.message}`));
}

// ---- the MCP server

/** Streams that can be resumed: https://modelcontextprotocol.io, "Resumability and Redelivery". */
class Events {
  all = [];
  async storeEvent(stream, message) {
    this.all.push({ stream, message });
    return String(this.all.length);
  }
  async getStreamIdForEventId(id) {
    return this.all[id - 1]?.stream;
  }
  async replayEventsAfter(id, { send }) {
    const stream = await this.getStreamIdForEventId(id);
    console.log(`resumed after ${id}`);
    for (let at = Number(id); at < this.all.length; at++) {
      if (this.all[at].stream === stream) await send(String(at + 1), this.all[at].message);
    }
    return stream;
  }
}

const text = (said) => ({ content: [{ type: 'text', text: said }] });

function build(session) {
  const server = new McpServer({ name: 'interop', version: '1' }, { capabilities: { logging: {} } });
  const tool = (name, inputSchema, does) => server.registerTool(name, { description: name, inputSchema }, does);
  tool('echo', { text: z.string() }, ({ text: said }) => text(said));
  tool('admin', {}, () => text('for admins'));
  tool('count', { steps: z.number(), ms: z.number(), cut: z.number().optional() }, async ({ steps, ms, cut }, extra) => {
    for (let progress = 1; progress <= steps; progress++) {
      const params = { progressToken: extra._meta.progressToken, progress, total: steps };
      await extra.sendNotification({ method: 'notifications/progress', params });
      if (progress === cut) {
        extra.closeSSEStream();
        console.log('the stream was cut');
      }
      // Also after the last: the SDK's client forgets who asked for progress as soon as the answer is there.
      await sleep(ms);
    }
    return text(`counted to ${steps}`);
  });
  tool('wait', {}, async (_, { signal }) => {
    console.log('waits');
    await once(signal, 'abort');
    console.log('cancelled');
    return text('nobody reads this');
  });
  tool('ask', {}, async (_, extra) => {
    // The first comes on the stream of the call, the others on the one that the client opened.
    await session.listens;
    const messages = [{ role: 'user', content: { type: 'text', text: 'a word?' } }];
    const sampled = await extra.sendRequest({ method: 'sampling/createMessage', params: { messages, maxTokens: 9 } }, CreateMessageResultSchema);
    const requestedSchema = { type: 'object', properties: { color: { type: 'string' } } };
    const { content } = await server.server.elicitInput({ message: 'a color?', requestedSchema });
    const { roots } = await server.server.listRoots();
    return text([sampled.content.text, content.color, roots[0].uri].join(' '));
  });
  let tools = 0;
  tool('grow', {}, async () => {
    await session.listens;
    tool(`grown-${++tools}`, {}, () => text('new'));
    return text(`${tools} more`);
  });
  return server;
}

const sessions = new Map();
const app = createMcpExpressApp();
app.post('/_forget', (_, response) => {
  for (const { transport } of sessions.values()) transport.close();
  sessions.clear();
  response.end();
});
app.post('/_lifetime/:seconds', (request, response) => {
  lifetime = Number(request.params.seconds);
  response.end();
});
const oauthMetadata = {
  issuer, authorization_endpoint: `${issuer}/auth`, token_endpoint: `${issuer}/token`, response_types_supported: ['code'],
};
app.use(mcpAuthMetadataRouter({ oauthMetadata, resourceServerUrl: url, scopesSupported: ['mcp:use'] }));

const verifier = {
  async verifyAccessToken(token) {
    const found = await provider.AccessToken.find(token);
    if (!found) throw new InvalidTokenError('unknown or expired');
    return {
      token, clientId: found.clientId, scopes: [...found.scopes], expiresAt: found.exp, resource: new URL(found.aud),
    };
  },
};
const guard = (requiredScopes) =>
  requireBearerAuth({ verifier, requiredScopes, expectedResource: url, resourceMetadataUrl: getOAuthProtectedResourceMetadataUrl(url) });
const [forAll, forAdmins] = [guard(['mcp:use']), guard(['mcp:use', 'mcp:admin'])];
app.all('/mcp', (request, response, next) => {
  const isAdmins = request.body?.method === 'tools/call' && request.body.params.name === 'admin';
  response.on('finish', () => {
    if (response.statusCode >= 400) console.log(`${request.method} ${request.body?.method ?? ''}: ${response.statusCode}`);
  });
  (isAdmins ? forAdmins : forAll)(request, response, next);
});
app.all('/mcp', async (request, response) => {
  const id = request.headers['mcp-session-id'];
  let session = sessions.get(id);
  if (!session && id) {
    return response.status(404).json({ jsonrpc: '2.0', error: { code: -32001, message: 'Session not found' }, id: null });
  }
  if (!session) {
    session = { heard: () => {} };
    session.listens = new Promise((resolve) => { session.heard = resolve; });
    session.transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID, eventStore: new Events(), retryInterval: 300,
      onsessioninitialized: (id) => {
        sessions.set(id, session);
        console.log('session begun');
      },
      onsessionclosed: (id) => {
        sessions.delete(id);
        console.log('session ended');
      },
    });
    await build(session).connect(session.transport);
  }
  // What follows ends with the stream.
  if (request.method === 'GET') setTimeout(session.heard, 100);
  await session.transport.handleRequest(request, response, request.body);
});
app.listen(port, '127.0.0.1', () => console.log(`listening on ${url.origin}`));
