// An API server as far as `kubectl get --raw` goes: `node kubernetes.mjs PORT KEY CERTIFICATE` says whose
// id token arrived, and lets in who has one. kubectl sends credentials over TLS only.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

const [port, key, cert] = process.argv.slice(2);
const server = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (request, response) => {
  const [, claims] = (request.headers.authorization ?? '').replace(/^Bearer /, '').split('.');
  let known;
  try {
    known = JSON.parse(Buffer.from(claims, 'base64url'));
  } catch {
    known = null;
  }
  console.log(known ? `let in: ${known.email}, for ${known.aud}` : 'refused');
  response.writeHead(known ? 200 : 401, { 'content-type': 'application/json' });
  response.end(JSON.stringify(known ? { hello: known.email } : { kind: 'Status', code: 401 }));
});
server.listen(Number(port), '127.0.0.1', () => console.log(`listening on https://127.0.0.1:${port}`));
