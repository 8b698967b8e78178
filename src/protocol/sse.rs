//! Server-sent events: bytes in, events out (WHATWG HTML, section 9.2.6).

/// One event; `name` is `message` unless the server says otherwise.
#[derive(Debug, PartialEq, Eq)]
pub struct Event {
    pub name: String,
    pub data: String,
}

/// One event may be this long; more is no event that any API sends.
const EVENT_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// Takes a stream apart however it was cut.
#[derive(Default)]
pub struct Decoder {
    /// What has come of a line that has not ended.
    line: Vec<u8>,
    name: String,
    data: Vec<String>,
    data_bytes: usize,
    /// The last byte was a carriage return: a line feed after it belongs to it.
    after_return: bool,
    is_begun: bool,
}

impl Decoder {
    /// The events that these bytes complete; None: an event is too long.
    pub fn feed(&mut self, bytes: &[u8]) -> Option<Vec<Event>> {
        let mut events = Vec::new();
        for &byte in bytes {
            let is_second_half = byte == b'\n' && std::mem::take(&mut self.after_return);
            match byte {
                b'\n' if is_second_half => {}
                b'\n' | b'\r' => {
                    self.after_return = byte == b'\r';
                    let line = std::mem::take(&mut self.line);
                    events.extend(self.end_of_line(&line));
                }
                _ => {
                    self.after_return = false;
                    self.line.push(byte);
                }
            }
            if self.line.len() + self.data_bytes > EVENT_LIMIT_BYTES {
                return None;
            }
        }
        Some(events)
    }

    fn end_of_line(&mut self, line: &[u8]) -> Option<Event> {
        const MARK: &[u8] = "\u{feff}".as_bytes();
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        let line = if is_first { line.strip_prefix(MARK).unwrap_or(line) } else { line };
        if line.is_empty() {
            return self.dispatch();
        }
        let line = String::from_utf8_lossy(line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => {
                self.data_bytes += value.len() + 1;
                self.data.push(value.to_owned());
            }
            // A comment, or a field that is of no use here.
            _ => {}
        }
        None
    }

    /// An event without data is none.
    fn dispatch(&mut self) -> Option<Event> {
        let name = std::mem::take(&mut self.name);
        let data = std::mem::take(&mut self.data);
        self.data_bytes = 0;
        let name = if name.is_empty() { "message".to_owned() } else { name };
        (!data.is_empty()).then(|| Event { name, data: data.join("\n") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(chunks: &[&[u8]]) -> Vec<(String, String)> {
        let mut decoder = Decoder::default();
        let fed = chunks.iter().flat_map(|bytes| decoder.feed(bytes).expect("short events"));
        fed.map(|event| (event.name, event.data)).collect()
    }

    fn pair(name: &str, data: &str) -> (String, String) {
        (name.to_owned(), data.to_owned())
    }

    #[test]
    fn events_are_told_apart_by_empty_lines() {
        let stream =
            "\u{feff}: hello\nevent: a\ndata: 1\n\ndata:2\ndata: 3\n\nid: 7\n\ndata\n\ndata: cut";
        let wanted = vec![pair("a", "1"), pair("message", "2\n3"), pair("message", "")];
        assert_eq!(events(&[stream.as_bytes()]), wanted);
        let bytes: Vec<_> = stream.as_bytes().chunks(1).collect();
        assert_eq!(events(&bytes), wanted, "byte by byte");
    }

    #[test]
    fn every_line_end_counts_once() {
        for stream in ["data: ä\r\n\r\ndata: b\r\n\r\n", "data: ä\r\rdata: b\r\r"] {
            let bytes: Vec<_> = stream.as_bytes().chunks(1).collect();
            assert_eq!(events(&bytes), [pair("message", "ä"), pair("message", "b")], "{stream:?}");
        }
    }

    #[test]
    fn an_endless_event_is_given_up() {
        let mut decoder = Decoder::default();
        let line = [b"data: ".to_vec(), vec![b'x'; 1024 * 1024], b"\n".to_vec()].concat();
        let outcomes: Vec<_> = (0..5).map(|_| decoder.feed(&line).is_some()).collect();
        assert_eq!(outcomes, [true, true, true, false, false]);
    }
}
