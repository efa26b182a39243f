//! The chunked coding (RFC 9112, section 7.1), read strictly: what another reader might take for another length is an
//! error.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::wire::Broken;

/// How long the line of a chunk's size may be, extensions and all, and the trailers, in bytes.
const MAX_LINE: usize = 16 << 10;
/// How many trailers there may be.
const MAX_TRAILERS: usize = 64;

/// Where in the coding the input is.
#[derive(Debug, Default)]
pub(super) enum Chunked {
    /// Before a chunk's size.
    #[default]
    Size,
    /// In a chunk's data, of which so many bytes are left.
    Data(u64),
    /// Between a chunk's data and the line break behind it.
    DataEnd,
    /// Behind the last chunk.
    Trailers,
}

/// What has been read.
#[derive(Debug, PartialEq)]
pub(super) enum Piece {
    /// More input is needed.
    Wanting,
    /// Content.
    Data(Bytes),
    /// The end, and the trailers, of which there may be none.
    End(HeaderMap),
}

impl Chunked {
    /// Takes the next piece off the input.
    pub(super) fn next(&mut self, input: &mut BytesMut) -> Result<Piece, Broken> {
        loop {
            match self {
                Self::Size => match take_size(input)? {
                    None => return Ok(Piece::Wanting),
                    Some(0) => *self = Self::Trailers,
                    Some(size) => *self = Self::Data(size),
                },
                Self::Data(_) if input.is_empty() => return Ok(Piece::Wanting),
                Self::Data(left) => {
                    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                    *left -= length as u64;
                    if *left == 0 {
                        *self = Self::DataEnd;
                    }
                    return Ok(Piece::Data(input.split_to(length).freeze()));
                }
                Self::DataEnd if input.len() < 2 => return Ok(Piece::Wanting),
                Self::DataEnd if !input.starts_with(b"\r\n") => return Err(invalid("chunk")),
                Self::DataEnd => {
                    input.advance(2);
                    *self = Self::Size;
                }
                Self::Trailers => return take_trailers(input),
            }
        }
    }
}

fn invalid(what: &str) -> Broken {
    Broken::Parse(format!("malformed {what}"))
}

/// A chunk's size, once its line is there; extensions are dropped.
fn take_size(input: &mut BytesMut) -> Result<Option<u64>, Broken> {
    let Some(end) = input.iter().take(MAX_LINE).position(|byte| *byte == b'\n') else {
        return if input.len() < MAX_LINE { Ok(None) } else { Err(invalid("chunk size")) };
    };
    let line = input.split_to(end + 1);
    let line = line.strip_suffix(b"\r\n").ok_or_else(|| invalid("chunk size"))?;
    let (digits, extensions) = match line.iter().position(|byte| *byte == b';') {
        Some(at) => line.split_at(at),
        None => (line, &b""[..]),
    };
    let blanks = digits.iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let digits = &digits[..digits.len() - blanks];
    // 16 digits are all that 64 bits hold; a line break within would begin another line for other readers.
    if digits.is_empty()
        || digits.len() > 16
        || !digits.iter().all(u8::is_ascii_hexdigit)
        || extensions.contains(&b'\r')
    {
        return Err(invalid("chunk size"));
    }
    let digits = std::str::from_utf8(digits).map_err(|_| invalid("chunk size"))?;
    u64::from_str_radix(digits, 16).map(Some).map_err(|_| invalid("chunk size"))
}

fn take_trailers(input: &mut BytesMut) -> Result<Piece, Broken> {
    let mut space = [httparse::EMPTY_HEADER; MAX_TRAILERS];
    match httparse::parse_headers(input, &mut space).map_err(|_| invalid("trailers"))? {
        httparse::Status::Partial if input.len() < MAX_LINE => Ok(Piece::Wanting),
        httparse::Status::Partial => Err(invalid("trailers")),
        httparse::Status::Complete((length, fields)) => {
            let mut trailers = HeaderMap::new();
            for field in fields {
                let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| invalid("trailers"))?;
                let value = HeaderValue::from_bytes(field.value).map_err(|_| invalid("trailers"))?;
                trailers.append(name, value);
            }
            input.advance(length);
            Ok(Piece::End(trailers))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All content and trailers, with the input arriving in steps of `step` bytes.
    fn decoded(text: &str, step: usize) -> Result<(Vec<u8>, HeaderMap), Broken> {
        let (mut input, mut data, mut chunked) = (BytesMut::new(), Vec::new(), Chunked::default());
        let mut steps = text.as_bytes().chunks(step);
        loop {
            match chunked.next(&mut input)? {
                Piece::Data(bytes) => data.extend_from_slice(&bytes),
                Piece::End(trailers) => return Ok((data, trailers)),
                Piece::Wanting => match steps.next() {
                    Some(bytes) => input.extend_from_slice(bytes),
                    None => return Err(Broken::Closed),
                },
            }
        }
    }

    #[test]
    fn content_and_trailers_come_out_however_they_arrive() {
        let text = "3;x=\"y\"\r\nabc\r\n00a \r\n0123456789\r\n0\r\nx-sum: 7\r\nX-Sum: 8\r\n\r\n";
        for step in 1..text.len() {
            let (data, trailers) = decoded(text, step).unwrap();
            assert_eq!(data, b"abc0123456789");
            assert_eq!(trailers.get_all("x-sum").iter().collect::<Vec<_>>(), ["7", "8"]);
        }
    }

    #[test]
    fn what_is_not_chunked_is_an_error() {
        let long = format!("1;{}", "x".repeat(MAX_LINE));
        let trailers = format!("0\r\nx: {}", "x".repeat(MAX_LINE));
        for text in [
            "\r\n",
            "g\r\n",
            "-1\r\n",
            "0x1\r\n",
            "1\n",
            "1;\rx\r\n",
            "1\r\r\n",
            "1\r;x\r\n",
            "1\x0c\r\n",
            "1\r\nabc",
            "11111111111111111\r\n",
            " 1\r\n",
            "0\r\nno colon\r\n\r\n",
            &long,
            &trailers,
        ] {
            assert!(matches!(decoded(text, 7), Err(Broken::Parse(_))), "{text:.20}");
        }
        assert!(matches!(decoded("5\r\nab", 1), Err(Broken::Closed)));
    }
}
