//! Sheds load: refuses new requests while the process is short of memory or has too many of them in flight, so that
//! those it has taken can finish. It answers 503 `overloaded` with `Retry-After`; built-in routes do not pass filters.
//!
//! | config key | unit | default | sheds while |
//! |---|---|---|---|
//! | `memory` | share, above 0 and up to 1 | 0.85 | memory in use is at or over this share of the limit |
//! | `heap` | share, above 0 and up to 1 | 0.90 | the allocator uses at least this share of its own limit, if it has one |
//! | `active-requests` | exchanges, at least 1 | 1000 | more than this are in flight, the new one included |
//! | `retry-after-s` | seconds, at least 1 | 1 | (what the answer advises) |
//!
//! Metrics: the counter `load_shedding_requests_shed` by `reason` and the gauge `load_shedding_threshold` by
//! `resource`; both labels are one of `active_requests`, `memory` and `heap`.

use serde::Deserialize;
use tollgate_sdk::metrics::{Counter, Gauge, Metric};
use tollgate_sdk::{Filter, OnRequest, Verdict, pressure, reply};

/// The filter's config, as the module says.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Config {
    /// Share of the memory limit.
    pub memory: f64,
    /// Share of the allocator's own limit.
    pub heap: f64,
    /// Exchanges in flight.
    pub active_requests: u32,
    /// Seconds.
    pub retry_after_s: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { memory: 0.85, heap: 0.90, active_requests: 1000, retry_after_s: 1 }
    }
}

/// Refuses requests while a resource is over its threshold.
pub struct Shedding {
    config: Config,
    shed: [(Resource, Counter); 3],
}

/// What there can be too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resource {
    ActiveRequests,
    Memory,
    Heap,
}

impl Filter for Shedding {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, String> {
        config.check()?;
        for resource in Resource::ALL {
            let labels = [("resource", resource.label())];
            let help = "Above this share, or number of requests, new requests are shed.";
            Gauge::open("load_shedding_threshold", help, &labels).set(config.threshold(resource));
        }
        // Opened ahead, so that a rate over them is known to be 0 before the first.
        let shed = Resource::ALL.map(|resource| {
            let labels = [("reason", resource.label())];
            let help = "Requests refused to save a resource.";
            (resource, Counter::open("load_shedding_requests_shed", help, &labels))
        });
        Ok(Self { config, shed })
    }
}

impl OnRequest for Shedding {
    fn on_request(&self) -> Verdict {
        let now = pressure::read();
        let Some((resource, shed)) =
            self.shed.iter().find(|(resource, _)| self.config.exceeded(*resource, &now))
        else {
            return Verdict::Proceed;
        };
        shed.add(1);
        reply::reject(503, "overloaded", resource.message());
        reply::retry_after(self.config.retry_after_s);
        Verdict::Respond
    }
}

tollgate_sdk::export!(Shedding: on_request);

impl Config {
    fn check(&self) -> Result<(), String> {
        for (key, share) in [("memory", self.memory), ("heap", self.heap)] {
            if !(share > 0.0 && share <= 1.0) {
                return Err(format!("{key}: {share} is no share: it must be above 0 and at most 1"));
            }
        }
        for (key, number) in
            [("active-requests", self.active_requests), ("retry-after-s", self.retry_after_s)]
        {
            if number == 0 {
                return Err(format!("{key}: must be at least 1"));
            }
        }
        Ok(())
    }

    fn threshold(&self, resource: Resource) -> f64 {
        match resource {
            Resource::ActiveRequests => f64::from(self.active_requests),
            Resource::Memory => self.memory,
            Resource::Heap => self.heap,
        }
    }

    fn exceeded(&self, resource: Resource, now: &pressure::Snapshot) -> bool {
        match resource {
            Resource::ActiveRequests => now.active_exchanges > self.active_requests,
            Resource::Memory => now.memory >= self.memory,
            Resource::Heap => now.heap >= self.heap,
        }
    }
}

impl Resource {
    /// In the order in which they are looked at.
    const ALL: [Self; 3] = [Self::ActiveRequests, Self::Memory, Self::Heap];

    fn label(self) -> &'static str {
        match self {
            Self::ActiveRequests => "active_requests",
            Self::Memory => "memory",
            Self::Heap => "heap",
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::ActiveRequests => "Too many requests are in flight; try again shortly.",
            Self::Memory => "The proxy is short of memory; try again shortly.",
            Self::Heap => "The proxy's heap is nearly full; try again shortly.",
        }
    }
}

