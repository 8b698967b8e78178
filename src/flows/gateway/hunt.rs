//! One prompt and the accounts that may answer it: whose turn it is, what came of it, who is next. It
//! ends with the first byte that goes to the caller, or when nobody is left.

use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::account::{Account, AccountId};
use crate::credential::Credential;
use crate::error::{Error, Result};
use crate::flows::fresh::Need;
use crate::flows::gateway::Gateway;
use crate::flows::gateway::forward::{
    Answer, Prompt, Refusal, conversation_of, in_short, pass_back, status_of, words_of,
};
use crate::flows::gateway::ledger::{Place, Wait};
use crate::flows::gateway::relay::{Relay, Relayed, passed_back, relay};
use crate::flows::gateway::roster::{Face, Member, Roster, Target};
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
use crate::store::CoolDown;
use crate::time::{Timestamp, duration_in_words};

/// The id of an answer stands within these.
const BEGINNING_BYTES: usize = 4 * 1024;
/// The caller went away: nginx's number for it, which no caller sees.
const GONE: u16 = 499;

pub struct Hunt<'a> {
    gateway: &'a Gateway,
    roster: &'a Roster,
    prompt: &'a Prompt,
    caller: Caller,
    targets: Vec<Target>,
    tried: Vec<Place>,
    /// Why each account did not answer.
    failures: Vec<(AccountId, String)>,
    /// The last answer that was none and no cool-down.
    last: Option<Last>,
    waited_ms: u64,
    /// Whether one of them was over its limit.
    is_limited: bool,
}

enum Last {
    Answer(Answer),
    Error(Error),
}

/// What became of one account.
enum Outcome {
    /// With what is still to come of the answer.
    Answered(u16, Option<Box<Relay>>),
    Gone,
    Failed(Verdict, Failure),
}

/// The status of an answer, and the rest of it.
pub type Won = (u16, Option<Box<Relay>>);

struct Failure {
    last: Last,
    why: String,
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

impl<'a> Hunt<'a> {
    pub fn new(
        gateway: &'a Gateway,
        roster: &'a Roster,
        prompt: &'a Prompt,
        caller: Caller,
        targets: Vec<Target>,
    ) -> Hunt<'a> {
        let (tried, failures) = Default::default();
        let (last, waited_ms, is_limited) = (None, 0, false);
        Hunt {
            gateway,
            roster,
            prompt,
            caller,
            targets,
            tried,
            failures,
            last,
            waited_ms,
            is_limited,
        }
    }

    /// The status that the caller got from a provider, and what is still to come; Err: what it is to be
    /// told instead.
    pub fn run(mut self) -> std::result::Result<Won, Refusal> {
        let mut stay = None;
        loop {
            let Some((target, place)) = self.choose(stay.take()) else {
                if self.wait_for_one() {
                    continue;
                }
                return self.give_up();
            };
            self.tried.push(place.clone());
            let is_new = self.bind(&place.id);
            let outcome = self.ask(&target, &place);
            let now_ms = Timestamp::now_ms();
            let is_error = !matches!(outcome, Outcome::Answered(..) | Outcome::Gone);
            self.gateway.ledger.count_account(&place.id, is_error, now_ms);
            match outcome {
                Outcome::Answered(status, rest) => {
                    if status < 400 {
                        self.gateway.ledger.recovered(&place, now_ms);
                    } else if let Some(name) = self.prompt.conversation.as_ref().filter(|_| is_new)
                    {
                        // What it goes on from may be with another account.
                        self.gateway.ledger.leaves(name, &place.id);
                    }
                    return Ok((status, rest));
                }
                Outcome::Gone => return Ok((GONE, None)),
                Outcome::Failed(verdict, failure) => {
                    if matches!(verdict, Verdict::CoolDown { is_whole_account: false, .. }) {
                        // Another of its projects or previews may do.
                        stay = Some(place.id.clone());
                    }
                    self.note(&place, &verdict, failure, now_ms);
                }
            }
        }
    }

    // ---- whose turn it is

