//! The fake model API on loopback: its accounts and their faults, its answers, and what it counts.

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, Write},
    net::{Shutdown, TcpListener},
    os::fd::AsRawFd,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    DIRECT_KEY, MODEL, STACK_BYTES,
    common::{locked, now_us, number, value_of},
    http::{Body, Head, Wire},
};

/// Keys are `sk-NAME-VERSION`, access tokens `at-NAME-VERSION`: NAME is what faults and counters go by. A prompt says what
/// its answer shall be: `tag=T` comes back in it, `events=N every_ms=M` or `hold=1` is for streams.
struct Api {
    agent: Option<String>,
    accounts: Mutex<HashMap<String, Account>>,
    counts: Mutex<BTreeMap<(String, &'static str), u64>>,
    releases: AtomicU64,
}

#[derive(Default)]
struct Account {
    fault: Option<(Fault, u64)>,
    /// Versions of the key up to this one are unknown.
    retired: u64,
    /// The version of the newest token, and when it was issued; the refresh token has the same.
    token: u64,
    issued: Option<Instant>,
    is_revoked: bool,
}

#[derive(Clone, Copy)]
enum Fault {
    Close,
    Drop,
    Slow,
    Status(u16, &'static str),
}

const TOKEN_LIFE: Duration = Duration::from_secs(20);
const UNKNOWN: Fault = Fault::Status(401, "401");

pub fn api(agent: Option<String>) -> bool {
    let api = Api {
        agent,
        accounts: Mutex::default(),
        counts: Mutex::default(),
        releases: AtomicU64::new(0),
    };
    let api: &'static Api = Box::leak(Box::new(api));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
    // The standard library asks for 128, and a SYN too many waits for a second: the gateway would be charged with it.
    // SAFETY: the descriptor is open, and a second listen() only sets the length.
    unsafe { listen(listener.as_raw_fd(), 4096) };
    println!("listening on http://{}", listener.local_addr().expect("a bound socket"));
    for stream in listener.incoming() {
        let serve = move || stream.and_then(|stream| api.serve(Wire::new(stream)?));
        if let Err(e) = thread::Builder::new().stack_size(STACK_BYTES).spawn(serve) {
            eprintln!("load: no thread for a connection: {e}");
        }
    }
    true
}

unsafe extern "C" {
    fn listen(descriptor: i32, backlog: i32) -> i32;
}

impl Api {
    fn serve(&self, mut wire: Wire) -> io::Result<()> {
        while let Some(head) = wire.head()? {
            let (mut body, mut bytes) = (Body::of(&head), Vec::new());
            while let Some(piece) = wire.piece(&mut body)? {
                bytes.extend(piece);
            }
            let text = String::from_utf8_lossy(&bytes);
            let target = head.start.split(' ').nth(1).unwrap_or_default();
            match target.split('?').next().unwrap_or_default() {
                "/v1/chat/completions" => {
                    if !self.chat(&mut wire, &head, &text)? {
                        return wire.stream.shutdown(Shutdown::Both);
                    }
                }
                "/v1/models" => self.models(&mut wire, &head)?,
                "/token" => self.refresh(&mut wire, &text)?,
                "/_counters" => answer(&mut wire, 200, "", &self.counters())?,
                "/_fault" | "/_release" | "/_retire" | "/_version" => {
                    let said = self.control(target);
                    answer(&mut wire, 200, "", &said)?;
                }
                _ => answer(&mut wire, 404, "", r#"{"error":{"message":"no such path"}}"#)?,
            }
        }
        Ok(())
    }

    /// False: the connection ends here, without a word.
    fn chat(&self, wire: &mut Wire, head: &Head, text: &str) -> io::Result<bool> {
        let (name, verdict) = self.judge(head);
        self.count(&name, "asked");
        let is_direct =
            head.field("authorization").is_some_and(|value| value.ends_with(DIRECT_KEY));
        if !is_direct && head.fields.iter().any(|(_, value)| value.contains("kf-")) {
            self.count(&name, "leaked");
        }
        if let Some(agent) = self
            .agent
            .as_deref()
            .filter(|agent| !is_direct && head.field("user-agent") != Some(agent))
        {
            self.count(&name, "agent");
            answer(
                wire,
                400,
                "",
                &format!(r#"{{"error":{{"message":"the user agent is not {agent}"}}}}"#),
            )?;
            return Ok(true);
        }
        match verdict {
            Some(Fault::Status(status, outcome)) => {
                self.count(&name, outcome);
                let field = if status == 429 { "Retry-After: 1\r\n" } else { "" };
                answer(
                    wire,
                    status,
                    field,
                    &format!(
                        r#"{{"error":{{"message":"fault {outcome}","code":"fault_{outcome}"}}}}"#
                    ),
                )?;
                return Ok(true);
            }
            Some(Fault::Drop) => {
                self.count(&name, "drop");
                return Ok(false);
            }
            Some(Fault::Slow) => thread::sleep(Duration::from_secs(2)),
            Some(Fault::Close) | None => {}
        }
        let tag = value_of(text, "tag").unwrap_or_default();
        if text.contains(r#""stream":true"#) {
            self.stream(wire, tag, text).inspect_err(|_| self.count(&name, "hung_up"))?;
        } else {
            answer(wire, 200, "", &completion(tag))?;
        }
        self.count(&name, "ok");
        Ok(!matches!(verdict, Some(Fault::Close)))
    }

    fn stream(&self, wire: &mut Wire, tag: &str, text: &str) -> io::Result<()> {
        let every = Duration::from_millis(value_of(text, "every_ms").map_or(0, number));
        let (count, releases) =
            (value_of(text, "events").map_or(1, number), self.releases.load(Relaxed));
        let is_held = value_of(text, "hold").is_some();
        let is_over =
            |sent| if is_held { self.releases.load(Relaxed) > releases } else { sent >= count };
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        wire.stream.write_all(head.as_bytes())?;
        let mut sent = 0;
        while !is_over(sent) {
            if sent > 0 {
                thread::sleep(every);
            }
            event(wire, &delta(&format!("tag={tag} event={sent} at={} ", now_us()), "null"))?;
            sent += 1;
        }
        event(wire, &delta(&format!("tag={tag} end={sent} "), "\"stop\""))?;
        event(wire, "[DONE]")?;
        wire.stream.write_all(b"0\r\n\r\n")
    }

    /// Whose request it is, and what is wrong with it, if anything is.
    fn judge(&self, head: &Head) -> (String, Option<Fault>) {
        let key = head
            .field("authorization")
            .and_then(|value| value.strip_prefix("Bearer "))
            .unwrap_or_default();
        let mut parts = key.split('-');
        let (kind, name) =
            (parts.next().unwrap_or_default(), parts.next().unwrap_or("nobody").to_owned());
        let version = number(parts.next().unwrap_or_default());
        let mut accounts = locked(&self.accounts);
        let account = accounts.entry(name.clone()).or_default();
        let is_live = account.issued.is_some_and(|issued| issued.elapsed() < TOKEN_LIFE)
            && !account.is_revoked;
        let is_known = match kind {
            "at" => is_live && version == account.token,
            "sk" if version <= account.retired => {
                self.count(&name, "retired");
                false
            }
            "sk" => version > 0,
            _ => false,
        };
        if !is_known {
            return (name, Some(UNKNOWN));
        }
        let fault = account.fault.take();
        account.fault = fault.and_then(|(fault, left)| (left > 1).then_some((fault, left - 1)));
        (name, fault.map(|(fault, _)| fault))
    }

    fn models(&self, wire: &mut Wire, head: &Head) -> io::Result<()> {
        let is_known =
            head.field("authorization").is_some_and(|value| value.starts_with("Bearer "));
        let list = format!(
            r#"{{"object":"list","data":[{{"id":"{MODEL}","object":"model","owned_by":"bench"}}]}}"#
        );
        answer(wire, if is_known { 200 } else { 401 }, "", &list)
    }

    /// A refresh token is good for one use.
    fn refresh(&self, wire: &mut Wire, text: &str) -> io::Result<()> {
        let token = text.split('&').find_map(|pair| pair.strip_prefix("refresh_token=rt-"));
        let (name, version) =
            token.and_then(|token| token.split_once('-')).unwrap_or(("nobody", ""));
        let mut accounts = locked(&self.accounts);
        let account = accounts.entry(name.to_owned()).or_default();
        if version != account.token.to_string() {
            drop(accounts);
            self.count(name, "reused");
            return answer(wire, 400, "", r#"{"error":"invalid_grant"}"#);
        }
        account.token += 1;
        account.issued = Some(Instant::now());
        account.is_revoked = false;
        let (next, life_s) = (account.token, TOKEN_LIFE.as_secs());
        drop(accounts);
        self.count(name, "refresh");
        let grant = format!(
            r#"{{"access_token":"at-{name}-{next}","token_type":"Bearer","expires_in":{life_s},"refresh_token":"rt-{name}-{next}"}}"#
        );
        answer(wire, 200, "", &grant)
    }

    /// /_fault?key=K&kind=KIND&n=N: the next N requests of the account; 0 ends it. /_retire?key=K&through=VERSION.
    /// /_version?key=K: the last key in use, if each that is replaced is retired. /_release: ends the streams that are held.
    fn control(&self, target: &str) -> String {
        let of = |name| value_of(target, name).unwrap_or_default();
        let mut accounts = locked(&self.accounts);
        let account = accounts.entry(of("key").to_owned()).or_default();
        let fault = match of("kind") {
            "401" => Some(UNKNOWN),
            "429" => Some(Fault::Status(429, "429")),
            "500" => Some(Fault::Status(500, "500")),
            "close" => Some(Fault::Close),
            "drop" => Some(Fault::Drop),
            "slow" => Some(Fault::Slow),
            _ => None,
        };
        match target.split('?').next().unwrap_or_default() {
            "/_fault" if of("kind") == "revoke" => account.is_revoked = true,
            "/_fault" => {
                account.fault =
                    fault.map(|fault| (fault, number(of("n")))).filter(|(_, left)| *left > 0)
            }
            "/_retire" => account.retired = number(of("through")),
            "/_version" => return (account.retired + 1).to_string(),
            _ => _ = self.releases.fetch_add(1, Relaxed),
        }
        "ok".to_owned()
    }

    fn counters(&self) -> String {
        locked(&self.counts)
            .iter()
            .map(|((name, what), count)| format!("{name} {what} {count}\n"))
            .collect()
    }

    fn count(&self, name: &str, what: &'static str) {
        *locked(&self.counts).entry((name.to_owned(), what)).or_default() += 1;
    }
}

fn answer(wire: &mut Wire, status: u16, fields: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{fields}\r\n"
    );
    wire.stream.write_all((head + body).as_bytes())
}

/// About 1 KB.
fn completion(tag: &str) -> String {
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(17);
    format!(
        r#"{{"id":"chatcmpl-{tag}","object":"chat.completion","created":1,"model":"{MODEL}","choices":[{{"index":0,"message":{{"role":"assistant","content":"tag={tag} {text}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":9,"completion_tokens":170,"total_tokens":179}}}}"#
    )
}

fn delta(content: &str, reason: &str) -> String {
    format!(
        r#"{{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"{MODEL}","choices":[{{"index":0,"delta":{{"content":"{content}"}},"finish_reason":{reason}}}]}}"#
    )
}

/// One event in one chunk, in one write.
fn event(wire: &mut Wire, data: &str) -> io::Result<()> {
    let event = format!("data: {data}\n\n");
    wire.stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())
}
