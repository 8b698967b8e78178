// A strict, certified OpenID provider: PKCE required, refresh tokens rotate, clients register.
import Provider from 'oidc-provider';

const port = Number(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const provider = new Provider(issuer, {
  features: { registration: { enabled: true }, revocation: { enabled: true } },
  pkce: { required: () => true },
  scopes: ['openid', 'email', 'offline_access'],
  claims: { openid: ['sub'], email: ['email'] },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: `${id}@example.com` }),
  }),
  rotateRefreshToken: true,
  cookies: { keys: ['interop'] },
});
const seen = {};
const note = (name) => {
  seen[name] = (seen[name] ?? 0) + 1;
  console.log(`seen ${JSON.stringify(seen)}`);
};
provider.on('registration_create.success', () => note('registered'));
provider.on('grant.success', (ctx) => note(ctx.oidc.params.grant_type));
provider.on('refresh_token.consumed', () => note('rotated'));
provider.on('refresh_token.destroyed', () => note('revoked'));
for (const event of ['grant.error', 'authorization.error', 'registration_create.error', 'server_error']) {
  provider.on(event, (_, error) => console.log(`${event}: ${error.error_description ?? error.message}`));
}
provider.listen(port, '127.0.0.1', () => console.log(`listening on ${issuer}`));