    /// Before the answer is there: other prompts of the conversation may come meanwhile. Says whether
    /// it was with another account, or with none.
    fn bind(&self, id: &AccountId) -> bool {
        let name = self.prompt.conversation.as_ref();
        name.is_some_and(|name| self.gateway.ledger.belongs(name, id, Timestamp::now_ms()))
    }

    fn choose(&self, stay: Option<AccountId>) -> Option<(Target, Place)> {
        let now_ms = Timestamp::now_ms();
        let mut ready: Vec<(&Target, Place)> = Vec::new();
        for target in &self.targets {
            let free = |place: &Place| {
                !self.tried.contains(place)
                    && self.gateway.ledger.cools_until(place, now_ms).is_none()
            };
            if self.is_over_limit(&target.member.id) || !target.member.is_usable() {
                continue;
            }
            if let Some(place) = self.places(target).into_iter().find(free) {
                ready.push((target, place));
            }
        }
        let found = |id: &AccountId| {
            let mut fitting = ready.iter().filter(|(target, _)| target.member.id == *id);
            fitting.next().map(|(target, place)| ((*target).clone(), place.clone()))
        };
        if let Some(found) = stay.as_ref().and_then(&found) {
            return Some(found);
        }
        let first_rank = ready.iter().map(|(target, _)| target.rank).min()?;
        ready.retain(|(target, _)| target.rank == first_rank);
        let found = |id: &AccountId| {
            let mut fitting = ready.iter().filter(|(target, _)| target.member.id == *id);
            fitting.next().map(|(target, place)| ((*target).clone(), place.clone()))
        };
        let bound = self.prompt.conversation.as_ref();
        let bound = bound.map(|name| self.gateway.ledger.accounts_of(name, now_ms));
        if let Some(found) = bound.iter().flatten().find_map(&found) {
            return Some(found);
        }
        let highest = ready.iter().map(|(target, _)| target.member.priority()).max()?;
        let ids: Vec<&AccountId> = ready
            .iter()
            .filter(|(target, _)| target.member.priority() == highest)
            .map(|(target, _)| &target.member.id)
            .collect();
        let is_first = self.roster.settings.routing == super::settings::Routing::FillFirst;
        found(self.gateway.ledger.next(&ids, is_first)?)
    }

    fn is_over_limit(&self, id: &AccountId) -> bool {
        let limit = self.roster.settings.max_retry_credentials;
        let mut asked: Vec<&AccountId> = self.tried.iter().map(|place| &place.id).collect();
        asked.sort();
        asked.dedup();
        limit > 0 && asked.len() >= limit && !asked.contains(&id)
    }

    /// Where an account may be asked for the model, the usual place first: with each of its projects, and
    /// for each preview that stands in.
    fn places(&self, target: &Target) -> Vec<Place> {
        let settings = &self.roster.settings;
        let mut projects = vec![None];
        if settings.switch_project
            && let Some(face) = target.member.face(self.prompt.dialect)
            && project_fact(face).is_some()
        {
            projects.extend(target.member.projects().into_iter().map(Some));
        }
        let mut models = vec![target.model.clone()];
        if settings.switch_preview_model {
            models.extend(previews(&target.member, &target.model, self.roster));
        }
        let id = &target.member.id;
        let mut places = Vec::new();
        for model in models {
            for project in &projects {
                let (id, model) = (id.clone(), Some(model.clone()));
                places.push(Place { id, model, project: project.clone() });
            }
        }
        places
    }

    // ---- one account

    fn ask(&self, target: &Target, place: &Place) -> Outcome {
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
                    let caller = &self.caller;
                    return match relay(stream, account, caller, envelope, keepalive_s, &mut hear) {
                        Relayed::Done => Outcome::Answered(status, None),
                        Relayed::Begun(rest) => Outcome::Answered(status, Some(rest)),
                        Relayed::Broken => Outcome::Gone,
                        Relayed::NotBegun(_) if self.caller.is_gone() => Outcome::Gone,
                        Relayed::NotBegun(error) => {
                            let error = error.unwrap_or_else(|| {
                                Error::temporary("the answer began with an error")
                            });
                            Outcome::Failed(Verdict::Elsewhere, Failure::of(error))
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
            _ => std::borrow::Cow::Borrowed(account),
        };
        let moved = in_project(account, face, place.project.as_deref());
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
            return match pass_back(&self.caller, &answer) {
                Ok(()) => Outcome::Answered(answer.status, None),
                Err(_) => Outcome::Gone,
            };
        }
        Outcome::Failed(verdict, Failure { last: Last::Answer(answer), why })
    }

