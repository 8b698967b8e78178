// A person at the development pages of the provider: signs in, consents, and ends on the redirect.
let url = process.argv[2];
const jar = new Map();
const cookies = () => [...jar].map(([k, v]) => `${k}=${v}`).join('; ');
async function go(target, form) {
  const r = await fetch(target, {
    method: form ? 'POST' : 'GET', redirect: 'manual',
    headers: { cookie: cookies(), ...(form && { 'content-type': 'application/x-www-form-urlencoded' }) },
    body: form && new URLSearchParams(form).toString(),
  });
  for (const c of r.headers.getSetCookie()) {
    const [pair] = c.split(';'); const at = pair.indexOf('=');
    jar.set(pair.slice(0, at), pair.slice(at + 1));
  }
  return r;
}
const origin = new URL(url).origin;
for (let i = 0; i < 12; i++) {
  let r = await go(url);
  if (r.status === 200) {
    const page = await r.text();
    const prompt = /name="prompt" value="(\w+)"/.exec(page)[1];
    r = await go(new URL(/action="([^"]+)"/.exec(page)[1], url), prompt === 'login' ? { prompt, login: 'jane', password: 'x' } : { prompt });
  }
  const next = r.headers.get('location');
  if (!next) { console.error(r.status, await r.text()); process.exit(1); }
  const target = new URL(next, origin);
  if (target.origin !== origin) { console.log(target.href); process.exit(0); }
  url = target.href;
}
process.exit(1);
