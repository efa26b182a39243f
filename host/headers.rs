//! What a proxy strips from heads, sets in them, and refuses to let filters touch.

use http::header::{self, Entry, HeaderMap, HeaderName, HeaderValue};

/// What a head that the host forwards may grow to by filters' edits: fields, and bytes of names and values.
const MAX_FIELDS: usize = 256;
const MAX_BYTES: usize = 64 << 10;

/// The field that carries the exchange's id.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The addresses that a request came through.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The scheme that the client used.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The authority that the client asked for.
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Fields that concern one connection only (RFC 9110, section 7.6.1), or the framing, which is each side's own.
static HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
];

/// Fields that filters may read and not change: the host answers for them.
static OWNED: [HeaderName; 11] = [
    header::CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    X_REQUEST_ID,
];

/// Fields by which the host says whom a request came from.
static FORWARDING: [HeaderName; 3] = [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST];

/// Why a filter's edit was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EditError {
    /// No field name.
    InvalidName,
    /// No field value.
    InvalidValue,
    /// The host owns the field.
    Forbidden,
    /// The head would grow past the bounds.
    TooLarge,
}

/// What to do with the values that a field has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// Put the new value in their place.
    Replace,
    /// Add the new value.
    Append,
}

/// Takes out what concerns only the connection that a message came by, with the fields that `connection` names.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        for name in named_by_connection(headers) {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        remove_if_there(headers, name);
    }
}

/// Heads are short, and names of the standard's are compared by number: looking through them costs less than hashing.
fn remove_if_there(headers: &mut HeaderMap, name: &HeaderName) {
    if headers.keys().any(|there| there == name) {
        headers.remove(name);
    }
}

/// `connection: close, x-a` makes `x-a` a field of that connection. Names that framing, routing or these rules rest on
/// are not given up to it: a client could else make the next hop see another message.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .filter(|name| !OWNED.contains(name) && !is_forwarding(name))
        .collect()
}

fn is_forwarding(name: &HeaderName) -> bool {
    FORWARDING.contains(name)
}

/// Fields that mean nothing, or something else, behind the content (RFC 9110, section 6.5.1): who asks, how long answers may
/// be kept, what the content is.
static NOT_IN_TRAILERS: [HeaderName; 11] = [
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    header::COOKIE,
    header::SET_COOKIE,
    header::CACHE_CONTROL,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    header::MAX_FORWARDS,
    header::RANGE,
    header::LOCATION,
];

/// Takes out of trailers what they must not bring in behind filters' backs: fields that the host owns, or makes itself, or
/// that have no place there.
pub fn strip_trailers(trailers: &mut HeaderMap) {
    for name in OWNED.iter().chain(&FORWARDING).chain(&NOT_IN_TRAILERS) {
        trailers.remove(name);
    }
}

/// The names of the trailers that a head announces.
pub fn announced_trailers(head: &HeaderMap) -> Vec<HeaderName> {
    let fields = head.get_all(header::TRAILER).iter().filter_map(|value| value.to_str().ok());
    fields
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .collect()
}

/// Takes out of trailers what the head has not announced.
pub fn strip_unannounced(trailers: &mut HeaderMap, announced: &[HeaderName]) {
    let unannounced: Vec<_> = trailers.keys().filter(|name| !announced.contains(name)).cloned().collect();
    unannounced.into_iter().for_each(|name| drop(trailers.remove(name)));
}

/// True if the client is willing to get trailers: the only use of `te` that goes on to the next hop.
pub fn accepts_trailers(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::TE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

/// Makes a request's head ready for the next hop: hop-by-hop fields out; who asked, how, and for which host, in.
/// `client` is its address in text, made once a connection.
pub fn prepare_request(headers: &mut HeaderMap, client: &HeaderValue, scheme: &'static str) {
    let trailers = accepts_trailers(headers);
    strip_hop_by_hop(headers);
    remove_if_there(headers, &header::EXPECT);
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    append_forwarded_for(headers, client);
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    match headers.get(header::HOST).cloned() {
        Some(host) => headers.insert(X_FORWARDED_HOST, host),
        None => headers.remove(X_FORWARDED_HOST),
    };
}

fn append_forwarded_for(headers: &mut HeaderMap, client: &HeaderValue) {
    let mut there = match headers.entry(X_FORWARDED_FOR) {
        Entry::Occupied(there) => there,
        Entry::Vacant(place) => {
            place.insert(client.clone());
            return;
        }
    };
    let mut list = Vec::new();
    for value in there.iter() {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(client.as_bytes());
    if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(list)) {
        there.insert(value);
    }
}

/// The name of a field, as filters may use it.
#[derive(Debug, Clone)]
pub struct Field {
    /// The name.
    pub name: HeaderName,
    /// It may be read only.
    owned: bool,
}

impl Field {
    /// A name, if it is one.
    pub fn parse(name: &str) -> Result<Self, EditError> {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| EditError::InvalidName)?;
        let owned = OWNED.contains(&name);
        Ok(Self { name, owned })
    }

    fn editable(&self) -> Result<&HeaderName, EditError> {
        if self.owned { Err(EditError::Forbidden) } else { Ok(&self.name) }
    }
}

