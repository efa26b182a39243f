//! One request and its response, as filters see them: heads that can be edited, the buffered body, the reply being
//! made, and what the exchange remembers for its filters. It is moved into an instance for the length of a call, so
//! that a call takes no lock and copies nothing.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{request, response};

use crate::body::BufferedBody;
use crate::headers::Room;
use crate::reply::Reply;

/// How many attributes an exchange may have, and how many bytes they may take in all.
const MAX_ATTRIBUTES: usize = 64;
const MAX_ATTRIBUTE_BYTES: usize = 16 << 10;

/// How far the exchange has come. It decides what filters may still change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The request's head has arrived.
    RequestHead,
    /// The request's body has been read whole.
    RequestBody,
    /// An attempt is about to be made.
    BeforeAttempt,
    /// An attempt has ended.
    AfterAttempt,
    /// The response's head has arrived, and is not sent on yet.
    ResponseHead,
    /// The response's body is streaming.
    ResponseBody,
    /// Over.
    Complete,
}

/// The names that an exchange is known by, from the manifest; made once a route.
#[derive(Debug, Default)]
pub struct Names {
    /// The route's.
    pub route: String,
    /// The upstream's.
    pub upstream: String,
    /// The upstream's `provider`.
    pub provider: String,
}

/// One request and its response.
#[derive(Debug)]
pub struct Exchange {
    /// What `x-request-id` says.
    pub id: String,
    /// The address that the connection came from.
    pub client: IpAddr,
    /// Route, upstream and provider.
    pub names: Arc<Names>,
    /// The request's head, as it will be sent upstream.
    pub request: request::Parts,
    /// The response's head, once there is one.
    pub response: Option<response::Parts>,
    /// The request's body, if it was read whole.
    pub body: Option<BufferedBody>,
    /// The answer that a filter has made instead of the upstream's.
    pub reply: Option<Reply>,
    /// How far the exchange has come.
    pub stage: Stage,
    /// When the request's head had been read.
    pub started: Instant,
    /// When the host gives up waiting for a response's head.
    pub deadline: Instant,
    /// By how much filters may make the heads of request and response grow.
    pub room: [Room; 2],
    attributes: Vec<(String, String)>,
    slots: Vec<u64>,
}

/// The exchange has [`MAX_ATTRIBUTES`] attributes, or [`MAX_ATTRIBUTE_BYTES`] of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttributesFull;

impl Exchange {
    /// An exchange whose request's head has just arrived.
    pub fn new(
        request: request::Parts,
        id: String,
        client: IpAddr,
        names: Arc<Names>,
        timeout: Duration,
    ) -> Self {
        let started = Instant::now();
        Self {
            id,
            client,
            names,
            request,
            response: None,
            body: None,
            reply: None,
            stage: Stage::RequestHead,
            started,
            deadline: started + timeout,
            room: Default::default(),
            attributes: Vec::new(),
            slots: Vec::new(),
        }
    }

    /// No exchange at all: what an instance holds while it has none in hand.
    pub fn vacant() -> Self {
        let request = http::Request::new(()).into_parts().0;
        Self::new(request, String::new(), IpAddr::from([0, 0, 0, 0]), Arc::default(), Duration::ZERO)
    }

    /// What is left until the deadline; zero past it.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Path and query, as they will be sent.
    pub fn path(&self) -> &str {
        self.request.uri.path_and_query().map_or("/", |path| path.as_str())
    }

    /// The value of that name, if a filter has set one.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Sets a named value that later filters, logs and traces see.
    pub fn set_attribute(&mut self, name: String, value: String) -> Result<(), AttributesFull> {
        let others = self.attributes.iter().filter(|(known, _)| *known != name);
        let bytes: usize = others.map(|(name, value)| name.len() + value.len()).sum();
        if bytes + name.len() + value.len() > MAX_ATTRIBUTE_BYTES {
            return Err(AttributesFull);
        }
        if let Some((_, old)) = self.attributes.iter_mut().find(|(known, _)| *known == name) {
            *old = value;
            return Ok(());
        }
        if self.attributes.len() == MAX_ATTRIBUTES {
            return Err(AttributesFull);
        }
        self.attributes.push((name, value));
        Ok(())
    }

    /// The word that the filter of that index has kept; 0 at first.
    pub fn slot(&self, filter: usize) -> u64 {
        self.slots.get(filter).copied().unwrap_or(0)
    }

    /// Keeps a word for the filter of that index.
    pub fn set_slot(&mut self, filter: usize, value: u64) {
        if self.slots.len() <= filter {
            self.slots.resize(filter + 1, 0);
        }
        if let Some(slot) = self.slots.get_mut(filter) {
            *slot = value;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An exchange for `GET /path?query` that has a second left.
    pub(crate) fn exchange() -> Exchange {
        let (request, ()) = http::Request::get("/path?query").body(()).unwrap().into_parts();
        let names = Arc::new(Names { route: "r".into(), upstream: "u".into(), provider: "p".into() });
        Exchange::new(request, "id".into(), [127, 0, 0, 1].into(), names, Duration::from_secs(1))
    }

    #[test]
    fn attributes_are_replaced_by_name_and_bounded() {
        let mut exchange = exchange();
        for n in 0..MAX_ATTRIBUTES {
            exchange.set_attribute(n.to_string(), "v".into()).unwrap();
        }
        assert_eq!(exchange.set_attribute("more".into(), "v".into()), Err(AttributesFull));
        exchange.set_attribute("0".into(), "new".into()).unwrap();
        assert_eq!(exchange.attribute("0"), Some("new"));
        let long = "x".repeat(MAX_ATTRIBUTE_BYTES);
        assert_eq!(exchange.set_attribute("0".into(), long), Err(AttributesFull));
        assert_eq!(exchange.attribute("0"), Some("new"));
    }

    #[test]
    fn slots_are_zero_until_set() {
        let mut exchange = exchange();
        assert_eq!(exchange.slot(9), 0);
        exchange.set_slot(3, 5);
        assert_eq!((exchange.slot(2), exchange.slot(3), exchange.slot(4)), (0, 5, 0));
    }
}
