// A provider of four dialects (Anthropic's Messages, OpenAI's Responses and Chat Completions, Google's
// generateContent) behind `keyfob serve`. `node gateway-api.mjs PORT KEYS USER_AGENT`: KEYS is a JSON file, read at each
// request, of keys and what each gets: "ok", or the seconds for which it is to come back later (429).
// It calls a tool when it is told to (`call NAME {"its": "input"}`), answers a tool's result with that result, and
// anything else with the same words, in pieces: the second one, if it is told `the rest when FILE is there`, not before
// that. A line a request says what arrived; one that begins with `STRAY` says
// that it should never have: another User-Agent, or a credential besides the one key.
// Shapes: docs.claude.com/en/api/messages-streaming, platform.openai.com/docs/api-reference/responses-streaming,
// …/chat-streaming, ai.google.dev/api/generate-content, checked 2026-11-22
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { setTimeout } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';

const [port, keys, userAgent] = process.argv.slice(2);
const pieces = ['Hello ', 'through ', 'the ', 'gateway.'];
// The last two are those between which Gemini CLI chooses.
const models = ['claude-fake-1', 'gemini-fake-1', 'gpt-fake-1', 'embed-fake-1', 'gemini-3.5-flash-lite', 'gemini-3.8-flash'];

// What to say to the last word of a conversation: {pieces}, {name, input} (a tool to call), or {error}.
function reply(text, results, offered) {
  if (results.length > 0) return { pieces: ['The tool said: ', results.join(' | ')] };
  const call = text.match(/^call (\S+) (\{.*\})$/m);
  if (call && offered.includes(call[1])) return { name: call[1], input: JSON.parse(call[2]) };
  if (/\brefuse this\b/.test(text)) return { error: 'the fake API does not do this' };
  if (text === 'judge this') return { pieces: [JSON.stringify({ complexity_reasoning: 'short', complexity_score: 1 })] };
  return { pieces, file: text.match(/^the rest when (\S+) is there$/m)?.[1] };
}

const textOf = (content) =>
  typeof content === 'string' ? content : (content ?? []).map((part) => part.text ?? '').join('\n');

const sinceAnswer = (messages, isAnswer) => messages.slice(messages.findLastIndex(isAnswer) + 1);

const anthropic = {
  error: (status, message) => ({
    type: 'error',
    error: {
      type: { 400: 'invalid_request_error', 401: 'authentication_error', 429: 'rate_limit_error' }[status] ?? 'not_found_error',
      message,
    },
  }),
  asked({ messages, tools = [] }) {
    // Claude Code puts a message of the role `system` behind the person's.
    const news = sinceAnswer(messages, (message) => message.role === 'assistant').filter(({ role }) => role === 'user');
    const parts = news.flatMap(({ content }) => (typeof content === 'string' ? [{ text: content }] : content));
    const results = parts.filter((part) => part.type === 'tool_result');
    return [textOf(parts), results.map((result) => textOf(result.content)), tools.map((tool) => tool.name)];
  },
  whole: ({ model }, said) => ({
    id: 'msg_1', type: 'message', role: 'assistant', model, stop_sequence: null,
    content: [said.name
      ? { type: 'tool_use', id: 'toolu_1', name: said.name, input: said.input }
      : { type: 'text', text: said.pieces.join('') }],
    stop_reason: said.name ? 'tool_use' : 'end_turn', usage: { input_tokens: 1, output_tokens: 1 },
  }),
  events(asked, said) {
    const message = this.whole(asked, said);
    const [block] = message.content;
    const deltas = said.name
      ? halves(JSON.stringify(said.input)).map((partial_json) => ({ type: 'input_json_delta', partial_json }))
      : said.pieces.map((text) => ({ type: 'text_delta', text }));
    return [
      { type: 'message_start', message: { ...message, content: [], stop_reason: null } },
      { type: 'content_block_start', index: 0, content_block: said.name ? { ...block, input: {} } : { ...block, text: '' } },
      { type: 'ping' },
      ...deltas.map((delta) => ({ type: 'content_block_delta', index: 0, delta })),
      { type: 'content_block_stop', index: 0 },
      { type: 'message_delta', delta: { stop_reason: message.stop_reason, stop_sequence: null }, usage: { output_tokens: 1 } },
      { type: 'message_stop' },
    ].map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
  },
};