/// The names that a filter uses, which are few: each is checked and hashed once, not on every call.
#[derive(Debug, Default)]
pub struct Fields([Option<(Box<str>, Field)>; 16]);

impl Fields {
    /// What the filter calls by that name. A name that was met before costs a comparison.
    pub fn get(&mut self, name: &str) -> Result<&Field, EditError> {
        let place = &mut self.0[Self::place(name)];
        if place.as_ref().is_none_or(|(known, _)| **known != *name) {
            let field = Field::parse(name)?;
            *place = Some((name.into(), field));
        }
        place.as_ref().map(|(_, field)| field).ok_or(EditError::InvalidName)
    }

    fn place(name: &str) -> usize {
        let ends = (name.as_bytes().last().copied(), name.as_bytes().get(name.len() / 2).copied());
        (name.len() + usize::from(ends.0.unwrap_or(0)) * 5 + usize::from(ends.1.unwrap_or(0)) * 3) % 16
    }
}

/// By how many bytes a head may surely grow. It is counted anew only when that is used up.
#[derive(Debug, Clone, Copy, Default)]
pub struct Room(usize);

impl Room {
    fn take(&mut self, headers: &HeaderMap, bytes: usize) -> Result<(), EditError> {
        if headers.len() >= MAX_FIELDS {
            return Err(EditError::TooLarge);
        }
        if bytes > self.0 {
            let used: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
            self.0 = MAX_BYTES.saturating_sub(used);
        }
        self.0 = self.0.checked_sub(bytes).ok_or(EditError::TooLarge)?;
        Ok(())
    }
}

/// A filter's edit of a head.
pub fn edit(
    headers: &mut HeaderMap,
    room: &mut Room,
    field: &Field,
    value: &str,
    how: Edit,
) -> Result<(), EditError> {
    let name = field.editable()?;
    let value = HeaderValue::from_str(value).map_err(|_| EditError::InvalidValue)?;
    room.take(headers, name.as_str().len() + value.len())?;
    match (how, headers.entry(name)) {
        (Edit::Append, Entry::Occupied(mut values)) => values.append(value),
        (Edit::Replace, Entry::Occupied(mut values)) => drop(values.insert(value)),
        (_, Entry::Vacant(place)) => drop(place.insert(value)),
    }
    Ok(())
}

