//! What can go wrong on purpose, and how long it lasts.

use std::collections::HashMap;

use serde_json::Value;

/// One way for an endpoint to misbehave. Where nothing else is said the request is *not* carried
/// out: no code is spent, no token rotates.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This answer, whatever was asked.
    Body { status: u16, content_type: String, body: String },
    /// Carried out; the body ends half way though its length was announced.
    CutShort,
    /// Carried out after so many milliseconds.
    Delay(u64),
    /// The connection closes after the request was read.
    Drop,
    /// Carried out (tokens rotate), then the connection closes without an answer.
    DropAfterWork,
    /// 200 with no body.
    Empty,
    /// Never answered; ends when the client goes away.
    Hang,
    /// A page of HTML with this status: a proxy, a captive portal, a block page.
    Html(u16),
    /// An OAuth error; from `authorize` it travels in the redirect and the status is ignored.
    OauthError { code: String, status: u16 },
    /// Carried out; then these keys replace those of the JSON answer, `null` removes one.
    Patch(Value),
    /// 307 to another URL.
    Redirect(String),
    /// This status with a Retry-After header.
    RetryAfter(u16, String),
    /// This status with a JSON body that is no OAuth error.
    Status(u16),
    /// Carried out; the answer's body comes a byte at a time with so many milliseconds between.
    Trickle(u64),
    /// 200 and half of a JSON object, complete as far as HTTP can tell.
    Truncated,
}

impl Fault {
    pub fn body(status: u16, content_type: &str, body: impl Into<String>) -> Self {
        Fault::Body { status, content_type: content_type.into(), body: body.into() }
    }

    pub fn json(status: u16, value: &Value) -> Self {
        Fault::body(status, "application/json", value.to_string())
    }

    pub fn oauth_error(code: &str, status: u16) -> Self {
        Fault::OauthError { code: code.into(), status }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Times {
    Always,
    Count(usize),
    Once,
}

/// The faults waiting for each role; the oldest is used up first.
#[derive(Default)]
pub struct Faults(HashMap<String, Vec<(Fault, Times)>>);

impl Faults {
    pub fn add(&mut self, role: &str, fault: Fault, times: Times) {
        self.0.entry(role.into()).or_default().push((fault, times));
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault this request gets, if any.
    pub fn take(&mut self, role: &str) -> Option<Fault> {
        let queue = self.0.get_mut(role)?;
        let (fault, times) = queue.first_mut()?;
        let fault = fault.clone();
        let left = match *times {
            Times::Always => return Some(fault),
            Times::Count(count) => count.saturating_sub(1),
            Times::Once => 0,
        };
        if left == 0 {
            queue.remove(0);
        } else {
            *times = Times::Count(left);
        }
        Some(fault)
    }
}