const openai = {
  error: (status, message) => ({
    error: {
      message, param: null,
      type: { 429: 'rate_limit_error' }[status] ?? 'invalid_request_error',
      code: { 401: 'invalid_api_key', 404: 'not_found', 429: 'rate_limit_exceeded' }[status] ?? null,
    },
  }),
};

const responses = {
  ...openai,
  asked({ input, tools = [] }) {
    const items = typeof input === 'string' ? [{ content: input }] : input;
    const news = sinceAnswer(items, (item) => item.role === 'assistant' || item.type?.endsWith('_call'));
    return [
      news.map((item) => textOf(item.content)).join('\n'),
      news.filter((item) => item.type?.endsWith('_output')).map((item) => textOf(item.output)),
      tools.map((tool) => tool.name ?? tool.type),
    ];
  },
  whole({ model }, said) {
    const item = said.name
      ? { id: 'fc_1', type: 'function_call', status: 'completed', call_id: 'call_1', name: said.name, arguments: JSON.stringify(said.input) }
      : {
        id: 'msg_1', type: 'message', status: 'completed', role: 'assistant',
        content: [{ type: 'output_text', text: said.pieces.join(''), annotations: [] }],
      };
    return {
      id: 'resp_1', object: 'response', created_at: 1, model, status: 'completed', output: [item], tools: [],
      tool_choice: 'auto', parallel_tool_calls: false,
      usage: {
        input_tokens: 1, input_tokens_details: { cached_tokens: 0 }, output_tokens: 1,
        output_tokens_details: { reasoning_tokens: 0 }, total_tokens: 2,
      },
    };
  },
  events(asked, said) {
    const response = this.whole(asked, said);
    const [item] = response.output;
    const begun = { ...response, status: 'in_progress', output: [], usage: null };
    const at = { item_id: item.id, output_index: 0 };
    const parts = said.name
      ? halves(item.arguments).map((delta) => ({ type: 'response.function_call_arguments.delta', ...at, delta }))
      : said.pieces.map((delta) => ({ type: 'response.output_text.delta', ...at, content_index: 0, delta, logprobs: [] }));
    const part = { type: 'output_text', text: '', annotations: [] };
    return [
      { type: 'response.created', response: begun },
      { type: 'response.in_progress', response: begun },
      {
        type: 'response.output_item.added', output_index: 0,
        item: { ...item, status: 'in_progress', ...(said.name ? { arguments: '' } : { content: [] }) },
      },
      ...(said.name ? [] : [{ type: 'response.content_part.added', ...at, content_index: 0, part }]),
      ...parts,
      said.name
        ? { type: 'response.function_call_arguments.done', ...at, name: item.name, arguments: item.arguments }
        : { type: 'response.output_text.done', ...at, content_index: 0, text: item.content[0].text, logprobs: [] },
      ...(said.name ? [] : [{ type: 'response.content_part.done', ...at, content_index: 0, part: item.content[0] }]),
      { type: 'response.output_item.done', output_index: 0, item },
      { type: 'response.completed', response },
    ].map((event, i) => `event: ${event.type}\ndata: ${JSON.stringify({ ...event, sequence_number: i })}\n\n`);
  },
};

const chat = {
  ...openai,
  asked({ messages, tools = [] }) {
    const news = sinceAnswer(messages, (message) => message.role === 'assistant');
    return [
      news.map((message) => textOf(message.content)).join('\n'),
      news.filter((message) => message.role === 'tool').map((message) => textOf(message.content)),
      tools.map((tool) => tool.function.name),
    ];
  },
  whole: ({ model }, said) => ({
    id: 'chatcmpl-1', object: 'chat.completion', created: 1, model,
    choices: [{
      index: 0, finish_reason: said.name ? 'tool_calls' : 'stop',
      message: said.name
        ? { role: 'assistant', content: null, tool_calls: [{ id: 'call_1', type: 'function', function: { name: said.name, arguments: JSON.stringify(said.input) } }] }
        : { role: 'assistant', content: said.pieces.join('') },
    }],
    usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
  }),
  events(asked, said) {
    const deltas = said.name
      ? [
        { tool_calls: [{ index: 0, id: 'call_1', type: 'function', function: { name: said.name, arguments: '' } }] },
        ...halves(JSON.stringify(said.input)).map((half) => ({ tool_calls: [{ index: 0, function: { arguments: half } }] })),
      ]
      : said.pieces.map((content) => ({ content }));
    const { choices: [{ finish_reason }], usage, ...whole } = this.whole(asked, said);
    const chunk = { ...whole, object: 'chat.completion.chunk' };
    const chunks = [{ role: 'assistant', content: said.name ? null : '' }, ...deltas, {}].map((delta, i) => ({
      ...chunk, choices: [{ index: 0, delta, finish_reason: i > deltas.length ? finish_reason : null }],
    }));
    if (asked.stream_options?.include_usage) chunks.push({ ...chunk, choices: [], usage });
    return [...chunks.map((one) => JSON.stringify(one)), '[DONE]'].map((data) => `data: ${data}\n\n`);
  },
};

