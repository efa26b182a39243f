//! The host's own metric families: what each is called, what it says, and how it is read from the shards.

use std::collections::{BTreeMap, BTreeSet};

use super::counter::CounterSet;
use super::family::Family;
use super::label::Label;
use super::process;
use super::reload::Reloads;
use super::shard::{FilterSeries, PhaseSeries, ProviderSeries, Shards};

/// A name without its namespace, and its help text.
struct Description {
    name: &'static str,
    help: &'static str,
}

const REQUESTS: Description = Description {
    name: "requests_total",
    help: "Exchanges, by provider and the status that the client got.",
};
const DURATIONS: Description = Description {
    name: "request_duration_seconds",
    help: "Time from a request's head to the end of its answer, by provider.",
};
const ERRORS: Description = Description {
    name: "errors_total",
    help: "Exchanges that did not end with a whole answer of the upstream's, by provider and reason.",
};
const ATTEMPTS: Description = Description {
    name: "upstream_attempts_total",
    help: "Attempts to reach an upstream, by provider and outcome.",
};
const RETRIES: Description = Description {
    name: "retries_total",
    help: "Retries that filters asked for, by provider and what the host made of it.",
};
const CONNECTIONS: Description = Description {
    name: "upstream_connections_total",
    help: "Connections to upstreams that were opened, reused, or found closed when reused, by provider.",
};
const CALLS: Description =
    Description { name: "filter_calls_total", help: "Calls of a filter, by filter and phase." };
const REJECTIONS: Description = Description {
    name: "filter_rejections_total",
    help: "Answers of a filter instead of the upstream's, by filter and phase.",
};
const FAULTS: Description =
    Description { name: "filter_faults_total", help: "Failures of a filter, by filter, phase and kind." };
const ACTIVE: Description = Description { name: "active_requests", help: "Exchanges in flight." };
const DOWNSTREAM: Description =
    Description { name: "downstream_connections", help: "Open connections of clients." };
const BY_WORKER: Description =
    Description { name: "worker_connections", help: "Open connections of clients, by worker." };
const BUILD: Description = Description { name: "build_info", help: "Always 1; the label says what runs." };

const RELOADS: Description =
    Description { name: "config_reloads_total", help: "Reloads of the manifest, by what became of them." };
const LAST_RELOAD: Description = Description {
    name: "config_last_reload_successful",
    help: "1 if the newest manifest is the one that runs, 0 if it was refused.",
};
const LAST_SUCCESS: Description = Description {
    name: "config_last_reload_success_timestamp_seconds",
    help: "When a manifest was taken for the last time, the one at the start included.",
};

const ALL: [&Description; 16] = [
    &REQUESTS,
    &DURATIONS,
    &ERRORS,
    &ATTEMPTS,
    &RETRIES,
    &CONNECTIONS,
    &CALLS,
    &REJECTIONS,
    &FAULTS,
    &ACTIVE,
    &DOWNSTREAM,
    &BY_WORKER,
    &BUILD,
    &RELOADS,
    &LAST_RELOAD,
    &LAST_SUCCESS,
];

/// Every name in the exposition that is the host's, so that no filter may take it.
pub(super) fn reserved_names(namespace: &str) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = ALL.iter().map(|description| description.full(namespace)).collect();
    let histogram = DURATIONS.full(namespace);
    names.extend(["_bucket", "_sum", "_count"].map(|part| format!("{histogram}{part}")));
    names.extend(process::NAMES.map(str::to_owned));
    names
}

/// The host's families under `namespace`, with what the shards and the reloads' figures hold now.
pub(super) fn families(namespace: &str, shards: &Shards, reloads: &Reloads) -> Vec<Family> {
    let mut families = provider_families(namespace, &shards.providers());
    families.extend(filter_families(namespace, &shards.filters()));

    let mut active = ACTIVE.gauge(namespace);
    active.sample(&[], shards.sum(|shard| &shard.active_requests) as f64);
    let mut downstream = DOWNSTREAM.gauge(namespace);
    downstream.sample(&[], shards.sum(|shard| &shard.downstream_connections) as f64);
    let mut by_worker = BY_WORKER.gauge(namespace);
    for (worker, connections) in shards.each(|shard| &shard.downstream_connections).enumerate() {
        by_worker.sample(&[("worker", &worker.to_string())], connections as f64);
    }
    let mut build = BUILD.gauge(namespace);
    build.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    families.extend([active, downstream, by_worker, build]);
    families.extend(reload_families(namespace, reloads));
    families
}

impl Description {
    fn full(&self, namespace: &str) -> String {
        format!("{namespace}_{}", self.name)
    }

    fn counter(&self, namespace: &str) -> Family {
        Family::counter(self.full(namespace), self.help)
    }

    fn gauge(&self, namespace: &str) -> Family {
        Family::gauge(self.full(namespace), self.help)
    }
}

type Providers = BTreeMap<String, ProviderSeries>;

fn provider_families(namespace: &str, providers: &Providers) -> Vec<Family> {
    let mut requests = REQUESTS.counter(namespace);
    let mut durations = Family::histogram(DURATIONS.full(namespace), DURATIONS.help);
    for (provider, series) in providers {
        for (status, count) in series.statuses.counts() {
            requests.sample(&[("provider", provider), ("status", &status.to_string())], count as f64);
        }
        durations.durations(&[("provider", provider)], &series.durations);
    }
    vec![
        requests,
        durations,
        by_label(ERRORS.counter(namespace), "type", providers, |series| &series.errors),
        by_label(ATTEMPTS.counter(namespace), "outcome", providers, |series| &series.attempts),
        by_label(RETRIES.counter(namespace), "result", providers, |series| &series.retries),
        by_label(CONNECTIONS.counter(namespace), "event", providers, |series| &series.connections),
    ]
}

fn by_label<L: Label, const N: usize>(
    mut family: Family,
    label: &str,
    providers: &Providers,
    counters: fn(&ProviderSeries) -> &CounterSet<L, N>,
) -> Family {
    for (provider, series) in providers {
        for (value, count) in counters(series).counts() {
            family.sample(&[("provider", provider), (label, value.text())], count as f64);
        }
    }
    family
}

fn filter_families(namespace: &str, filters: &BTreeMap<String, FilterSeries>) -> [Family; 3] {
    let mut calls = CALLS.counter(namespace);
    let mut rejections = REJECTIONS.counter(namespace);
    let mut faults = FAULTS.counter(namespace);
    for (filter, series) in filters {
        for (phase, PhaseSeries { calls: called, rejections: rejected, faults: failed }) in
            series.active_phases()
        {
            let labels = [("filter", filter.as_str()), ("phase", phase.as_str())];
            calls.sample(&labels, called.value() as f64);
            rejections.sample(&labels, rejected.value() as f64);
            for (kind, count) in failed.counts() {
                faults.sample(&[labels[0], labels[1], ("kind", kind.text())], count as f64);
            }
        }
    }
    [calls, rejections, faults]
}

fn reload_families(namespace: &str, reloads: &Reloads) -> [Family; 3] {
    let mut results = RELOADS.counter(namespace);
    for (result, count) in reloads.counts() {
        results.sample(&[("result", result.as_str())], count as f64);
    }
    let mut successful = LAST_RELOAD.gauge(namespace);
    successful.sample(&[], f64::from(u8::from(reloads.last_was_successful())));
    let mut success = LAST_SUCCESS.gauge(namespace);
    success.sample(&[], reloads.last_success());
    [results, successful, success]
}
