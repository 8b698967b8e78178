//! Google's token endpoint for service accounts: it verifies the signature with the public key and
//! looks at every field of the header, every claim and the form. What is not as Google's own page has
//! it is a complaint, and no token is given.
//!
//! https://developers.google.com/identity/protocols/oauth2/service-account

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::agent::{Agents, KEYFOB, Verdict};
use super::idp::Request;
use super::idp::encoding::{now_s, params, random_text};
use super::idp::http::{self, Answer};
use super::rsa_key::RsaKey;

pub const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const PATH: &str = "/token";

/// One answer that is not what was asked for.
#[derive(Clone, Debug)]
pub enum Twist {
    /// This status and JSON.
    Answer(u16, Value),
    /// The answer comes so many milliseconds late.
    Delay(u64),
    /// The connection closes without an answer.
    Drop,
    /// The assertion comes back in the words of a refusal.
    Echo,
    /// These keys replace those of the answer; `null` removes one.
    Patch(Value),
}

impl Twist {
    pub fn refusal(code: &str, description: &str) -> Twist {
        Twist::Answer(400, json!({"error": code, "error_description": description}))
    }

    pub fn clock() -> Twist {
        Twist::refusal(
            "invalid_grant",
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable \
             timeframe. Check your iat and exp values in the JWT claim.",
        )
    }
}

pub struct GoogleToken {
    origin: String,
    world: Arc<Mutex<World>>,
    _verdict: Verdict,
}

#[derive(Default)]
struct World {
    /// By email: the key's id, if its assertions name one, and the key.
    accounts: BTreeMap<String, (Option<String>, RsaKey)>,
    complaints: Vec<String>,
    lifetime_s: u64,
    requests: Vec<Request>,
    tokens: Vec<String>,
    twists: VecDeque<Twist>,
    is_stopped: bool,
}

impl GoogleToken {
    pub fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let origin = format!("http://{address}");
        let world = Arc::new(Mutex::new(World { lifetime_s: 3600, ..World::default() }));
        let (url, shared) = (format!("{origin}{PATH}"), Arc::clone(&world));
        let agents = Agents::default();
        let verdict = agents.verdict();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.lock().is_ok_and(|world| world.is_stopped) {
                    return;
                }
                let (url, shared, agents) = (url.clone(), Arc::clone(&shared), agents.clone());
                thread::spawn(move || serve(stream, &url, &shared, &agents));
            }
        });
        GoogleToken { origin, world, _verdict: verdict }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The `token_uri` of key files.
    pub fn url(&self) -> String {
        format!("{}{PATH}", self.origin)
    }

    /// An account with one key.
    pub fn know(&self, email: &str, key_id: Option<&str>, key: &RsaKey) {
        let key = (key_id.map(str::to_owned), key.clone());
        self.world().accounts.insert(email.to_owned(), key);
    }

    /// The account is deleted, its keys with it.
    pub fn forget(&self, email: &str) {
        self.world().accounts.remove(email);
    }

    pub fn live_for(&self, lifetime_s: u64) {
        self.world().lifetime_s = lifetime_s;
    }

    /// The next answers, one after the other.
    pub fn twist(&self, twists: impl IntoIterator<Item = Twist>) {
        self.world().twists.extend(twists);
    }

    pub fn requests(&self) -> Vec<Request> {
        self.world().requests.clone()
    }

    pub fn count(&self) -> usize {
        self.world().requests.len()
    }

    #[track_caller]
    pub fn wait_for(&self, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.count() < count {
            assert!(Instant::now() < deadline, "{} requests, not {count}", self.count());
            thread::sleep(Duration::from_millis(3));
        }
    }

    /// The token handed out last.
    #[track_caller]
    pub fn last_token(&self) -> String {
        self.world().tokens.last().expect("a token was given").clone()
    }

    #[track_caller]
    pub fn assert_content(&self) {
        let complaints = self.world().complaints.clone();
        assert!(complaints.is_empty(), "the endpoint complains: {complaints:#?}");
    }

    /// What it did not like; forgotten afterwards.
    pub fn complaints(&self) -> Vec<String> {
        std::mem::take(&mut self.world().complaints)
    }
}

impl Drop for GoogleToken {
    fn drop(&mut self) {
        self.world().is_stopped = true;
        let _ = TcpStream::connect(self.origin.trim_start_matches("http://"));
    }
}

/// Header, claims and signature of a JWT; `signed` is the text that the signature is of.
pub struct Assertion {
    pub header: Value,
    pub claims: Value,
    signed: String,
    signature: Vec<u8>,
}

impl Assertion {
    pub fn of(request: &Request) -> Result<Assertion, String> {
        let text = request.param("assertion").ok_or("no assertion")?;
        let parts: Vec<_> = text.split('.').collect();
        let [header, claims, signature] = parts[..] else { return Err("no JWT".to_owned()) };
        let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|e| format!("{part}: {e}"));
        let json = |part: &str| {
            serde_json::from_slice(&bytes(part)?).map_err(|_| format!("{part} is no JSON"))
        };
        Ok(Assertion {
            header: json(header)?,
            claims: json(claims)?,
            signed: format!("{header}.{claims}"),
            signature: bytes(signature)?,
        })
    }
}

