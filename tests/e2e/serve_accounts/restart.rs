//! The gateway killed and started again: what it knew of accounts holds, and nothing is damaged.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::kit::{CHAT, Kit, LIMIT, SIGNED, chat, eventually, is_apart, retry_after, words};
use crate::support::many_api::{Does, Says};
use crate::support::sandbox::{make_private_dir, write_private};

#[test]
fn a_kill_under_load_loses_no_cool_down_and_damages_no_account() {
    let kit = Kit::new();
    kit.keys(CHAT, &["good", "limited"]);
    let names: Vec<String> = (0..4).map(|number| format!("s{number}")).collect();
    let renewals = || names.iter().map(|name| kit.api.renewals(name)).sum::<usize>();
    let mut key = None;
    for round in 0..5 {
        // Renewals are under way when the kill comes, and an answer that it loses is lost.
        for name in &names {
            kit.signed_in(name, 3_000);
            kit.api.expire(name);
        }
        let before = renewals();
        // Over its limit in this round, from its first answer on.
        kit.api.does_first("limited", [Does::Limit(Says::RetryAfter("3"))]);
        let serving = match key.take() {
            None => kit.serve(),
            Some(key) => kit.serve_with(key),
        };
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            // Also when this fails.
            let end = Flag(&is_over);
            for _ in 0..4 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        let _ = serving.try_ask(&chat());
                    }
                });
            }
            eventually("a renewal", LIMIT, || (renewals() > before).then_some(()));
            eventually("a cool-down on the disk", LIMIT, || limited_until(&kit));
            serving.running.kill("KILL");
            drop(end);
        });
        key = Some(serving.key.clone());
        drop(serving);

        let asked = kit.api.count("limited");
        let again = kit.serve_with(key.take().expect("it was set"));
        for _ in 0..30 {
            let page = again.ask(&chat());
            assert_eq!(page.status, 200, "round {round}: {page:#?}");
        }
        if limited_until(&kit).is_some() {
            assert_eq!(kit.api.count("limited"), asked, "round {round}: it cools down");
        }
        key = Some(again.key.clone());
        for name in &names {
            let file = kit.home.account_file(SIGNED, name);
            let stored = kit.home.read_json(&file);
            assert!(stored["refused"].is_null() || kit.api.reused() > 0, "{stored}");
            assert_eq!(stored["account"], json!(name));
            assert_eq!(kit.home.mode(&file), 0o600);
        }
        // What comes now is the next round's.
        drop(again);
        let _ = fs::remove_file(kit.home.home().join("serve/cooldowns.json"));
    }
}

/// Turns true when it goes.
struct Flag<'a>(&'a AtomicBool);

impl Drop for Flag<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// In milliseconds since 1970, if that is yet to come.
fn limited_until(kit: &Kit) -> Option<u64> {
    let text = fs::read_to_string(kit.home.home().join("serve/cooldowns.json")).ok()?;
    let file: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let all = file["cooldowns"].as_array().expect("a list").clone();
    let until_ms = all.iter().find(|one| one["account"] == "limited")?["until_ms"].as_u64()?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    (u128::from(until_ms) > now.expect("past 1970").as_millis()).then_some(until_ms)
}

#[test]
fn a_cool_down_goes_on_where_a_kill_interrupted_it() {
    let kit = Kit::new();
    kit.keys(CHAT, &["one"]);
    kit.api.does_first("one", [Does::Limit(Says::RetryAfter("3"))]);
    let first = kit.serve();
    assert_eq!(first.ask(&chat()).status, 429);
    let began = Instant::now();
    let file = kit.home.home().join("serve/cooldowns.json");
    assert_eq!(kit.home.mode(&file), 0o600);
    assert!(!kit.home.read(&file).contains("key-one"));
    first.running.kill("KILL");
    let second = kit.serve_with(first.key.clone());
    let page = second.ask(&chat());
    assert_eq!(page.status, 429, "{page:#?}");
    assert!(retry_after(&page) <= 3 && words(&page).contains("chat/one"), "{page:#?}");
    assert_eq!(kit.api.count("one"), 1);
    second.ask_until("an answer", &chat(), |page| page.status == 200);
    let asked = kit.api.asked();
    assert_eq!(asked.len(), 2);
    assert!(is_apart(asked[0].at, asked[1].at, 3_000) && began.elapsed() < Duration::from_secs(9));
}

#[test]
fn a_file_of_cool_downs_that_means_nothing_is_no_obstacle() {
    let far = json!({"version": 1, "cooldowns": [
        {"provider": CHAT, "account": "one", "model": null, "until_ms": i64::MAX,
            "level": u32::MAX, "reason": "\u{1b}[31mforeign"},
    ]});
    let texts = [
        String::new(),
        "{\"version\":1,\"cooldowns\":[{".to_owned(),
        "[]".to_owned(),
        "{\"version\":9,\"rows\":{}}".to_owned(),
        "\u{0}\u{1}".to_owned(),
        "x".repeat(100_000),
        json!({"version": 1, "cooldowns": [{"provider": CHAT, "account": "one"}]}).to_string(),
        json!({"version": 1, "cooldowns": [
            {"provider": "gone", "account": "x", "model": null, "until_ms": 1e15, "reason": ""},
        ]})
        .to_string(),
        far.to_string(),
    ];
    let kit = Kit::with(json!({"max_cooldown": 2}));
    kit.keys(CHAT, &["one"]);
    let folder = kit.home.home().join("serve");
    make_private_dir(&folder);
    let mut key = None;
    for text in texts {
        write_private(&folder.join("cooldowns.json"), &text);
        let serving = match key.take() {
            None => kit.serve(),
            Some(key) => kit.serve_with(key),
        };
        // No longer than the settings allow, whoever wrote it.
        let begun = Instant::now();
        serving.ask_until("an answer", &chat(), |page| page.status == 200);
        assert!(begun.elapsed() < Duration::from_secs(5), "{text}");
        assert!(!serving.running.stderr().contains("panicked"), "{}", serving.running.stderr());
        key = Some(serving.key.clone());
    }
}

#[test]
fn a_folder_that_cannot_be_written_costs_no_answer() {
    let kit = Kit::new();
    kit.keys(CHAT, &["good", "limited"]);
    kit.api.does("limited", Does::Limit(Says::RetryAfter("9")));
    let serving = kit.serve();
    // A folder in its place: no file can be put there.
    make_private_dir(&kit.home.home().join("serve/cooldowns.json"));
    for _ in 0..6 {
        assert_eq!(serving.answered_by(&chat()), "good");
    }
    assert_eq!(kit.api.count("limited"), 1);
}
