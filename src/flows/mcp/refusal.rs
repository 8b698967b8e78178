//! Answers that are none: what a status means, and whether another try may help.

use crate::endpoint;
use crate::flows::mcp::errand::Errand;
use crate::flows::mcp::exchange::{Tries, protocol};
use crate::flows::mcp::fault::Fault;
use crate::flows::mcp::{Bridge, Transport, lock};
use crate::net::reply::Reply;
use crate::net::stream::Stream;
use crate::protocol::{challenge, jsonrpc};
use crate::secret::Secret;
use crate::text;

impl Bridge<'_> {
    /// 400, 404 or 405: a lost session, which is begun anew and the message sent again (true), the
    /// server's own JSON-RPC error, an older server, or no MCP endpoint at all.
    pub(super) fn is_worth_another_try(
        &self,
        errand: &Errand,
        stream: Stream,
        session: Option<Secret>,
        tries: &mut Tries,
    ) -> Result<bool, Fault> {
        let reply = stream.whole().map_err(|error| Fault::of_broken(&error))?;
        let is_about_session =
            reply.status == 404 || (reply.status == 400 && mentions_session(reply.body.expose()));
        let Some(session) = session.filter(|_| is_about_session) else {
            return self.refused(errand, &reply).map(|()| false);
        };
        if tries.has_restarted {
            let what = "the server forgot the session again";
            let fault = Fault::new(jsonrpc::SESSION_LOST, "session", what);
            return Err(fault.status(reply.status));
        }
        tries.has_restarted = true;
        self.restart(&session)?;
        Ok(true)
    }

    fn refused(&self, errand: &Errand, reply: &Reply) -> Result<(), Fault> {
        let status = reply.status;
        let body = reply.body.expose();
        let value = serde_json::from_str::<serde_json::Value>(body).unwrap_or_default();
        let own_error = errand.id().and_then(|id| jsonrpc::with_id(body, id));
        let is_certain = match value["error"]["code"].as_i64() {
            Some(jsonrpc::METHOD_NOT_FOUND | -32022..=-32020) => true,
            _ => !errand.is_first() || !value["id"].is_null(),
        };
        if let Some(line) = own_error.as_ref().filter(|_| is_certain) {
            self.answer(errand, &value, line);
            return Ok(());
        }
        if errand.is_first() && self.options.transport == Transport::Auto {
            let outcome = self.begin_older(errand, Some(status));
            // What the newer transport said is more than that there is no older one.
            return match (outcome, own_error) {
                (Err(fault), Some(line)) if fault.code == jsonrpc::NOT_MCP => {
                    self.answer(errand, &value, &line);
                    Ok(())
                }
                (outcome, _) => outcome,
            };
        }
        if errand.method() == "server/discover" {
            let fault = protocol("this server has no server/discover").status(status);
            return Err(Fault { code: jsonrpc::METHOD_NOT_FOUND, ..fault });
        }
        let what = format!("{} is no MCP endpoint (status {status})", self.options.url);
        Err(protocol(&what).status(status))
    }

    /// Any other status.
    pub(super) fn trouble(&self, status: u16, stream: &Stream) -> Fault {
        let host = endpoint::origin(&self.options.url).unwrap_or_default();
        match status {
            429 | 500.. => {
                let what = format!("{host} cannot answer now (status {status})");
                let fault = Fault::new(jsonrpc::UNREACHABLE, "network", what).status(status);
                Fault { retry_after_s: stream.head.retry_after_s, ..fault }
            }
            _ => protocol(&format!("{host} answered {status}")).status(status),
        }
    }

    /// A redirect within the origin is followed, with the token, from now on.
    pub(super) fn move_on(&self, url: &str, head: &Reply) -> Result<(), Fault> {
        let origin = endpoint::origin(url).unwrap_or_default();
        let place = head.header("location").unwrap_or_default();
        let target =
            if place.starts_with('/') { format!("{origin}{place}") } else { place.to_owned() };
        if endpoint::origin(&target).as_deref() != Some(&origin) {
            let what = format!("{origin} sends us to another server");
            return Err(protocol(&what).status(head.status));
        }
        lock(&self.state).moved = Some(target);
        Ok(())
    }

    /// 403: a scope is missing, which a sign-in may get, or there is no way.
    pub(super) fn forbidden(&self, stream: Stream, tries: &mut Tries) -> Result<(), Fault> {
        let challenge = challenge::bearer(stream.head.header_values("www-authenticate"));
        let wants_scope = challenge
            .as_ref()
            .is_some_and(|challenge| challenge.error.as_deref() == Some("insufficient_scope"));
        if let Some(challenge) = challenge.filter(|_| wants_scope) {
            let is_again = std::mem::replace(&mut tries.has_stepped_up, true);
            return self.step_up(challenge, is_again);
        }
        let status = stream.head.status;
        let body = stream.whole().map(|reply| text::harmless(reply.body.expose(), 200));
        let quote = body.ok().filter(|said| !said.is_empty() && !said.starts_with('<'));
        let quote = quote.map(|said| self.without_secrets(&said));
        let what = format!("the server does not allow it (status {status})");
        let fault = Fault::new(jsonrpc::NOT_ALLOWED, "forbidden", what).status(status);
        Err(quote.map_or(fault.clone(), |quote| fault.quoting(&quote)))
    }

    /// Some servers say back what they were sent, and a client may show it to a model.
    fn without_secrets(&self, said: &str) -> String {
        let token = self.token_at_hand();
        let state = lock(&self.state);
        let cookies = state.cookies.values().map(String::as_str);
        let headers = self.options.headers.iter().map(|(_, value)| value);
        let sent = headers.chain(&token).chain(&state.session).map(Secret::expose);
        // A header's value may be a word and the secret itself.
        let parts = sent.chain(cookies).flat_map(|text| text.split([' ', ',', ';', '=']));
        text::scrub(said, &parts.filter(|part| part.len() >= 8).collect::<Vec<_>>())
    }
}

fn mentions_session(body: &str) -> bool {
    let body = body.to_ascii_lowercase();
    let words = ["session id", "sessionid", "session not", "server not initialized"];
    words.iter().any(|word| body.contains(word))
}
