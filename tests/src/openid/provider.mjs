// An OpenID provider for tests, by the certified library oidc-provider: whatever name is typed is an account.
// Arguments: the port, the registered way back. The client's secret comes by the environment.
import Provider from 'oidc-provider';

const [port, callback] = process.argv.slice(2);
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{
    client_id: 'holt',
    client_secret: process.env.CLIENT_SECRET,
    redirect_uris: [callback],
  }],
  claims: { openid: ['sub'], profile: ['preferred_username', 'realm_access'], email: ['email', 'email_verified'] },
  cookies: { keys: [process.env.CLIENT_SECRET] },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({
      sub: `id-of-${id}`,
      preferred_username: id,
      realm_access: { roles: id.startsWith('keeper') ? ['keepers'] : ['readers'] },
      email: `${id}@example.org`,
      email_verified: true,
    }),
  }),
});
provider.listen(Number(port), '127.0.0.1', () => console.log('ready'));
