//! Many requests while accounts fail: the clients do not notice.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::kit::{CHAT, Kit, LIMIT, Prompt, SIGNED, Serving, chat, eventually, is_apart};
use crate::support::many_api::{Asked, Does, Renews, Says};
use crate::support::sandbox::write_private;

const THREADS: usize = 8;

/// Asks so often in all; gives what was no good answer.
fn ask_often(serving: &Serving, count: usize, prompt: &Prompt) -> Vec<String> {
    let left = AtomicUsize::new(count);
    let take = || left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
    let ask = || {
        let mut wrong = Vec::new();
        while take().is_ok() {
            match serving.try_ask(prompt) {
                Ok(page) if page.status == 200 && page.body.contains("from ") => {}
                Ok(page) => wrong.push(format!("{page:?}")),
                Err(error) => wrong.push(error.to_string()),
            }
        }
        wrong
    };
    thread::scope(|scope| {
        let asking: Vec<_> = (0..THREADS).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().flat_map(|one| one.join().expect("no panic")).collect()
    })
}

/// The prompts, in groups that came while the first of them was not answered yet.
fn bursts(asked: &[Asked]) -> Vec<Vec<Instant>> {
    let mut bursts: Vec<Vec<Instant>> = Vec::new();
    for one in asked {
        match bursts.last_mut() {
            Some(last) if !is_apart(last[0], one.at, 1_000) => last.push(one.at),
            _ => bursts.push(vec![one.at]),
        }
    }
    bursts
}

#[test]
fn three_accounts_that_fail_in_three_ways_cost_no_client_an_answer() {
    let kit = Kit::new();
    kit.keys(CHAT, &["broken", "limited"]);
    let old = kit.signed_in("healing", 3_000);
    kit.api.expire("healing");
    kit.api.does("limited", Does::Limit(Says::RetryAfter("2")));
    kit.api.does("broken", Does::Refuse(500, "Internal server error"));
    let serving = kit.serve();
    let begun = Instant::now();
    let wrong = ask_often(&serving, 1_000, &chat());
    println!("1000 requests in {:?}", begun.elapsed());
    assert!(wrong.is_empty(), "{} of 1000, such as {}", wrong.len(), wrong[0]);

    // One refresh, whatever came while it was under way.
    assert_eq!(kit.api.renewals("healing"), 1);
    assert_eq!(kit.api.reused(), 0);
    let (turned_away, taken): (Vec<_>, Vec<_>) = kit
        .api
        .asked_of("healing")
        .into_iter()
        .partition(|asked| asked.credential == old.access_token);
    assert!((1..=THREADS).contains(&turned_away.len()), "{}", turned_away.len());
    assert_eq!(taken.len(), 1_000);
    assert!(kit.api.count("broken") > 0);

    // Again after two seconds, not before; in any of them no more than were under way at the time.
    eventually("the limited account is asked again", LIMIT, || {
        let wrong = ask_often(&serving, THREADS, &chat());
        assert!(wrong.is_empty(), "{wrong:?}");
        (bursts(&kit.api.asked_of("limited")).len() > 2).then_some(())
    });
    let bursts = bursts(&kit.api.asked_of("limited"));
    for (at, burst) in bursts.iter().enumerate() {
        assert!(burst.len() <= THREADS, "burst {at} of {}", burst.len());
        let next = bursts.get(at + 1);
        assert!(next.is_none_or(|next| is_apart(burst[0], next[0], 2_000)), "after burst {at}");
    }
}

