//! One account asked for one answer: its token, the request, and what the answer means.

use std::borrow::Cow;

use crate::account::{Account, AccountId};
use crate::credential::Credential;
use crate::error::{Error, Result};
use crate::flows::fresh::Need;
use crate::flows::gateway::forward::{
    Answer, Prompt, conversation_of, in_short, pass_back, words_of,
};
use crate::flows::gateway::ledger::Place;
use crate::flows::gateway::member::{Face, Member};
use crate::flows::gateway::relay::{Relay, Relayed, passed_back, relay};
use crate::flows::gateway::roster::{Roster, Target};
use crate::flows::gateway::{Gateway, places};
use crate::flows::{api, project};
use crate::net::serve::Caller;
use crate::net::stream::Stream;
use crate::net::{hangup, heartbeat};
use crate::protocol::gateway::body;
use crate::protocol::gateway::envelope::Envelope;
use crate::protocol::gateway::limits::{self, Seen, Verdict};
use crate::protocol::gateway::onward::{self, Asked, With};
use crate::protocol::session;
use crate::provider::Dialect;
use crate::time::Timestamp;

/// The id of an answer stands within these.
const BEGINNING_BYTES: usize = 4 * 1024;

/// What an account gave in place of an answer.
pub enum Last {
    Answer(Answer),
    Error(Error),
}

/// What became of one account.
pub enum Outcome {
    /// With what is still to come of the answer.
    Answered(u16, Option<Box<Relay>>),
    Gone,
    Failed(Verdict, Failure),
}

pub struct Failure {
    pub last: Last,
    /// In a few words.
    pub why: String,
}

impl Failure {
    fn of(error: Error) -> Failure {
        let why = match &error {
            Error::SignIn { why, next, .. } => in_short(&format!("{why}; try: {next}")),
            other => in_short(other),
        };
        Failure { why, last: Last::Error(error) }
    }
}

/// What every account is asked with.
pub struct Attempt<'a> {
    pub gateway: &'a Gateway,
    pub roster: &'a Roster,
    pub prompt: &'a Prompt,
    pub caller: &'a Caller,
}

