//! Looks values up by RFC 6901 pointers. A document has no index: looking begins where the last one ended, at each level,
//! so that a walk in order, which is what filters do, finds each next one at once.

use std::borrow::Cow;

use crate::value::{Kind, Value};

/// Where the last lookup went, level by level.
pub(crate) type Trail = Vec<Step>;

/// A step from an array or object to what is in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    /// The entry of the array or object.
    from: usize,
    /// Which item or member it was.
    index: u32,
    /// Its entry: of a member, that of its name.
    to: usize,
}

/// The value under the pointer.
pub(crate) fn find<'a>(root: Value<'a>, pointer: &str, trail: &mut Trail) -> Option<Value<'a>> {
    if pointer.is_empty() {
        return Some(root);
    }
    let mut value = root;
    for (level, token) in pointer.strip_prefix('/')?.split('/').enumerate() {
        let begin = trail.get(level).filter(|step| step.from == value.number()).copied();
        let (step, found) = match value.kind() {
            Kind::Array => item(value, index(token)?, begin)?,
            Kind::Object => member(value, &unescaped(token), begin)?,
            _ => return None,
        };
        trail.truncate(level);
        trail.push(step);
        value = found;
    }
    Some(value)
}

fn item<'a>(array: Value<'a>, wanted: u32, begin: Option<Step>) -> Option<(Step, Value<'a>)> {
    if wanted >= array.len()? {
        return None;
    }
    let begin = begin.filter(|step| step.index <= wanted);
    let (mut index, mut to) = begin.map_or((0, array.number() + 1), |step| (step.index, step.to));
    let mut value = array.sibling(to)?;
    while index < wanted {
        to = value.after();
        value = array.sibling(to)?;
        index += 1;
    }
    Some((Step { from: array.number(), index, to }, value))
}

/// Looks from where the last member was found to the end, and then from the beginning on.
fn member<'a>(object: Value<'a>, wanted: &str, begin: Option<Step>) -> Option<(Step, Value<'a>)> {
    let first = Step { from: object.number(), index: 0, to: object.number() + 1 };
    let mut step = begin.unwrap_or(first);
    for _ in 0..object.len()? {
        if step.to >= object.after() {
            step = first;
        }
        let name = object.sibling(step.to)?;
        let value = object.sibling(name.after())?;
        if name.is_text(wanted) {
            return Some((step, value));
        }
        step = Step { index: step.index + 1, to: value.after(), ..step };
    }
    None
}

/// The index that a token stands for: digits, without a zero before others.
fn index(token: &str) -> Option<u32> {
    let is_plain =
        token.bytes().all(|byte| byte.is_ascii_digit()) && (token == "0" || !token.starts_with('0'));
    if is_plain { token.parse().ok() } else { None }
}

fn unescaped(token: &str) -> Cow<'_, str> {
    match token.contains('~') {
        true => token.replace("~1", "/").replace("~0", "~").into(),
        false => token.into(),
    }
}

#[cfg(test)]
mod tests {
    use crate::Document;

    #[test]
    fn pointers_find_what_a_tree_finds() {
        let text =
            r#"{"a":[1,{"b/c":"x","~":[],"m~0n":{"":7}},[[2],3]],"":0,"\u0062":{"0":"zero","a":[0]},"01":1}"#;
        let tree: serde_json::Value = serde_json::from_str(text).unwrap();
        let document = Document::read(text, 99).unwrap();
        let pointers = [
            "",
            "/",
            "a",
            "/a",
            "/a/0",
            "/a/1",
            "/a/1/b~1c",
            "/a/1/~0",
            "/a/1/m~00n/",
            "/a/2/0/0",
            "/a/2/1",
            "/a/3",
            "/a/-",
            "/a/00",
            "/a/01",
            "/a/+1",
            "/a/ 1",
            "/a/99999999999",
            "/b/0",
            "/b/a/0",
            "/b",
            "/01",
            "//",
            "/a/0/0",
            "/x",
            "/A",
        ];
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..5000 {
            let Some(pointer) = random.choice(pointers) else { continue };
            let found = document.find(pointer).map(|value| (format!("{:?}", value.kind()), value.len()));
            let expected = tree.pointer(pointer).map(|value| match value {
                serde_json::Value::Null => ("Null".to_owned(), None),
                serde_json::Value::Bool(_) => ("Boolean".to_owned(), None),
                serde_json::Value::Number(_) => ("Number".to_owned(), None),
                serde_json::Value::String(_) => ("Text".to_owned(), None),
                serde_json::Value::Array(items) => ("Array".to_owned(), u32::try_from(items.len()).ok()),
                serde_json::Value::Object(members) => {
                    ("Object".to_owned(), u32::try_from(members.len()).ok())
                }
            });
            assert_eq!(found, expected, "{pointer}");
        }
    }

    #[test]
    fn every_item_and_member_is_found_in_any_order() {
        let members: Vec<String> = (0..50).map(|n| format!("\"n{n}\":[{n},[{n}]]")).collect();
        let document = Document::read(format!("{{{}}}", members.join(",")), 999).unwrap();
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..2000 {
            let n = random.u32(..50);
            let number = |pointer: String| document.find(&pointer).and_then(|value| value.as_f64());
            assert_eq!(number(format!("/n{n}/0")), Some(f64::from(n)));
            assert_eq!(number(format!("/n{n}/1/0")), Some(f64::from(n)));
            assert!(document.find(&format!("/n{n}/2")).is_none());
            assert!(document.find(&format!("/m{n}")).is_none());
        }
    }
}
