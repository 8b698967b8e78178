// A git repository with one branch, over the plain protocol that `git ls-remote` is content with:
// `node git-server.mjs PORT CHECK` lets in whoever has a password that CHECK, an issuer's URL, knows as
// a token. git-scm.com/docs/gitprotocol-http
import { createServer } from 'node:http';

const [port, check] = process.argv.slice(2);
const server = createServer(async (request, response) => {
  const basic = request.headers.authorization?.replace(/^Basic /, '') ?? '';
  const [user, password] = Buffer.from(basic, 'base64').toString().split(':');
  const headers = { authorization: `Bearer ${password}` };
  const known = password && (await fetch(check, { headers })).status === 200;
  console.log(`${known ? 'let in' : 'refused'}: ${user || 'nobody'}`);
  if (!known) return response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end();
  response.writeHead(200, { 'content-type': 'text/plain' });
  response.end(`${'1'.repeat(40)}\trefs/heads/main\n`);
});
server.listen(Number(port), '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${port}`));
