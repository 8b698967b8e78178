// CopilotKit's aimock: OpenAI's, Anthropic's and Google's APIs as its authors read them. `node aimock.mjs PORT KEY`
// lets in whoever shows KEY and answers what it was taught here; its own /__aimock/journal tells what arrived.
import { LLMock } from '@copilotkit/aimock';

const [port, key] = process.argv.slice(2);
// It lists the models of what it was taught.
const model = 'aimock-1';
const mock = new LLMock({ port: Number(port), auth: { apiKeys: [key] }, strict: true, latency: 100, chunkSize: 12 });
mock.addFixturesFromJSON([
  {
    match: { model, toolName: 'report' },
    response: { toolCalls: [{ name: 'report', arguments: { word: 'AUTH_TEST_OK' } }] },
  },
  {
    match: { model, toolName: 'acme_report' },
    response: { toolCalls: [{ name: 'acme_report', arguments: { word: 'AUTH_TEST_OK' } }] },
  },
  { match: { model, userMessage: 'AUTH_TEST_OK' }, response: { content: 'AUTH_TEST_OK' } },
  { match: { model, userMessage: 'break off' }, response: { content: 'Hello, and then no more of it, for the line breaks off here.' }, truncateAfterChunks: 3 },
  { match: { model, userMessage: 'too many' }, response: { error: { message: 'Slow down.', type: 'rate_limit_error' }, status: 429 } },
  { match: { model, systemMessage: 'Be short.', userMessage: 'say hello' }, response: { content: 'Hi.' } },
  { match: { model, userMessage: 'say hello' }, response: { content: 'Hello from aimock, at some length: grüß dich.' } },
  {
    match: { model: 'no-such-model' },
    response: {
      error: { message: 'The model `no-such-model` does not exist', type: 'invalid_request_error', code: 'model_not_found' },
      status: 404,
    },
  },
]);
await mock.start();
console.log(`listening on http://127.0.0.1:${port}`);
