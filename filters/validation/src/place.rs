//! How problems name a place in a document: `messages[0].content`, and `body` for the whole of it.

use boon::InstanceToken;

/// Names from clients are cut after so many bytes.
const MAX_NAME: usize = 64;

/// The place at the end of these steps.
pub(crate) fn text(steps: &[InstanceToken<'_>]) -> String {
    let mut place = String::new();
    for step in steps {
        match step {
            InstanceToken::Prop(name) => push_name(&mut place, name),
            InstanceToken::Item(index) => place.push_str(&format!("[{index}]")),
        }
    }
    if place.is_empty() { "body".to_owned() } else { place }
}

/// The member `name` of the object there.
pub(crate) fn member(steps: &[InstanceToken<'_>], name: &str) -> String {
    let mut place = if steps.is_empty() { String::new() } else { text(steps) };
    push_name(&mut place, name);
    place
}

/// A name as it is if it is a plain one, else as JSON has it; cut if it is long.
pub(crate) fn quoted(name: &str) -> String {
    let cut = &name[..name.floor_char_boundary(MAX_NAME)];
    let dots = if cut.len() < name.len() { "…" } else { "" };
    if is_plain(cut) { format!("{cut}{dots}") } else { format!("{}{dots}", serde_json::Value::from(cut)) }
}

fn push_name(place: &mut String, name: &str) {
    let quoted = quoted(name);
    match (is_plain(name), place.is_empty()) {
        (true, true) => place.push_str(&quoted),
        (true, false) => place.push_str(&format!(".{quoted}")),
        (false, _) => place.push_str(&format!("[{quoted}]")),
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'$'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_like_code() {
        let property = |name: &'static str| InstanceToken::Prop(name.into());
        assert_eq!(text(&[]), "body");
        assert_eq!(
            text(&[property("messages"), InstanceToken::Item(0), property("content")]),
            "messages[0].content"
        );
        assert_eq!(text(&[InstanceToken::Item(3)]), "[3]");
        assert_eq!(text(&[property("a b"), property("x\"y")]), r#"["a b"]["x\"y"]"#);
        assert_eq!(member(&[], "model"), "model");
        assert_eq!(member(&[property("a")], ""), "a[\"\"]");
        assert_eq!(quoted(&"é".repeat(100)).chars().count(), 35);
        assert_eq!(quoted("a\nb"), r#""a\nb""#);
    }
}
