// A model's API of two dialects, Anthropic's Messages and OpenAI's Responses, that answers every prompt
// with the same words. `node fake-api.mjs PORT CHECK [late]` lets in whom CHECK knows: a URL that answers
// 200 to the credential (an issuer), or a file with the key. `late`: the first prompt is held back until
// its credential has run out. `come back in N` in a prompt is answered with 429 and N seconds to wait. A line
// a request says what arrived.
// Shapes: docs.claude.com/en/api/messages-streaming, platform.openai.com/docs/api-reference/responses-streaming
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { setTimeout } from 'node:timers/promises';

const [port, check, late] = process.argv.slice(2);
const words = 'Hello from the fake API.';
let isHeldBack = late === 'late';

async function isKnown(secret) {
  if (!check.startsWith('http')) return secret === readFileSync(check, 'utf8').trim();
  return (await fetch(check, { headers: { authorization: `Bearer ${secret}` } })).status === 200;
}

function sendEvents(response, events) {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (const event of events) response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
  response.end();
}

function sendJson(response, status, object) {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(object));
}

function messages(asked, response) {
  const message = {
    id: 'msg_1', type: 'message', role: 'assistant', model: asked.model, stop_reason: 'end_turn',
    stop_sequence: null, usage: { input_tokens: 1, output_tokens: 1 },
  };
  const text = { type: 'text', text: words };
  if (!asked.stream) return sendJson(response, 200, { ...message, content: [text] });
  sendEvents(response, [
    { type: 'message_start', message: { ...message, content: [], stop_reason: null } },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: words } },
    { type: 'content_block_stop', index: 0 },
    { type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: 1 } },
    { type: 'message_stop' },
  ]);
}

function responses(asked, response) {
  const item = {
    id: 'msg_1', type: 'message', role: 'assistant', status: 'completed',
    content: [{ type: 'output_text', text: words, annotations: [] }],
  };
  const whole = { id: 'resp_1', object: 'response', model: asked.model };
  sendEvents(response, [
    { type: 'response.created', response: { ...whole, status: 'in_progress', output: [] } },
    { type: 'response.output_item.done', output_index: 0, item },
    {
      type: 'response.completed',
      response: {
        ...whole, status: 'completed', output: [item],
        usage: {
          input_tokens: 1, input_tokens_details: { cached_tokens: 0 }, output_tokens: 1,
          output_tokens_details: { reasoning_tokens: 0 }, total_tokens: 2,
        },
      },
    },
  ]);
}

const server = createServer(async (request, response) => {
  const { pathname } = new URL(request.url, 'http://localhost');
  let body = '';
  for await (const chunk of request) body += chunk;
  const key = request.headers['x-api-key'];
  const bearer = request.headers.authorization?.replace(/^Bearer /, '');
  const secret = key ?? bearer ?? '';
  if (isHeldBack && request.method === 'POST') {
    isHeldBack = false;
    while (await isKnown(secret)) await setTimeout(100);
  }
  const known = secret !== '' && await isKnown(secret);
  const headers = [key && `x-api-key=${key}`, bearer && `bearer=${bearer}`].filter(Boolean);
  console.log(`${known ? 'let in' : 'refused'}: ${request.method} ${pathname} ${headers.join(' ')}`);
  const answer = { '/v1/messages': messages, '/v1/responses': responses }[pathname];
  if (!known) {
    return sendJson(response, 401, { type: 'error', error: { type: 'authentication_error', message: 'who are you?' } });
  }
  const [, wait_s] = body.match(/come back in (\d+)/) ?? [];
  if (wait_s) {
    response.setHeader('retry-after', wait_s);
    return sendJson(response, 429, { type: 'error', error: { type: 'rate_limit_error', message: 'too many' } });
  }
  if (!answer || request.method !== 'POST') {
    return sendJson(response, 404, { type: 'error', error: { type: 'not_found_error', message: pathname } });
  }
  answer(JSON.parse(body), response);
});
server.listen(Number(port), '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${port}`));
