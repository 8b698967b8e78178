// A lenient server, the opposite of the strict one: it answers with what keyfob must not trip over.
import { OAuth2Server } from 'oauth2-mock-server';

const server = new OAuth2Server();
await server.issuer.keys.generate('RS256');
const seen = {};
const note = (name) => {
  seen[name] = (seen[name] ?? 0) + 1;
  console.log(`seen ${JSON.stringify(seen)}`);
};
server.service.on('beforeResponse', (_, request) => {
  const { grant_type: grant, code_verifier: verifier } = request.body;
  note(grant === 'authorization_code' && !verifier ? 'no verifier' : grant);
});
server.service.on('beforeUserinfo', (answer) => {
  answer.body = { sub: 'johndoe', email: 'john@example.com' };
});
server.service.on('beforeRevoke', () => note('revoked'));
await server.start(Number(process.argv[2]), '127.0.0.1');
server.issuer.url = `http://127.0.0.1:${server.address().port}`;
console.log(`listening on ${server.issuer.url}`);
