//! HTTP/1.1 messages as a test sees them: read byte by byte, with no library that could hide what came.

use std::io::BufRead;

/// A request or a response.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// The request line or status line, without its line end.
    pub start: String,
    /// Names and values, as they came.
    pub fields: Vec<(String, String)>,
    /// The content, with the chunked framing taken off.
    pub body: Vec<u8>,
    /// The trailer fields.
    pub trailers: Vec<(String, String)>,
}

impl Message {
    /// Reads a head, and nothing after it. None: the stream ended before the first byte.
    pub fn read_head(stream: &mut impl BufRead) -> Option<Self> {
        let start = read_line(stream)?;
        Some(Self { start, fields: read_fields(stream), ..Self::default() })
    }

    /// Reads a request with its content.
    pub fn read_request(stream: &mut impl BufRead) -> Option<Self> {
        let mut message = Self::read_head(stream)?;
        if message.field("transfer-encoding").is_some() || message.field("content-length").is_some() {
            message.read_content(stream);
        }
        Some(message)
    }

    /// Reads the content that the head announces: chunked, of a length, or up to the end.
    pub fn read_content(&mut self, stream: &mut impl BufRead) {
        if self.field("transfer-encoding").is_some_and(|coding| coding.ends_with("chunked")) {
            self.read_chunks(stream);
        } else if let Some(length) = self.field("content-length") {
            self.body = vec![0; length.parse().expect("a length")];
            stream.read_exact(&mut self.body).expect("as much content as `content-length` says");
        } else {
            stream.read_to_end(&mut self.body).expect("content up to the end");
        }
    }

    fn read_chunks(&mut self, stream: &mut impl BufRead) {
        loop {
            let line = read_line(stream).expect("a chunk's size");
            let size =
                usize::from_str_radix(line.split(';').next().unwrap().trim(), 16).expect("a chunk's size");
            if size == 0 {
                self.trailers = read_fields(stream);
                return;
            }
            let begin = self.body.len();
            self.body.resize(begin + size, 0);
            stream.read_exact(&mut self.body[begin..]).expect("a whole chunk");
            assert_eq!(read_line(stream).as_deref(), Some(""), "a chunk ends with a line end");
        }
    }

    /// The first value of a field, whatever the case of its name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.values(name).into_iter().next()
    }

    /// All values of a field.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The status of a response.
    pub fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line")
    }

    /// The content as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The content as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.text()))
    }
}

/// A line without its end; none at the end of the stream.
pub fn read_line(stream: &mut impl BufRead) -> Option<String> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).expect("a readable stream");
    if line.is_empty() {
        return None;
    }
    assert!(line.ends_with(b"\r\n"), "a line ends with CRLF: {:?}", String::from_utf8_lossy(&line));
    Some(String::from_utf8_lossy(&line[..line.len() - 2]).into_owned())
}

fn read_fields(stream: &mut impl BufRead) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    while let Some(line) = read_line(stream).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no field: {line:?}"));
        fields.push((name.to_owned(), value.trim().to_owned()));
    }
    fields
}
