//! Filters that may wait: those that ask others while an exchange is in their hands, and what they find of WASI. Others
//! go on meanwhile, and nothing that such a filter does can hold a worker up.

mod asking;
mod limits;
mod world;

use crate::examples::build;
use crate::support::manifest::Manifest;
use crate::support::script::{chain, entry};
use crate::support::{Message, Origin, Tollgate};

/// One worker, with the test's filter before an origin, and a service at that URL to ask. `keys` are further keys of
/// the filter, but for `config` and `grants`.
fn asking(service: &str, keys: &str, origin: &Origin) -> Tollgate {
    let granted = format!("config: {{url: \"{service}\"}}\ngrants: {{http: [\"{service}\"]}}");
    with_filter(&format!("{granted}\n{keys}"), origin)
}

/// One worker, with the test's filter before an origin.
fn with_filter(keys: &str, origin: &Origin) -> Tollgate {
    let module = build("guest-wasi", "guest_wasi.wasm");
    let limits = if keys.contains("limits:") { "" } else { "\nlimits: {time: 5s, wait: 30s}" };
    let filters = chain(&[entry("guest", &module, &format!("{keys}{limits}"))]);
    let manifest = Manifest { process: &filters, ..Manifest::default() };
    manifest.in_front_of_url(&origin.url(), &["--workers", "1"])
}

/// A request that has the filter do something.
fn does(what: &str) -> String {
    format!("GET / HTTP/1.1\r\nhost: t\r\nx-do: {what}\r\n\r\n")
}

fn answer(tollgate: &Tollgate, request: &str) -> Message {
    tollgate.client().send(request).receive()
}