impl Attempt<'_> {
    pub fn ask(&self, target: &Target, place: &Place) -> Outcome {
        let known = target.member.face(self.prompt.dialect).zip(target.member.account());
        let Some((face, known)) = known else {
            let error = Error::temporary("it went away");
            return Outcome::Failed(Verdict::Elsewhere, Failure::of(error));
        };
        let (mut account, mut need, mut is_first) = (known, Need::Usual, true);
        loop {
            account = match self.fresh(account, need, &target.member) {
                Ok(account) => account,
                Err(error) => {
                    let is_out = matches!(error, Error::SignIn { .. });
                    let verdict = if is_out { Verdict::SignIn } else { Verdict::Elsewhere };
                    return Outcome::Failed(verdict, Failure::of(error));
                }
            };
            let outcome = self.ask_with(&account, face, place);
            if !is_first || !matches!(outcome, Outcome::Failed(Verdict::SignIn, _)) {
                return outcome;
            }
            is_first = false;
            if account.can_refresh() {
                // Ended before its time: renewed once, and asked again.
                need = Need::Renewed;
            } else if let Some(successor) = self.successor(&account) {
                account = successor;
            } else {
                return outcome;
            }
        }
    }

    /// The account with what somebody gave it while its credential was on its way.
    fn successor(&self, account: &Account) -> Option<Account> {
        let roster = self.gateway.roster();
        let member = roster.members.iter().find(|member| member.id == account.id)?;
        member.account().filter(|now| now.secret() != account.secret())
    }

    fn fresh(&self, account: Account, need: Need, member: &Member) -> Result<Account> {
        let before = account.secret().clone();
        let tools = self.gateway.tools(self.roster);
        let fresh = self.gateway.renewals.fresh(account, need, &tools)?;
        if *fresh.account.secret() != before {
            member.replace(fresh.account.clone());
        }
        Ok(fresh.account)
    }

    fn ask_with(&self, account: &Account, face: &Face, place: &Place) -> Outcome {
        match self.opened(account, face, place) {
            Ok((stream, envelope)) => {
                let status = stream.head.status;
                api::keep_rotated(account, &stream.head, &self.gateway.store);
                let is_page = stream.head.content_type == "text/html";
                if (200..300).contains(&status) && !is_page {
                    let keepalive_s = self.roster.settings.keepalive;
                    let mut hear = self.listener(&account.id);
                    let caller = self.caller;
                    return match relay(stream, account, caller, envelope, keepalive_s, &mut hear) {
                        Relayed::Done => Outcome::Answered(status, None),
                        Relayed::Begun(rest) => Outcome::Answered(status, Some(rest)),
                        Relayed::Broken => Outcome::Gone,
                        Relayed::NotBegun(_) if self.caller.is_gone() => Outcome::Gone,
                        Relayed::NotBegun(error) => {
                            let none = || Error::temporary("the stream ended without an answer");
                            let failure = Failure::of(error.unwrap_or_else(none));
                            // Some repeat what they were sent.
                            let why = api::scrubbed(account, &failure.why);
                            Outcome::Failed(Verdict::Elsewhere, Failure { why, ..failure })
                        }
                    };
                }
                self.judge(stream, account)
            }
            Err(_) if self.caller.is_gone() => Outcome::Gone,
            Err(error) if error.exit_code() == 2 => {
                let body = String::new();
                let last = Last::Answer(Answer { status: 400, headers: Vec::new(), body });
                Outcome::Failed(Verdict::Pass, Failure { last, why: in_short(&error) })
            }
            Err(error) => Outcome::Failed(Verdict::Elsewhere, Failure::of(error)),
        }
    }

    /// Whoever goes on from an answer of Responses names it, and only the account that gave it has it.
    fn listener(&self, id: &AccountId) -> impl FnMut(&[u8]) {
        let mut client = self.prompt.client_of_answers.as_ref();
        let mut beginning = Vec::new();
        move |piece| {
            let Some(name) = client else { return };
            beginning.extend_from_slice(piece);
            let answer = body::response_id(&beginning);
            if answer.is_some() || beginning.len() > BEGINNING_BYTES {
                client = None;
            }
            if let Some(answer) = answer {
                let name = conversation_of(name, &answer);
                self.gateway.ledger.belongs(&name, id, Timestamp::now_ms());
            }
        }
    }

    /// Once more if the connection was one that had ended since its last use: that is no account's fault.
    fn opened(&self, account: &Account, face: &Face, place: &Place) -> Result<(Stream, Envelope)> {
        hangup::was_stale();
        match self.open(account, face, place) {
            Err(_) if hangup::was_stale() && !self.caller.is_gone() => {
                self.open(account, face, place)
            }
            outcome => outcome,
        }
    }

    fn open(&self, account: &Account, face: &Face, place: &Place) -> Result<(Stream, Envelope)> {
        let account = &*match face.dialect {
            Dialect::CodeAssist if place.project.is_none() => {
                project::filled_in(account, &face.row, &self.gateway.errands)?
            }
            _ => Cow::Borrowed(account),
        };
        let moved = places::in_project(account, face, place.project.as_deref());
        let (account, base) = moved.as_ref().map_or((account, &face.base), |(a, b)| (a, b));
        let asked = Asked {
            route: &self.prompt.route,
            query: &self.prompt.query,
            headers: &self.prompt.headers,
            body: &self.prompt.body,
            pass_headers: &self.roster.settings.pass_headers,
            id: &self.prompt.id,
        };
        let model = place.model.as_deref().unwrap_or(&self.prompt.model);
        let with = With { account, row: &face.row, base, dialect: face.dialect, model };
        let (request, envelope) = onward::request(&asked, &with)?;
        api::check_host(account, &request.uri().to_string())?;
        let limit_s = self.roster.settings.upstream_timeout.max(1);
        let caller = self.caller.clone();
        let stream = heartbeat::during(
            move || !caller.is_gone(),
            || self.gateway.relay.open_patient(request, limit_s, Some(limit_s)),
        )?;
        Ok((stream, envelope))
    }

    /// What an answer that is not good means.
    fn judge(&self, stream: Stream, account: &Account) -> Outcome {
        let headers = passed_back(&stream.head, account);
        let reply = match stream.whole() {
            Ok(reply) if reply.too_long => {
                let error = Error::temporary("an error answer of more than 1 MiB");
                return Outcome::Failed(Verdict::Elsewhere, Failure::of(error));
            }
            Ok(reply) => reply,
            Err(error) => return Outcome::Failed(Verdict::Elsewhere, Failure::of(error)),
        };
        let header = |name: &str| reply.header(name).map(str::to_owned);
        let seen = Seen {
            status: reply.status,
            content_type: &reply.content_type,
            retry_after_s: reply.retry_after_s,
            header: &header,
            body: reply.body.expose(),
        };
        let is_session =
            matches!(account.credential, Credential::Cookie(..) | Credential::Bearer(..));
        let is_out = session::is_signed_out(reply.status, &reply.content_type, &reply.body);
        let verdict = match is_session && is_out {
            true => Verdict::SignIn,
            false => limits::verdict(&seen, Timestamp::now()),
        };
        let body = api::scrubbed(account, reply.body.expose());
        let words = words_of(&body);
        let why = if words.is_empty() { String::new() } else { format!(": {words}") };
        let why = format!("status {}{why}", reply.status);
        let answer = Answer { status: reply.status, headers, body };
        if verdict == Verdict::Pass {
            return match pass_back(self.caller, &answer) {
                Ok(()) => Outcome::Answered(answer.status, None),
                Err(_) => Outcome::Gone,
            };
        }
        Outcome::Failed(verdict, Failure { last: Last::Answer(answer), why })
    }
}