/// The tokens of all are taken back at once and again, one account is over its limit now and then, one
/// hangs up.
#[test]
fn accounts_that_fail_at_random_cost_no_client_an_answer() {
    let kit = Kit::new();
    kit.keys(CHAT, &["moody", "rude"]);
    kit.signed_in("one", 3_000);
    kit.signed_in("two", 3_000);
    let mut count = 0;
    kit.api.plays("moody", move |_| {
        count += 1;
        match count % 5 {
            0 => Does::Limit(Says::RetryAfterMs(50)),
            1 => Does::Refuse(503, "unavailable"),
            2 => Does::Page(502),
            _ => Does::Answer,
        }
    });
    let mut count = 0;
    kit.api.plays("rude", move |_| {
        count += 1;
        match count % 4 {
            0 => Does::HangUp,
            1 => Does::HangUpAfterHead,
            2 => Does::BeginWithError,
            _ => Does::Answer,
        }
    });
    let serving = kit.serve();
    for round in 1..=3 {
        let wrong = ask_often(&serving, 200, &chat().streamed());
        assert!(wrong.is_empty(), "{} of 200, such as {}", wrong.len(), wrong[0]);
        for account in ["one", "two"] {
            assert_eq!(kit.api.renewals(account), round - 1, "{account}");
            kit.api.expire(account);
        }
    }
    assert_eq!(kit.api.reused(), 0);
}

/// Keys change, files are written in place, removed and put back, damaged for a moment; tokens end;
/// settings change. One account is always good.
#[test]
fn accounts_that_are_replaced_under_load_cost_no_client_an_answer() {
    let kit = Kit::new();
    kit.keys(CHAT, &["steady", "changing", "coming", "damaged"]);
    kit.signed_in("token", 3_000);
    let serving = kit.serve();
    let is_over = AtomicBool::new(false);
    let rounds = thread::scope(|scope| {
        let changing = scope.spawn(|| {
            let mut round = 0;
            while !is_over.load(Ordering::SeqCst) {
                round += 1;
                change(&kit, round);
            }
            round
        });
        let mut wrong = Vec::new();
        for prompt in [chat(), chat().streamed(), chat()] {
            wrong.extend(ask_often(&serving, 400, &prompt));
        }
        is_over.store(true, Ordering::SeqCst);
        assert!(wrong.is_empty(), "{} of 1200, such as {}", wrong.len(), wrong[0]);
        changing.join().expect("no panic")
    });
    println!("{rounds} rounds");
    assert!(rounds > 2 && kit.api.reused() == 0);
    let said = serving.running.stderr();
    assert!(!said.contains("panicked"), "{said}");
}

fn change(kit: &Kit, round: usize) {
    let old = if round == 1 { "changing".to_owned() } else { format!("changing-{}", round - 1) };
    let (key, name) = (format!("key-changing-{round}"), format!("changing-{round}"));
    kit.api.knows(&key, &name);
    kit.key_is(CHAT, "changing", &key, json!({"attributes": {"priority": round % 3}}));
    kit.api.expire(&old);
    kit.api.expire("token");
    let damaged = kit.home.account_file(CHAT, "damaged");
    let whole = kit.home.read(&damaged);
    write_private(&damaged, &whole[..whole.len() / 2]);
    let coming = kit.home.account_file(CHAT, "coming");
    let _ = fs::remove_file(&coming);
    let routing = if round.is_multiple_of(2) { "fill-first" } else { "round-robin" };
    kit.configure(json!({"routing": routing}));
    // Long enough for the gateway to see it in some rounds, and not in others.
    thread::sleep(Duration::from_millis(100 * (round as u64 % 4)));
    write_private(&damaged, &whole);
    kit.keys(CHAT, &["coming"]);
}

#[test]
fn thirty_requests_on_an_expired_token_make_one_refresh() {
    let kit = Kit::new();
    kit.signed_in("one", -60);
    kit.api.renews("one", Renews::Well);
    let serving = kit.serve();
    let begun: Vec<_> = (0..30).map(|_| serving.begin(&chat())).collect();
    for stream in begun {
        let answer = super::kit::rest(stream);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    assert_eq!((kit.api.renewals("one"), kit.api.reused()), (1, 0));
    assert_eq!(kit.api.count("one"), 30);
    let token = kit.home.cmd(&["token", SIGNED]).run();
    token.ok().stdout_is(&format!("{}\n", kit.api.asked()[0].credential));
    assert_eq!(kit.stored("one")["access_token"], json!(token.line()));
    assert_eq!(kit.api.renewals("one"), 1);
}
