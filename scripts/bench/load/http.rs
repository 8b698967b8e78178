//! HTTP/1.1, of either side: as much of it as the API and the clients here need.

use std::{
    io::{self, ErrorKind, Read},
    net::TcpStream,
    time::Duration,
};

use crate::common::number;

pub struct Wire {
    pub stream: TcpStream,
    buffer: Vec<u8>,
    from: usize,
}

pub struct Head {
    pub start: String,
    pub fields: Vec<(String, String)>,
}

pub enum Body {
    Chunked {
        left: usize,
        is_first: bool,
    },
    Length(usize),
    /// Until the other side closes.
    Open,
}

impl Wire {
    pub fn new(stream: TcpStream) -> io::Result<Wire> {
        stream.set_nodelay(true)?;
        Ok(Wire { stream, buffer: Vec::new(), from: 0 })
    }

    pub fn connect(address: &str) -> io::Result<Wire> {
        let stream = TcpStream::connect(address)?;
        // What takes longer counts as lost.
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Wire::new(stream)
    }

    /// Whether a kept connection may be used: the other side has not closed it, nor said anything unasked.
    pub fn is_open(&self) -> bool {
        let is_quiet = self.stream.set_nonblocking(true).is_ok()
            && self.stream.peek(&mut [0]).is_err_and(|e| e.kind() == ErrorKind::WouldBlock);
        is_quiet && self.buffer.len() == self.from && self.stream.set_nonblocking(false).is_ok()
    }

    /// Reads more; 0 is the end.
    fn fill(&mut self) -> io::Result<usize> {
        let mut piece = [0; 4096];
        if self.from == self.buffer.len() {
            self.buffer.clear();
            self.from = 0;
        }
        let length = self.stream.read(&mut piece)?;
        self.buffer.extend(&piece[..length]);
        Ok(length)
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(length) = self.buffer[self.from..].iter().position(|byte| *byte == b'\n') {
                let line = String::from_utf8_lossy(&self.buffer[self.from..self.from + length])
                    .trim_end()
                    .to_owned();
                self.from += length + 1;
                return Ok(line);
            }
            if self.fill()? == 0 {
                return Err(ended("within a line"));
            }
        }
    }

    /// None: the other side closed between two messages.
    pub fn head(&mut self) -> io::Result<Option<Head>> {
        if self.from == self.buffer.len() && self.fill()? == 0 {
            return Ok(None);
        }
        let (start, mut fields) = (self.line()?, Vec::new());
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else {
                return Ok(Some(Head { start, fields }));
            };
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// The next bytes of a body as they arrive; None at its end.
    pub fn piece(&mut self, body: &mut Body) -> io::Result<Option<Vec<u8>>> {
        if let Body::Chunked { left: left @ 0, is_first } = body {
            if !std::mem::take(is_first) && !self.line()?.is_empty() {
                return Err(ended("within a chunk that is longer than it says"));
            }
            let size = self.line()?;
            *left = usize::from_str_radix(size.split(';').next().unwrap_or_default(), 16)
                .map_err(|_| ended("within a chunk size"))?;
            if *left == 0 {
                while !self.line()?.is_empty() {}
                *body = Body::Length(0);
            }
        }
        if matches!(body, Body::Length(0)) {
            return Ok(None);
        }
        if self.from == self.buffer.len() && self.fill()? == 0 {
            return if matches!(body, Body::Open) {
                Ok(None)
            } else {
                Err(ended("within the body"))
            };
        }
        let here = self.buffer.len() - self.from;
        let length = match body {
            Body::Chunked { left, .. } | Body::Length(left) => here.min(*left),
            Body::Open => here,
        };
        if let Body::Chunked { left, .. } | Body::Length(left) = body {
            *left -= length;
        }
        self.from += length;
        Ok(Some(self.buffer[self.from - length..self.from].to_vec()))
    }
}

impl Head {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub fn status(&self) -> u64 {
        number(self.start.split(' ').nth(1).unwrap_or_default())
    }

    pub fn says_close(&self) -> bool {
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

impl Body {
    pub fn of(head: &Head) -> Body {
        if head
            .field("transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
        {
            return Body::Chunked { left: 0, is_first: true };
        }
        match head.field("content-length") {
            Some(length) => Body::Length(number(length) as usize),
            None if head.start.starts_with("HTTP/") => Body::Open,
            None => Body::Length(0),
        }
    }
}

pub fn ended(place: &str) -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, format!("the connection ended {place}"))
}
