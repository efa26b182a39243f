//! Whether the filter sees in a body what the upstream will see. The host reads JSON in UTF-8; a body that it cannot
//! read must not be one that a more forgiving upstream can.

use tollgate_sdk::{body, request};

use crate::denial::Denial;

/// How much is read at a time.
const CHUNK: u32 = 4096;

/// Lets pass what the host has read as JSON, what is empty, and what is clearly something else.
pub(crate) fn check() -> Result<(), Denial<'static>> {
    if body::kind("").is_some() || body::size() == 0 {
        return Ok(());
    }
    let encodings = request::header_bytes("content-encoding");
    if encodings.iter().any(|encoding| !encoding.is_empty() && !encoding.eq_ignore_ascii_case(b"identity")) {
        return Err(Denial::new(
            415,
            "unsupported_media_type",
            "Unsupported media type",
            "the body must not have a content-encoding".into(),
        ));
    }
    let types = request::header_bytes("content-type");
    let says_json =
        types.iter().any(|value| value.to_ascii_lowercase().windows(4).any(|word| word == b"json"));
    match says_json || looks_like_json() {
        true => {
            Err(Denial::new(400, "unreadable_body", "Unreadable body", "the body is not valid JSON".into()))
        }
        false => Ok(()),
    }
}

/// Whether it begins like an object or array in any Unicode encoding: UTF-16 and UTF-32 pad with NUL and may begin
/// with a mark.
fn looks_like_json() -> bool {
    let is_padding =
        |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, 0 | 0x0b | 0xef | 0xbb | 0xbf | 0xfe | 0xff);
    let chunks = (0..).step_by(CHUNK as usize).map(|offset| body::read(offset, CHUNK));
    let mut beginning = chunks.take_while(|chunk| !chunk.is_empty()).flatten().skip_while(is_padding);
    matches!(beginning.next(), Some(b'{' | b'['))
}
