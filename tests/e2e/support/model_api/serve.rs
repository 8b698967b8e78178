//! One connection: a request in, an answer out as it was asked for or as a fault has it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::answer::{self, Event, Reply};
use super::asked::{self, Said};
use super::trouble::{self, Fault};
use super::{Door, Seen, What, World, lock};
use crate::support::idp::Request;
use crate::support::idp::http::Answer;

const PAGE: &str = "<html><body><h1>Access denied by the firewall</h1></body></html>";

pub fn exchange(stream: &mut TcpStream, request: &Request, world: &Mutex<World>) -> io::Result<()> {
    let (door, understood, is_accepted, fault) = {
        let mut world = lock(world);
        let door = world.door.clone();
        let understood = asked::understand(&door, request);
        match &understood {
            Ok((what, said)) => {
                let (what, request, said) = (*what, request.clone(), said.clone());
                world.seen.push(Seen { what, request, said });
            }
            Err(complaint) => {
                let line = format!("{} {}: {complaint}", request.method, request.path);
                world.complaints.push(line);
            }
        }
        let credential = request.header(&door.credential).unwrap_or_default();
        let is_accepted = (world.accepts)(credential);
        let fault = understood.as_ref().ok().and_then(|(what, _)| world.next_fault(*what));
        (door, understood, is_accepted, fault)
    };
    let credential = request.header(&door.credential).unwrap_or_default();
    let (what, said) = match understood {
        Ok(understood) => understood,
        Err(complaint) => {
            let body = json!({"error": {"message": complaint, "type": "invalid_request_error"}});
            return Answer::json(400, &body).send(stream);
        }
    };
    if let Some(Fault::Delay(ms)) = fault {
        sleep(Duration::from_millis(ms));
    }
    if fault == Some(Fault::Mute) {
        return until_gone(stream, world);
    }
    if let Some(Fault::Html(status)) = fault {
        return Answer::html(status, PAGE).send(stream);
    }
    let refusal = if is_accepted { fault.clone() } else { Some(Fault::Expired) };
    let refusal = refusal.and_then(|fault| trouble::answer(&door, &fault, credential));
    if let Some((status, body, wait)) = refusal {
        let mut answer = Answer::json(status, &body);
        if let Some(seconds) = wait {
            answer = answer.with("Retry-After", &seconds.to_string());
        }
        return answer.send(stream);
    }
    match (what, said) {
        (What::Prompt | What::Tool, Some(said)) => prompt(stream, &door, &said, fault, world),
        (What::Models, _) => {
            let models = lock(world).models.clone();
            Answer::json(200, &answer::models(&door, &models)).send(stream)
        }
        _ => {
            let found = door.free.iter().find(|(path, _)| *path == request.path);
            let body = found.map_or(Value::Null, |(_, body)| body.clone());
            Answer::json(200, &body).send(stream)
        }
    }
}

impl World {
    fn next_fault(&mut self, what: What) -> Option<Fault> {
        let at = self.faults.iter().position(|(when, ..)| when.meets(what))?;
        let (_, fault, left) = &mut self.faults[at];
        let fault = fault.clone();
        if let Some(left) = left {
            *left -= 1;
            if *left == 0 {
                self.faults.remove(at);
            }
        }
        Some(fault)
    }
}

fn prompt(
    stream: &mut TcpStream,
    door: &Door,
    said: &Said,
    fault: Option<Fault>,
    world: &Mutex<World>,
) -> io::Result<()> {
    let reply = reply(said, fault.as_ref(), world);
    if !said.is_streamed {
        return Answer::json(200, &answer::whole(door, &reply)).send(stream);
    }
    stream.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\
          Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
    )?;
    let events = answer::events(door, &reply);
    let outcome = stream_events(stream, door, &events, fault.as_ref(), world);
    if outcome.as_ref().is_err_and(is_gone) {
        lock(world).gone.push(Instant::now());
    }
    outcome
}