    // ---- what is learned

    fn note(&mut self, place: &Place, verdict: &Verdict, failure: Failure, now_ms: i64) {
        let Failure { last, why } = failure;
        let whole = || Place { id: place.id.clone(), model: None, project: None };
        let (place_of, wait) = match verdict {
            Verdict::CoolDown { wait_ms, is_whole_account } => {
                self.is_limited = true;
                let place = if *is_whole_account { whole() } else { place.clone() };
                (place, wait_ms.map_or(Wait::Doubling, Wait::Named))
            }
            Verdict::SignIn if matches!(last, Last::Answer(_)) => (whole(), Wait::TurnedAway),
            Verdict::Elsewhere | Verdict::Pass | Verdict::SignIn => {
                self.failures.push((place.id.clone(), why));
                self.last = Some(last);
                return;
            }
        };
        let cap_s = self.roster.settings.max_cooldown;
        let reason = crate::text::harmless(&why, 80);
        let store = &self.gateway.store;
        self.gateway.ledger.cool_down(&place_of, wait, cap_s, &reason, now_ms, store);
        self.failures.push((place.id.clone(), why));
        if matches!(verdict, Verdict::SignIn) {
            self.last = Some(last);
        }
    }

    // ---- nobody is left

    /// When the first of the accounts may be asked again.
    fn shortest_wait_ms(&self, now_ms: i64) -> Option<u64> {
        let places = self.targets.iter().filter(|t| t.member.is_usable());
        let places = places.flat_map(|target| self.places(target));
        let waits = places.filter_map(|place| self.gateway.ledger.cools_until(&place, now_ms));
        waits.map(|until| u64::try_from(until - now_ms).unwrap_or(0)).min()
    }

    /// Waits for the end of a cool-down, where the settings allow so long a wait.
    fn wait_for_one(&mut self) -> bool {
        let limit_ms = self.roster.settings.max_retry_interval.saturating_mul(1_000);
        let now_ms = Timestamp::now_ms();
        let Some(wait_ms) = self.shortest_wait_ms(now_ms).filter(|_| self.last.is_none()) else {
            return false;
        };
        if self.waited_ms.saturating_add(wait_ms) > limit_ms {
            return false;
        }
        self.waited_ms += wait_ms.max(1);
        let until_ms = now_ms + i64::try_from(wait_ms).unwrap_or(0) + 5;
        while Timestamp::now_ms() < until_ms {
            thread::sleep(Duration::from_millis(50).min(Duration::from_millis(wait_ms + 1)));
            if self.caller.is_gone() {
                return false;
            }
        }
        self.tried.clear();
        true
    }

    fn give_up(self) -> std::result::Result<Won, Refusal> {
        let now_ms = Timestamp::now_ms();
        let states = self.states(now_ms);
        let model = crate::text::harmless(&self.prompt.model, 120);
        match self.last {
            // A redirect would take the caller's key along, and a page is no answer.
            Some(Last::Answer(ref answer)) if answer.status < 400 => {
                let what = format!("no account could answer for {model}: {states}");
                return Err(Refusal::new(502, what));
            }
            // Its own words are the best there are.
            Some(Last::Answer(ref answer)) if answer.status != 401 && answer.status < 600 => {
                if answer.body.is_empty() {
                    return Err(Refusal::new(answer.status, states));
                }
                let is_sent = pass_back(&self.caller, answer).is_ok();
                return Ok((if is_sent { answer.status } else { GONE }, None));
            }
            Some(Last::Error(ref error)) if !matches!(error, Error::SignIn { .. }) => {
                let what = format!("no account could answer for {model}: {states}");
                return Err(Refusal::new(status_of(error), what));
            }
            _ => {}
        }
        // A wait may be shorter than the time that the other accounts took.
        let wait_ms = self.shortest_wait_ms(now_ms).or(self.is_limited.then_some(1));
        if let Some(wait_ms) = wait_ms.filter(|_| !self.is_all_turned_away()) {
            let what = format!("every account for {model} is cooling down: {states}");
            let retry_after_s = Some(wait_ms.div_ceil(1_000).max(1));
            return Err(Refusal { retry_after_s, ..Refusal::new(429, what) });
        }
        Err(Refusal::new(503, format!("no account can answer for {model}: {states}")))
    }