fn serve(mut stream: TcpStream, url: &str, world: &Mutex<World>, agents: &Agents) {
    let Ok(request) = http::read(&mut stream) else { return };
    agents.check(&request.path, request.header("user-agent"));
    let twist = {
        let mut world = world.lock().expect("no handler panics");
        world.requests.push(request.clone());
        world.twists.pop_front()
    };
    let answer = match twist {
        Some(Twist::Answer(status, body)) => Some(Answer::json(status, &body)),
        Some(Twist::Delay(ms)) => {
            thread::sleep(Duration::from_millis(ms));
            Some(judged(&request, url, world))
        }
        Some(Twist::Drop) => None,
        Some(Twist::Echo) => {
            let assertion = request.param("assertion").unwrap_or_default();
            let said = format!("Invalid JWT: {assertion}");
            Some(refused("invalid_grant", &said))
        }
        Some(Twist::Patch(patch)) => Some(patched(judged(&request, url, world), &patch)),
        None => Some(judged(&request, url, world)),
    };
    if let Some(answer) = answer {
        let _ = answer.send(&mut stream);
    }
    let _ = stream.flush();
    let _ = stream.shutdown(Shutdown::Both);
}

/// A token, a no in Google's words, or a complaint.
fn judged(request: &Request, url: &str, world: &Mutex<World>) -> Answer {
    let mut world = world.lock().expect("no handler panics");
    let checked = check_request(request).and_then(|()| Assertion::of(request));
    let assertion = match checked {
        Ok(assertion) => assertion,
        Err(complaint) => return world.complain(complaint),
    };
    let email = assertion.claims["iss"].as_str().unwrap_or_default();
    let Some((key_id, key)) = world.accounts.get(email).cloned() else {
        return refused("invalid_grant", "Invalid grant: account not found");
    };
    if let Err(complaint) = check_assertion(&assertion, key_id.as_deref(), url) {
        return world.complain(complaint);
    }
    if !key.has_signed(&assertion.signed, &assertion.signature) {
        return refused("invalid_grant", "Invalid JWT Signature.");
    }
    let token = format!("ya29.c.{}", random_text());
    world.tokens.push(token.clone());
    let body =
        json!({"access_token": token, "expires_in": world.lifetime_s, "token_type": "Bearer"});
    Answer::json(200, &body)
}

impl World {
    fn complain(&mut self, complaint: String) -> Answer {
        self.complaints.push(complaint.clone());
        refused("invalid_request", &complaint)
    }
}

fn refused(code: &str, description: &str) -> Answer {
    Answer::json(400, &json!({"error": code, "error_description": description}))
}

fn wants(what: &str, is: &Value, wanted: &Value) -> Result<(), String> {
    if is == wanted { Ok(()) } else { Err(format!("{what} is {is}, wanted {wanted}")) }
}

fn names(object: &Value) -> Value {
    object.as_object().map_or(Value::Null, |object| object.keys().cloned().collect())
}

fn check_request(request: &Request) -> Result<(), String> {
    wants("the method", &json!(request.method), &json!("POST"))?;
    wants("the path", &json!([request.path, request.query]), &json!([PATH, ""]))?;
    let media_type = request.header("content-type");
    wants("the content type", &json!(media_type), &json!("application/x-www-form-urlencoded"))?;
    wants("the user agent", &json!(request.header("user-agent")), &json!(KEYFOB))?;
    wants("the authorization", &json!(request.header("authorization")), &Value::Null)?;
    let form = params(&request.body)?;
    let mut fields: Vec<_> = form.0.iter().map(|(name, _)| name.as_str()).collect();
    fields.sort_unstable();
    wants("the form", &json!(fields), &json!(["assertion", "grant_type"]))?;
    // Its colons are escaped, as a form has them.
    let escaped = GRANT_TYPE.replace(':', "%3A");
    if !request.body.contains(&format!("grant_type={escaped}")) {
        return Err(format!("the grant type is not escaped: {}", request.body));
    }
    wants("the grant type", &json!(form.text("grant_type")), &json!(GRANT_TYPE))
}

fn check_assertion(assertion: &Assertion, key_id: Option<&str>, url: &str) -> Result<(), String> {
    let (header, claims) = (&assertion.header, &assertion.claims);
    let fields: &[&str] = if key_id.is_some() { &["alg", "kid", "typ"] } else { &["alg", "typ"] };
    wants("the header", &names(header), &json!(fields))?;
    wants("alg", &header["alg"], &json!("RS256"))?;
    wants("typ", &header["typ"], &json!("JWT"))?;
    wants("kid", &header["kid"], &json!(key_id))?;
    // No `sub`: nobody is impersonated.
    wants("the claims", &names(claims), &json!(["aud", "exp", "iat", "iss", "scope"]))?;
    wants("scope", &claims["scope"], &json!(SCOPE))?;
    wants("aud", &claims["aud"], &json!(url))?;
    let (issued, expires) = (claims["iat"].as_i64(), claims["exp"].as_i64());
    let (Some(issued), Some(expires)) = (issued, expires) else {
        return Err(format!("no whole seconds in {claims}"));
    };
    wants("exp - iat", &json!(expires - issued), &json!(3600))?;
    let age = now_s().cast_signed() - issued;
    if (0..=60).contains(&age) { Ok(()) } else { Err(format!("issued {age} s ago")) }
}

fn patched(mut answer: Answer, patch: &Value) -> Answer {
    let mut body: Value = serde_json::from_slice(&answer.body).expect("an answer in JSON");
    for (key, value) in patch.as_object().into_iter().flatten() {
        if let (Some(object), true) = (body.as_object_mut(), value.is_null()) {
            object.remove(key);
        } else {
            body[key] = value.clone();
        }
    }
    answer.body = body.to_string().into_bytes();
    answer
}
