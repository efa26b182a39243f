//! The benchmark's filter: on each request it reads two header fields, sets one and adds 1 to a counter that all
//! workers share. It decides nothing, so that what it costs is what calling a filter costs. `proxy-wasm` beside it
//! does the same for Envoy.

use serde::Deserialize;
use tollgate_sdk::state::Cell;
use tollgate_sdk::{Filter, OnRequest, Verdict, request};

/// The filter's config.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The header field to set: another one in each filter of a chain.
    pub sets: String,
}

/// Lets everything pass, and counts it.
pub struct PassThrough {
    sets: String,
    requests: Cell,
}

impl Filter for PassThrough {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, String> {
        Ok(Self { sets: config.sets, requests: Cell::open("requests") })
    }
}

impl OnRequest for PassThrough {
    fn on_request(&self) -> Verdict {
        let agent = request::header("user-agent");
        let accept = request::header("accept");
        let value = if agent.is_some() && accept.is_some() { "both" } else { "some" };
        // A name that the contract refuses shows in the upstream's request; it is no reason to stop traffic.
        let _ = request::set_header(&self.sets, value);
        self.requests.add(1);
        Verdict::Proceed
    }
}

tollgate_sdk::export!(PassThrough: on_request);

#[cfg(test)]
mod tests {
    use tollgate_sdk::testing::{Host, json};

    use super::*;

    #[test]
    fn what_passes_is_marked_and_counted() {
        let host = Host::new();
        let filter: PassThrough = host.configure(json!({"sets": "x-passed-0"})).unwrap();
        let mut exchange = host.exchange().header("user-agent", "wrk");
        assert_eq!(exchange.on_request(&filter), Verdict::Proceed);
        assert_eq!(exchange.request_header("x-passed-0"), Some("some".to_owned()));
        assert_eq!(host.cell("requests"), Some(1));
    }
}