const google = {
  error: (status, message) => ({
    error: {
      code: status, message,
      status: { 400: 'INVALID_ARGUMENT', 401: 'UNAUTHENTICATED', 429: 'RESOURCE_EXHAUSTED' }[status] ?? 'NOT_FOUND',
    },
  }),
  asked({ contents, tools = [], generationConfig }) {
    // Gemini CLI first asks how hard the task is, to choose the model.
    if (generationConfig?.responseMimeType === 'application/json') return ['judge this', [], []];
    const parts = sinceAnswer(contents, (content) => content.role === 'model').flatMap((content) => content.parts);
    const results = parts.filter((part) => part.functionResponse);
    return [
      textOf(parts), results.map((part) => JSON.stringify(part.functionResponse.response)),
      tools.flatMap((tool) => tool.functionDeclarations ?? []).map((tool) => tool.name),
    ];
  },
  whole: (asked, said) => googleAnswer(asked, said.name
    ? { functionCall: { name: said.name, args: said.input } } : { text: said.pieces.join('') }, true),
  events(asked, said) {
    const parts = said.name ? [{ functionCall: { name: said.name, args: said.input } }] : said.pieces.map((text) => ({ text }));
    return parts.map((part, i) => `data: ${JSON.stringify(googleAnswer(asked, part, i === parts.length - 1))}\r\n\r\n`);
  },
};

function googleAnswer({ model }, part, isLast) {
  return {
    candidates: [{ index: 0, content: { role: 'model', parts: [part] }, ...(isLast && { finishReason: 'STOP' }) }],
    usageMetadata: { promptTokenCount: 1, candidatesTokenCount: 1, totalTokenCount: 2 },
    modelVersion: model, responseId: 'r1',
  };
}

const halves = (text) => [text.slice(0, text.length / 2), text.slice(text.length / 2)];

const lists = {
  anthropic: {
    entry: (id) => ({ type: 'model', id, display_name: id, created_at: '2026-01-01T00:00:00Z' }),
    whole: (data) => ({ data, has_more: false, first_id: data[0].id, last_id: data.at(-1).id }),
  },
  google: {
    entry: (id) => ({
      name: `models/${id}`, displayName: id, inputTokenLimit: 1000000, outputTokenLimit: 1000,
      supportedGenerationMethods: ['generateContent', 'countTokens'],
    }),
    whole: (models) => ({ models }),
  },
  openai: {
    entry: (id) => ({ id, object: 'model', created: 1, owned_by: 'fake' }),
    whole: (data) => ({ object: 'list', data }),
  },
};

const embeddings = ({ model, input, encoding_format }) => {
  const numbers = [0.25, -0.5, 1];
  const embedding = encoding_format === 'base64'
    ? Buffer.from(new Float32Array(numbers).buffer).toString('base64') : numbers;
  return {
    object: 'list', model, usage: { prompt_tokens: 1, total_tokens: 1 },
    data: [input].flat().map((_, index) => ({ object: 'embedding', index, embedding })),
  };
};

// Which dialect a path is of, and what it does.
function route(method, pathname, headers) {
  const [, model, call] = pathname.match(/^\/v1beta\/models\/([^:]+):(\w+)$/) ?? [];
  if (method === 'GET') {
    const [, version, id] = pathname.match(/^\/(v1|v1beta)\/models(?:\/([^/:]+))?$/) ?? [];
    const name = version === 'v1beta' ? 'google' : headers['anthropic-version'] ? 'anthropic' : 'openai';
    const entries = () => models.map(lists[name].entry);
    const answer = id ? () => entries()[models.indexOf(id)] : () => lists[name].whole(entries());
    return { dialect: { anthropic, google, openai }[name], answer: version && (!id || models.includes(id)) && answer };
  }
  if (call === 'countTokens') return { dialect: google, answer: () => ({ totalTokens: 7 }) };
  if (call) return { dialect: google, model, prompt: true, stream: call === 'streamGenerateContent' };
  return {
    '/v1/chat/completions': { dialect: chat, prompt: true },
    '/v1/embeddings': { dialect: openai, answer: embeddings },
    '/v1/messages': { dialect: anthropic, prompt: true },
    '/v1/messages/count_tokens': { dialect: anthropic, answer: () => ({ input_tokens: 7 }) },
    '/v1/responses': { dialect: responses, prompt: true },
  }[pathname] ?? { dialect: openai };
}