    /// Whether waiting will not help, as no credential is accepted.
    fn is_all_turned_away(&self) -> bool {
        let now_ms = Timestamp::now_ms();
        self.targets.iter().all(|target| {
            let cooling = self.gateway.ledger.cooling(&target.member.id, now_ms);
            !target.member.is_usable() || cooling.iter().any(|one| one.is_turned_away)
        })
    }

    /// Each account and what is the matter with it.
    fn states(&self, now_ms: i64) -> String {
        let mut told: Vec<String> = Vec::new();
        let mut seen: Vec<&AccountId> = Vec::new();
        for target in &self.targets {
            let id = &target.member.id;
            if seen.contains(&id) {
                continue;
            }
            seen.push(id);
            told.push(format!("{id}: {}", self.state(target, now_ms)));
        }
        told.join("; ")
    }

    fn state(&self, target: &Target, now_ms: i64) -> String {
        let id = &target.member.id;
        if target.member.is_refused() {
            return format!("sign-in needed; try: {}", id.login_command());
        }
        let places = self.places(target);
        let is_meant = |one: &CoolDown| {
            one.model.is_none() || places.iter().any(|place| place.model == one.model)
        };
        let cooling = self.gateway.ledger.cooling(id, now_ms);
        match cooling.into_iter().find(is_meant) {
            Some(one) if one.is_turned_away => {
                let account = target.member.account();
                let next = account.map_or(id.login_command(), |account| api::login_again(&account));
                format!("turned away ({}); try: {next}", one.reason)
            }
            Some(one) => {
                let seconds = (one.until_ms - now_ms + 999) / 1_000;
                format!("cooling down {} ({})", duration_in_words(seconds), one.reason)
            }
            None => {
                let failure = self.failures.iter().rev().find(|(failed, _)| failed == id);
                failure.map_or("not asked".to_owned(), |(_, why)| why.clone())
            }
        }
    }
}

/// The fact of an account that names its project, where the API has one.
fn project_fact(face: &Face) -> Option<&'static str> {
    match face.dialect {
        Dialect::CodeAssist => Some("project_id"),
        Dialect::AnthropicMessages
        | Dialect::GeminiGenerateContent
        | Dialect::OpenaiChat
        | Dialect::OpenaiResponses => {
            let base = face.row.api.as_ref().map_or("", |api| api.base.as_str());
            base.contains("{project}").then_some("project")
        }
    }
}

/// The account, and its API's address, in another of its projects.
fn in_project(account: &Account, face: &Face, project: Option<&str>) -> Option<(Account, String)> {
    let (fact, project) = (project_fact(face)?, project?);
    let mut account = account.clone();
    account.extra.insert(fact.to_owned(), Value::from(project));
    let base = crate::protocol::attach::api_base(&account, &face.row)?;
    Some((account, base))
}

/// Models that stand in for another: those of the settings, then the newest previews of its list.
fn previews(member: &Member, model: &str, roster: &Roster) -> Vec<String> {
    let named = roster.settings.preview_models.get(model).cloned().unwrap_or_default();
    let begin = format!("{model}-preview");
    let models = member.models();
    let listed = models.iter().flat_map(|all| all.iter()).map(|model| &model.id);
    let mut listed: Vec<_> =
        listed.filter(|id| id.starts_with(&begin) && !named.contains(id)).cloned().collect();
    listed.sort_by(|a, b| b.cmp(a));
    named.into_iter().chain(listed).collect()
}
