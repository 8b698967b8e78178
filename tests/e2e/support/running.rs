//! A child that is still running: its lines as they come, its stdin, its end.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::command::Output;

/// After the child ended, a grandchild may hold the streams open; nobody waits longer for it.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

pub struct Running {
    command: String,
    home: PathBuf,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Stream,
    stderr: Stream,
}

impl Running {
    pub fn new(command: String, home: PathBuf, mut child: Child) -> Self {
        let stdin = child.stdin.take();
        let stdout = Stream::read(child.stdout.take().expect("stdout is piped"));
        let stderr = Stream::read(child.stderr.take().expect("stderr is piped"));
        Running { command, home, child, stdin, stdout, stderr }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What came so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// The first whole line of stderr that contains the text, also one that came earlier.
    #[track_caller]
    pub fn stderr_line_containing(&self, needle: &str, limit: Duration) -> String {
        match self.stderr.line_containing(needle, limit) {
            Some(line) => line,
            None => panic!("no line with {needle:?} on stderr\n{}", self.so_far()),
        }
    }

    #[track_caller]
    pub fn stdout_line_containing(&self, needle: &str, limit: Duration) -> String {
        match self.stdout.line_containing(needle, limit) {
            Some(line) => line,
            None => panic!("no line with {needle:?} on stdout\n{}", self.so_far()),
        }
    }

    /// The sign-in URL: the first line of stderr that is a URL and nothing else.
    #[track_caller]
    pub fn auth_url(&self) -> String {
        match self.stderr.line(Duration::from_secs(20), |line| {
            (line.starts_with("http://") || line.starts_with("https://")) && !line.contains(' ')
        }) {
            Some(line) => line,
            None => panic!("no URL alone on its line on stderr\n{}", self.so_far()),
        }
    }

    /// A child that no longer reads is no failure of the test.
    pub fn write_stdin(&mut self, text: impl AsRef<[u8]>) {
        if let Some(stdin) = &mut self.stdin {
            let _ = stdin.write_all(text.as_ref()).and_then(|()| stdin.flush());
        }
    }

    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Sends a signal by name: "INT", "TERM", "KILL".
    pub fn kill(&self, signal: &str) {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(status.is_ok_and(|s| s.success()), "cannot send {signal} to {pid}");
    }

    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Waits for the end; past the limit the child is killed and the test fails.
    #[track_caller]
    pub fn wait(mut self, limit: Duration) -> Output {
        let deadline = Instant::now() + limit;
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(3)),
                other => {
                    let _ = self.child.kill();
                    panic!("still running after {limit:?} ({other:?})\n{}", self.so_far());
                }
            }
        };
        self.stdout.drain(DRAIN_LIMIT);
        self.stderr.drain(DRAIN_LIMIT);
        Output {
            command: self.command.clone(),
            stdout: self.stdout(),
            stderr: self.stderr(),
            status: status.code(),
            signal: status.signal(),
            home: self.home.clone(),
        }
    }

    fn so_far(&self) -> String {
        let (command, home) = (self.command.clone(), self.home.clone());
        let (stdout, stderr) = (self.stdout(), self.stderr());
        Output { command, stdout, stderr, status: None, signal: None, home }.report()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The bytes of one stream, gathered by a thread of its own.
#[derive(Clone)]
struct Stream(Arc<(Mutex<Gathered>, Condvar)>);

#[derive(Default)]
struct Gathered {
    bytes: Vec<u8>,
    ended: bool,
}

impl Stream {
    fn read(mut source: impl Read + Send + 'static) -> Self {
        let stream = Stream(Arc::default());
        let shared = stream.clone();
        thread::spawn(move || {
            let mut piece = [0; 8192];
            loop {
                let count = source.read(&mut piece).unwrap_or(0);
                let (gathered, changed) = &*shared.0;
                let mut gathered = gathered.lock().expect("no reader panics");
                gathered.bytes.extend_from_slice(&piece[..count]);
                gathered.ended = count == 0;
                changed.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        stream
    }

    fn text(&self) -> String {
        let gathered = self.0.0.lock().expect("no reader panics");
        String::from_utf8_lossy(&gathered.bytes).into_owned()
    }

    fn line_containing(&self, needle: &str, limit: Duration) -> Option<String> {
        self.line(limit, |line| line.contains(needle))
    }

    /// The first whole line that is wanted; the last one also counts when the stream ended.
    fn line(&self, limit: Duration, is_wanted: impl Fn(&str) -> bool) -> Option<String> {
        let find = |gathered: &Gathered| {
            let text = String::from_utf8_lossy(&gathered.bytes).into_owned();
            let whole = |line: &&str| gathered.ended || line.ends_with('\n');
            let mut lines = text.split_inclusive('\n').filter(whole).map(str::trim_end);
            lines.find(|line| is_wanted(line)).map(str::to_string)
        };
        let mut found = None;
        self.wait_until(limit, |gathered| {
            found = find(gathered);
            found.is_some() || gathered.ended
        });
        found
    }

    fn drain(&self, limit: Duration) {
        self.wait_until(limit, |gathered| gathered.ended);
    }

    fn wait_until(&self, limit: Duration, mut is_done: impl FnMut(&Gathered) -> bool) {
        let (gathered, changed) = &*self.0;
        let guard = gathered.lock().expect("no reader panics");
        let _ = changed.wait_timeout_while(guard, limit, |gathered| !is_done(gathered));
    }
}