// Everything in a request that may be a credential, as `name=value`.
function credentials(headers, url) {
  const names = ['api-key', 'authorization', 'cookie', 'proxy-authorization', 'x-api-key', 'x-goog-api-key'];
  const found = names.filter((name) => name in headers).map((name) => [name, headers[name].replace(/^Bearer /, '')]);
  for (const name of ['key', 'api_key', 'access_token']) {
    if (url.searchParams.has(name)) found.push([`?${name}`, url.searchParams.get(name)]);
  }
  return found;
}

const server = createServer(async (request, response) => {
  const url = new URL(request.url, 'http://localhost');
  let body = '';
  for await (const chunk of request) body += chunk;
  const known = JSON.parse(readFileSync(keys, 'utf8'));
  const found = credentials(request.headers, url);
  const shown = found.map(([name, secret]) => `${name}=${secret}`).join(' ');
  const version = request.headers['anthropic-version'];
  const line = `${request.method} ${url.pathname} ${shown}${version ? ` of ${version}` : ''}`;
  const everything = JSON.stringify([request.rawHeaders, request.url, body]);
  if (found.length !== 1 || !(found[0][1] in known)) console.log(`STRAY credential: ${line}`);
  if (/kf-\w/.test(everything)) console.log(`STRAY key of the gateway: ${line} ${everything}`);
  if (request.headers['user-agent'] !== userAgent) console.log(`STRAY agent ${request.headers['user-agent']}: ${line}`);

  const to = route(request.method, url.pathname, request.headers);
  const say = (status, object, headers = {}) => {
    console.log(`${status} ${line}`);
    const isPacked = /\bgzip\b/.test(request.headers['accept-encoding']);
    const packing = isPacked && { 'content-encoding': 'gzip' };
    response.writeHead(status, { 'content-type': 'application/json', 'request-id': 'req_fake', ...packing, ...headers });
    response.end(isPacked ? gzipSync(JSON.stringify(object)) : JSON.stringify(object));
  };
  const gets = found.map(([, secret]) => known[secret]).find(Boolean);
  if (!gets) return say(401, to.dialect.error(401, 'who are you?'));
  if (!to.prompt && !to.answer) return say(404, to.dialect.error(404, `no ${url.pathname} here`));
  if (gets !== 'ok' && request.method === 'POST') {
    return say(429, to.dialect.error(429, 'too many of this key'), { 'retry-after': gets });
  }
  const asked = { model: to.model, stream: to.stream, ...(body && JSON.parse(body)) };
  if (asked.model && !models.includes(asked.model)) return say(404, to.dialect.error(404, `no model ${asked.model}`));
  // As the real one: a field of a beta needs the header that turns the beta on.
  if (asked.context_management && !/context-management-/.test(request.headers['anthropic-beta'])) {
    return say(400, to.dialect.error(400, 'context_management: Extra inputs are not permitted'));
  }
  if (to.answer) return say(200, to.answer(asked));
  const said = reply(...to.dialect.asked(asked));
  if (said.error) return say(400, to.dialect.error(400, said.error));
  if (!asked.stream) return say(200, to.dialect.whole(asked, said));
  console.log(`200 ${line} stream${said.name ? ` calls ${said.name}` : ''}`);
  response.writeHead(200, { 'content-type': 'text/event-stream', 'request-id': 'req_fake' });
  for (const event of to.dialect.events(asked, said)) {
    for (let waits = 0; said.file && event.includes(pieces[1]) && !existsSync(said.file); waits += 1) {
      if (waits === 200) return response.destroy();
      await setTimeout(50);
    }
    response.write(event);
    await setTimeout(20);
  }
  response.end();
});
server.listen(Number(port), '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${port}`));