fn stream_events(
    stream: &mut TcpStream,
    door: &Door,
    events: &[Event],
    fault: Option<&Fault>,
    world: &Mutex<World>,
) -> io::Result<()> {
    let last = events.len() - 1;
    let text = events.iter().position(|event| event.is_text);
    let middle = text.map_or(events.len() / 2, |at| at + 1);
    for (at, event) in events.iter().enumerate() {
        if let Some(Fault::Slow(ms)) = fault {
            pause(stream, Duration::from_millis(*ms))?;
        }
        let is_middle = at == middle;
        match fault {
            Some(Fault::Cut) if is_middle => return Ok(()),
            Some(Fault::Ended) if is_middle || at == last => return chunk(stream, b""),
            Some(Fault::Overloaded | Fault::ThrownOut) if is_middle => {
                let error = match fault {
                    Some(Fault::ThrownOut) => trouble::thrown_out(door),
                    _ => trouble::overloaded(door),
                };
                chunk(stream, error.as_bytes())?;
                return chunk(stream, b"");
            }
            Some(Fault::Stalled) if is_middle => return until_gone(stream, world),
            Some(Fault::Endless) if is_middle => {
                chunk(stream, b"data: ")?;
                loop {
                    chunk(stream, &[b'x'; 64 * 1024])?;
                }
            }
            _ => {}
        }
        if event.is_text {
            lock(world).sent.push(Instant::now());
        }
        // Cut anywhere, in the middle of a letter too.
        let bytes = event.wire.as_bytes();
        let half = match fault {
            Some(Fault::Slow(_)) => bytes.len(),
            _ => event.wire.find('ö').map_or(bytes.len() / 2, |at| at + 1),
        };
        chunk(stream, &bytes[..half])?;
        if half < bytes.len() {
            chunk(stream, &bytes[half..])?;
        }
    }
    chunk(stream, b"")
}

fn chunk(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    let mut wire = format!("{:x}\r\n", bytes.len()).into_bytes();
    wire.extend_from_slice(bytes);
    wire.extend_from_slice(b"\r\n");
    stream.write_all(&wire)?;
    stream.flush()
}

/// Waits, and is an error when the client goes away meanwhile.
fn pause(stream: &mut TcpStream, time: Duration) -> io::Result<()> {
    stream.set_read_timeout(Some(time))?;
    match stream.read(&mut [0]) {
        Ok(0) => Err(ErrorKind::BrokenPipe.into()),
        Ok(_) => Ok(()),
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(()),
        Err(e) => Err(e),
    }
}

fn until_gone(stream: &mut TcpStream, world: &Mutex<World>) -> io::Result<()> {
    let outcome = pause(stream, Duration::from_secs(30));
    if outcome.as_ref().is_err_and(is_gone) {
        lock(world).gone.push(Instant::now());
    }
    Ok(())
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

fn reply(said: &Said, fault: Option<&Fault>, world: &Mutex<World>) -> Reply {
    let pieces = match said.prompt.contains("AUTH_TEST_OK") && fault != Some(&Fault::NoMark) {
        true => vec!["AUTH_".to_owned(), "TEST_OK".to_owned()],
        false => lock(world).pieces.clone(),
    };
    let wants_usage = said.wants_usage;
    let Some(tool) = said.tool.as_ref().filter(|_| fault != Some(&Fault::NoTool)) else {
        return Reply { pieces, call: None, wants_usage };
    };
    let word = json!({"word": "AUTH_TEST_OK"}).to_string();
    let (name, arguments) = match fault {
        Some(Fault::WrongTool) => ("format_disk".to_owned(), word),
        Some(Fault::BrokenArguments) => (tool.name.clone(), word[..word.len() / 2].to_owned()),
        _ => (tool.name.clone(), word),
    };
    Reply { pieces: Vec::new(), call: Some((name, arguments)), wants_usage }
}