/// A filter's removal of a field.
pub fn remove(headers: &mut HeaderMap, field: &Field) -> Result<(), EditError> {
    headers.remove(field.editable()?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
        }
        headers
    }

    #[test]
    fn hop_by_hop_fields_go_and_so_do_those_that_connection_names() {
        let mut headers = map(&[
            ("connection", "close, X-Secret"),
            ("connection", "keep-alive"),
            ("keep-alive", "5"),
            ("te", "gzip"),
            ("upgrade", "h2c"),
            ("x-secret", "1"),
            ("accept", "*/*"),
        ]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("accept", "*/*")]));
    }

    #[test]
    fn connection_cannot_name_what_others_rely_on() {
        let mut headers = map(&[("connection", "host, content-length, x-forwarded-for"), ("host", "a")]);
        headers.append(X_FORWARDED_FOR, HeaderValue::from_static("1.2.3.4"));
        strip_hop_by_hop(&mut headers);
        assert!(headers.contains_key("host") && headers.contains_key(X_FORWARDED_FOR));
    }

    #[test]
    fn a_request_says_whom_it_came_from() {
        let mut headers =
            map(&[("host", "a.example"), ("x-forwarded-for", "9.9.9.9"), ("x-forwarded-for", "8.8.8.8")]);
        headers.append(X_FORWARDED_PROTO, HeaderValue::from_static("gopher"));
        prepare_request(&mut headers, &HeaderValue::from_static("127.0.0.1"), "http");
        assert_eq!(headers[X_FORWARDED_FOR], "9.9.9.9, 8.8.8.8, 127.0.0.1");
        assert_eq!(headers[X_FORWARDED_PROTO], "http");
        assert_eq!(headers[X_FORWARDED_HOST], "a.example");
    }

    #[test]
    fn trailers_are_the_only_te_that_goes_on() {
        let mut headers = map(&[("te", "gzip, trailers")]);
        prepare_request(&mut headers, &HeaderValue::from_static("127.0.0.1"), "http");
        assert_eq!(headers["te"], "trailers");
        let mut headers = map(&[("te", "gzip")]);
        prepare_request(&mut headers, &HeaderValue::from_static("127.0.0.1"), "http");
        assert!(!headers.contains_key("te"));
    }

    fn edit(headers: &mut HeaderMap, name: &str, value: &str, how: Edit) -> Result<(), EditError> {
        super::edit(headers, &mut Room::default(), Fields::default().get(name)?, value, how)
    }

    #[test]
    fn names_are_known_by_what_they_are_called() {
        let mut fields = Fields::default();
        for name in ["x-a", "X-A", "x-b", "content-type", "x-a"] {
            assert_eq!(fields.get(name).unwrap().name.as_str(), name.to_ascii_lowercase());
        }
        for n in 0..100 {
            let name = format!("x-{n}");
            assert_eq!(fields.get(&name).unwrap().name, *name);
        }
        assert_eq!(fields.get("a b").err(), Some(EditError::InvalidName));
        assert_eq!(fields.get("").err(), Some(EditError::InvalidName));
        assert!(fields.get("host").unwrap().owned && !fields.get("x-a").unwrap().owned);
    }

    #[test]
    fn room_is_what_the_head_leaves() {
        let (mut headers, mut room) = (HeaderMap::new(), Room::default());
        let mut fields = Fields::default();
        let half = "v".repeat(MAX_BYTES / 2 - 1);
        let mut set = |headers: &mut HeaderMap, name| {
            super::edit(headers, &mut room, fields.get(name).unwrap(), &half, Edit::Replace)
        };
        assert_eq!([set(&mut headers, "a"), set(&mut headers, "b")], [Ok(()), Ok(())]);
        assert_eq!(set(&mut headers, "c"), Err(EditError::TooLarge));
        headers.remove("b");
        assert_eq!(set(&mut headers, "c"), Ok(()));
    }

    #[test]
    fn edits_are_checked() {
        let mut headers = HeaderMap::new();
        for name in ["host", "Content-Length", "transfer-encoding", "connection", "x-request-id", "te"] {
            assert_eq!(edit(&mut headers, name, "x", Edit::Replace), Err(EditError::Forbidden), "{name}");
            assert_eq!(
                remove(&mut headers, &Field::parse(name).unwrap()),
                Err(EditError::Forbidden),
                "{name}"
            );
        }
        assert_eq!(edit(&mut headers, "a b", "x", Edit::Append), Err(EditError::InvalidName));
        assert_eq!(edit(&mut headers, "", "x", Edit::Append), Err(EditError::InvalidName));
        assert_eq!(edit(&mut headers, "a", "x\r\ny: z", Edit::Append), Err(EditError::InvalidValue));
        edit(&mut headers, "X-A", "1", Edit::Append).unwrap();
        edit(&mut headers, "x-a", "2", Edit::Append).unwrap();
        assert_eq!(headers.get_all("x-a").iter().count(), 2);
        edit(&mut headers, "x-a", "3", Edit::Replace).unwrap();
        assert_eq!(headers.get_all("x-a").iter().collect::<Vec<_>>(), ["3"]);
    }

    #[test]
    fn a_head_cannot_grow_without_end() {
        let mut headers = HeaderMap::new();
        let fits = (0..).find(|n| edit(&mut headers, "x", "v", Edit::Append).is_err().then_some(n).is_some());
        assert_eq!(fits, Some(MAX_FIELDS));
        let mut headers = HeaderMap::new();
        let long = "v".repeat(MAX_BYTES);
        assert_eq!(edit(&mut headers, "x", &long, Edit::Append), Err(EditError::TooLarge));
    }
}
