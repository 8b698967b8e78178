//! Server-sent events: bytes in, events out (WHATWG HTML, section 9.2.6).

/// One event; `name` is `message` unless the server says otherwise. Whoever only wants what servers
/// have to say skips the events without `data`: they mark a place, or set a pace.
#[derive(Debug, PartialEq, Eq)]
pub struct Event {
    pub name: String,
    pub data: String,
    /// Where the stream stands after this event, as `Last-Event-ID` says it: an id counts until the
    /// next one.
    pub id: Option<String>,
    /// The wait before the next connection that this very event asks for.
    pub retry_ms: Option<u64>,
}

/// One event may be this long unless somebody expects more: no API for models sends it.
const EVENT_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// Takes a stream apart however it was cut.
pub struct Decoder {
    limit_bytes: usize,
    /// What has come of a line that has not ended.
    line: Vec<u8>,
    name: String,
    data: Vec<String>,
    data_bytes: usize,
    id: Option<String>,
    retry_ms: Option<u64>,
    /// This event came with an id, or with a wait.
    is_mark: bool,
    /// The last byte was a carriage return: a line feed after it belongs to it.
    after_return: bool,
    is_begun: bool,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder::with_limit(EVENT_LIMIT_BYTES)
    }
}

impl Decoder {
    /// One that takes events of up to so many bytes.
    pub fn with_limit(limit_bytes: usize) -> Decoder {
        Decoder {
            limit_bytes,
            line: Vec::new(),
            name: String::new(),
            data: Vec::new(),
            data_bytes: 0,
            id: None,
            retry_ms: None,
            is_mark: false,
            after_return: false,
            is_begun: false,
        }
    }

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
            if self.line.len() + self.data_bytes > self.limit_bytes {
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
            "id" if !value.contains('\0') => {
                self.id = Some(value.to_owned()).filter(|id| !id.is_empty());
                self.is_mark = true;
            }
            "retry" if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) => {
                self.retry_ms = value.parse().ok();
                self.is_mark = true;
            }
            // A comment, or a field that means nothing.
            _ => {}
        }
        None
    }

    /// A block with neither data nor a mark is no event.
    fn dispatch(&mut self) -> Option<Event> {
        let name = std::mem::take(&mut self.name);
        let data = std::mem::take(&mut self.data);
        let retry_ms = self.retry_ms.take();
        let is_mark = std::mem::take(&mut self.is_mark);
        self.data_bytes = 0;
        if data.is_empty() && !is_mark {
            return None;
        }
        let name = if name.is_empty() { "message".to_owned() } else { name };
        Some(Event { name, data: data.join("\n"), id: self.id.clone(), retry_ms })
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
        let stream = "\u{feff}: hello\nevent: a\ndata: 1\n\ndata:2\ndata: 3\n\nevent: b\n\nx: 7\n\ndata\n\ndata: cut";
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
    fn marks_come_without_data_and_ids_stay() {
        let stream = "data: 1\n\nid: a\n\nid: b\nretry: 1500\ndata: 2\n\ndata: 3\n\n\
            id: c\0\nretry: -1\n\nretry: 0\n\nevent: x\nid\ndata: 4\n\nid: lost\n";
        let events = Decoder::default().feed(stream.as_bytes()).unwrap();
        let event = |name: &str, data: &str, id: Option<&str>, retry_ms| Event {
            name: name.to_owned(),
            data: data.to_owned(),
            id: id.map(str::to_owned),
            retry_ms,
        };
        let wanted = [
            event("message", "1", None, None),
            event("message", "", Some("a"), None),
            event("message", "2", Some("b"), Some(1500)),
            event("message", "3", Some("b"), None),
            event("message", "", Some("b"), Some(0)),
            event("x", "4", None, None),
        ];
        assert_eq!(events, wanted);
    }

    #[test]
    fn who_expects_more_or_less_says_so() {
        assert!(Decoder::with_limit(8).feed(b"data: 12").is_some());
        assert!(Decoder::with_limit(8).feed(b"data: 123").is_none());
        let mebibytes = [b"data: ".to_vec(), vec![b'x'; 5 << 20], b"\n\n".to_vec()].concat();
        assert_eq!(Decoder::with_limit(6 << 20).feed(&mebibytes).unwrap().len(), 1);
        assert!(Decoder::default().feed(&mebibytes).is_none());
    }

    #[test]
    fn an_endless_event_is_given_up() {
        let mut decoder = Decoder::default();
        let line = [b"data: ".to_vec(), vec![b'x'; 1024 * 1024], b"\n".to_vec()].concat();
        let outcomes: Vec<_> = (0..5).map(|_| decoder.feed(&line).is_some()).collect();
        assert_eq!(outcomes, [true, true, true, false, false]);
    }
}
