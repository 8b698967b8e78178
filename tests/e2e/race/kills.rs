//! Rounds of processes of which some are killed at random.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::support::command::Output;
use crate::support::idp::{Fault, Times};
use crate::support::running::Running;
use crate::token::place::{EXPIRED_S, Place, text};

const ROUNDS: usize = 100;
const PROCESSES: usize = 20;
/// No further round begins after this.
const BUDGET: Duration = Duration::from_secs(15);
const LIMIT: Duration = Duration::from_secs(30);
const SIGKILL: i32 = 9;

/// A xorshift generator: what is killed, and when.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let seed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.as_nanos() as u64);
        println!("seed {seed}");
        Dice(seed | 1)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % end
    }
}

#[test]
fn a_kill_at_any_moment_leaves_an_account_that_works_or_asks_for_a_sign_in() {
    let place = Place::new();
    let mut dice = Dice::new();
    let begun = Instant::now();
    let (mut rounds, mut lost) = (0, 0);
    while rounds < ROUNDS && begun.elapsed() < BUDGET {
        lost += usize::from(!survives(rounds, &place, &mut dice));
        rounds += 1;
    }
    println!("{rounds} rounds in {:?}, {lost} with a lost answer", begun.elapsed());
    assert!(rounds > 3, "{rounds} rounds in {:?}", begun.elapsed());
    let modes = place.home.listing();
    for file in place.home.files(&place.home.home()) {
        assert_eq!(place.home.mode(&file) & 0o077, 0, "{}\n{modes}", file.display());
    }
}

/// One round; whether the account can still be renewed.
fn survives(round: usize, place: &Place, dice: &mut Dice) -> bool {
    let account = format!("round{round}@example.com");
    place.signed_in_as(&account, EXPIRED_S);
    place.idp.clear_faults();
    place.idp.fault("token_refresh", Fault::Delay(dice.below(30) as u64), Times::Once);
    let (seen, reused) = (place.refreshes(), place.idp.count("refresh_reuse"));
    let mut running: Vec<Running> =
        (0..PROCESSES).map(|_| place.token_of(&account).spawn()).collect();
    if round.is_multiple_of(2) {
        // While the first one waits for its answer, or has it but has not written it yet.
        place.idp.wait_for("token_refresh", seen + 1);
    }
    let mut victims: Vec<usize> = (0..1 + dice.below(5)).map(|_| dice.below(PROCESSES)).collect();
    if round.is_multiple_of(4) {
        let lock_file = place.home.account_file(place.provider, &account).with_extension("lock");
        let holder = holder(&lock_file);
        victims.extend(running.iter().position(|child| Some(child.pid()) == holder));
    }
    for victim in victims.iter().rev() {
        thread::sleep(Duration::from_millis(dice.below(8) as u64));
        running[*victim].kill("KILL");
    }
    let outputs: Vec<Output> = running.drain(..).map(|child| child.wait(LIMIT)).collect();

    let stored = place.home.read_account(place.provider, &account);
    let can_refresh = place.idp.accepts_refresh(text(&stored, "refresh_token"));
    let was_reused = place.idp.count("refresh_reuse") > reused;
    for (at, output) in outputs.iter().enumerate() {
        let was_killed = victims.contains(&at) && output.signal == Some(SIGKILL);
        let is_clean = match output.status {
            Some(0) => output.stdout.lines().count() == 1 && output.stdout.ends_with('\n'),
            Some(4) => output.stdout.is_empty() && output.stderr.contains("  try: keyfob login "),
            _ => was_killed,
        };
        output.check(is_clean, &format!("round {round}: a token, a clean exit 4, or the kill"));
        output.stderr_lacks("panicked");
    }
    let after = place.token_of(&account).run();
    let stored = place.home.read_account(place.provider, &account);
    match after.status {
        Some(0) => {
            after.stdout_is(&format!("{}\n", text(&stored, "access_token")));
            // A killed process's request that arrives late spends the token a second time.
            let is_good = place.idp.accepts_access(text(&stored, "access_token"));
            after.check(is_good || was_reused, "a token the issuer takes");
        }
        _ => {
            after.code(4).stdout_is("").stderr_has("  try: keyfob login ");
            after.check(!can_refresh, "exit 4 only when the answer was lost");
        }
    }
    can_refresh
}

/// The process that holds the lock now, where the system tells.
fn holder(lock_file: &Path) -> Option<u32> {
    let inode = format!(":{}", fs::metadata(lock_file).ok()?.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(5)?.ends_with(&inode).then(|| words[4].parse().ok())?
    })
}