#[cfg(test)]
mod tests {
    use tollgate_sdk::pressure::Snapshot;
    use tollgate_sdk::testing::{Host, json};

    use super::*;

    const IDLE: Snapshot =
        Snapshot { memory: 0.0, heap: 0.0, cpu: 0.0, active_exchanges: 1, scheduling_delay_micros: 0 };

    #[test]
    fn requests_pass_below_the_thresholds() {
        let host = Host::new();
        let filter: Shedding = host.configure(json!({})).unwrap();
        host.set_pressure(Snapshot { memory: 0.849, heap: 0.899, active_exchanges: 1000, ..IDLE });
        let mut exchange = host.exchange();
        assert_eq!(exchange.on_request(&filter), Verdict::Proceed);
        assert!(exchange.reply().is_none());
        assert_eq!(host.metric("load_shedding_requests_shed", &[("reason", "memory")]), Some(0.0));
    }

    #[test]
    fn each_resource_sheds_at_its_threshold_and_says_so() {
        let cases = [
            (Snapshot { memory: 0.85, ..IDLE }, "memory", "memory"),
            (Snapshot { heap: 0.90, ..IDLE }, "heap", "heap"),
            (Snapshot { active_exchanges: 1001, ..IDLE }, "active_requests", "in flight"),
        ];
        for (pressure, reason, named) in cases {
            let host = Host::new();
            let filter: Shedding = host.configure(json!({"retry-after-s": 7})).unwrap();
            host.set_pressure(pressure);
            let mut exchange = host.exchange();
            assert_eq!(exchange.on_request(&filter), Verdict::Respond, "{reason}");
            let reply = exchange.reply().unwrap();
            assert_eq!((reply.status, reply.code.as_str(), reply.retry_after), (503, "overloaded", Some(7)));
            assert!(reply.message.contains(named), "{}", reply.message);
            assert_eq!(host.metric("load_shedding_requests_shed", &[("reason", reason)]), Some(1.0));
        }
    }

    #[test]
    fn requests_pass_again_when_the_pressure_is_gone() {
        let host = Host::new();
        let filter: Shedding = host.configure(json!({"active-requests": 2})).unwrap();
        for (active_exchanges, verdict) in [(3, Verdict::Respond), (2, Verdict::Proceed)] {
            host.set_pressure(Snapshot { active_exchanges, ..IDLE });
            assert_eq!(host.exchange().on_request(&filter), verdict);
        }
    }

    #[test]
    fn a_heap_without_limit_is_never_too_full() {
        let host = Host::new();
        let filter: Shedding = host.configure(json!({"heap": 0.000_001})).unwrap();
        assert_eq!(host.exchange().on_request(&filter), Verdict::Proceed);
    }

    #[test]
    fn the_thresholds_are_metrics() {
        let host = Host::new();
        let _: Shedding = host.configure(json!({"memory": 0.5, "active-requests": 20})).unwrap();
        let threshold = |resource| host.metric("load_shedding_threshold", &[("resource", resource)]);
        assert_eq!(threshold("memory"), Some(0.5));
        assert_eq!(threshold("heap"), Some(0.9));
        assert_eq!(threshold("active_requests"), Some(20.0));
    }

    #[test]
    fn a_config_out_of_range_is_refused_with_its_key() {
        let refused = [
            (json!({"memory": 0}), "memory: 0 is no share: it must be above 0 and at most 1"),
            (json!({"heap": 85}), "heap: 85 is no share: it must be above 0 and at most 1"),
            (json!({"active-requests": 0}), "active-requests: must be at least 1"),
            (json!({"retry-after-s": 0}), "retry-after-s: must be at least 1"),
            (json!({"memory": "high"}), "memory: invalid type: string \"high\", expected f64"),
            (json!({"active-requests": -1}), "active-requests: invalid value: integer `-1`, expected u32"),
        ];
        for (config, message) in refused {
            assert_eq!(Host::new().configure::<Shedding>(config).err().as_deref(), Some(message));
        }
        let unknown = Host::new().configure::<Shedding>(json!({"memroy": 0.8})).err().unwrap();
        assert!(unknown.contains("unknown field `memroy`"), "{unknown}");
    }
}
