//! Whether a request's body claims to be JSON, readable as it stands.

use tollgate_sdk::request;

/// Values from clients are cut after so many bytes.
const MAX_QUOTED: usize = 100;

/// # Errors
///
/// Why the body cannot be taken for JSON: a sentence for the client.
pub(crate) fn check() -> Result<(), String> {
    let encodings = request::header_bytes("content-encoding");
    if let Some(encoding) = encodings.iter().find(|value| !is_identity(value)) {
        return Err(format!("content-encoding must be identity, not {}", quoted(encoding)));
    }
    match request::header_bytes("content-type").as_slice() {
        [] => Ok(()),
        [one] if is_json(one) => Ok(()),
        [other] => Err(format!("content-type must be application/json, not {}", quoted(other))),
        _ => Err("content-type must be given once".into()),
    }
}

fn is_identity(value: &[u8]) -> bool {
    value.is_empty() || value.eq_ignore_ascii_case(b"identity")
}

/// `application/json` and `application/anything+json`, with parameters; in UTF-8, if a charset is given.
fn is_json(value: &[u8]) -> bool {
    value == b"application/json" || is_written_as_json(value)
}

fn is_written_as_json(value: &[u8]) -> bool {
    let value = String::from_utf8_lossy(value).to_ascii_lowercase();
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let is_json = essence == "application/json"
        || essence.strip_prefix("application/").is_some_and(|subtype| subtype.ends_with("+json"));
    let charset_is_utf8 = parts
        .filter_map(|parameter| parameter.strip_prefix("charset="))
        .all(|charset| matches!(charset.trim_matches('"'), "utf-8" | "utf8" | "us-ascii"));
    value.is_empty() || (is_json && charset_is_utf8)
}

fn quoted(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    text[..text.floor_char_boundary(MAX_QUOTED)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_many_media_types() {
        for value in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"; profile=x",
            "application/problem+json",
            "application/vnd.api+json",
            "",
        ] {
            assert!(is_json(value.as_bytes()), "{value}");
        }
        for value in [
            "text/plain",
            "text/json",
            "application/jsonp",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=application/json",
            "application/json; charset=utf-16",
            "application/json, text/plain",
            "json",
            "\u{0}",
        ] {
            assert!(!is_json(value.as_bytes()), "{value}");
        }
    }
}
