//! Write a Tollgate filter in Rust.
//!
//! A filter is a type with a config and one trait for each phase it takes part in: [`OnRequest`], [`OnRequestBody`],
//! [`OnAttempt`], [`OnResponse`], [`OnResponseChunk`], [`OnComplete`]. It asks and acts by the functions of the modules
//! here, on the exchange in hand. This one is whole:
//!
//! ```
//! use serde::Deserialize;
//! use tollgate_sdk::{Filter, OnRequest, Verdict, exchange, reply, request};
//!
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Config {
//!     keys: Vec<String>,
//! }
//!
//! struct ApiKey(Config);
//!
//! impl Filter for ApiKey {
//!     type Config = Config;
//!     fn configure(config: Config) -> Result<Self, String> {
//!         if config.keys.is_empty() { Err("keys: at least one".to_owned()) } else { Ok(Self(config)) }
//!     }
//! }
//!
//! impl OnRequest for ApiKey {
//!     fn on_request(&self) -> Verdict {
//!         match request::header("x-api-key") {
//!             Some(key) if self.0.keys.contains(&key) => return Verdict::Proceed,
//!             Some(_) => reply::reject(403, "unknown_key", "This API key is not known."),
//!             None => reply::reject(401, "no_key", "Send your API key in x-api-key."),
//!         }
//!         Verdict::Respond
//!     }
//! }
//!
//! tollgate_sdk::export!(ApiKey: on_request);
//! # use tollgate_sdk::testing::{Host, json};
//! # let host = Host::new();
//! # assert_eq!(host.configure::<ApiKey>(json!({"keys": []})).err().as_deref(), Some("keys: at least one"));
//! # let filter: ApiKey = host.configure(json!({"keys": ["sesame"]})).unwrap();
//! # assert_eq!(host.exchange().header("X-API-Key", "sesame").on_request(&filter), Verdict::Proceed);
//! # for (exchange, status) in [(host.exchange(), 401), (host.exchange().header("x-api-key", "x"), 403)] {
//! #     let mut exchange = exchange;
//! #     assert_eq!(exchange.on_request(&filter), Verdict::Respond);
//! #     assert_eq!(exchange.reply().unwrap().status, status);
//! # }
//! ```
//!
//! # Test it
//! [`testing`] runs a filter natively, without Wasm and without a network:
//!
//! ```
//! # use tollgate_sdk::{Filter, OnRequest, Verdict, reply};
//! # struct Closed;
//! # impl Filter for Closed {
//! #     type Config = std::collections::BTreeMap<String, String>;
//! #     fn configure(_: Self::Config) -> Result<Self, String> { Ok(Self) }
//! # }
//! # impl OnRequest for Closed {
//! #     fn on_request(&self) -> Verdict {
//! #         reply::reject(503, "closed", "We open at nine.");
//! #         Verdict::Respond
//! #     }
//! # }
//! use tollgate_sdk::testing::{Host, json};
//!
//! let host = Host::new();
//! let filter: Closed = host.configure(json!({})).unwrap();
//! let mut exchange = host.exchange().method("POST").path("/orders").body("{}");
//! assert_eq!(exchange.on_request(&filter), Verdict::Respond);
//! assert_eq!(exchange.reply().unwrap().status, 503);
//! ```
//!
//! # Build it
//! With `crate-type = ["cdylib", "rlib"]`, `cargo build --release --target wasm32-unknown-unknown` makes a module that
//! carries its component type, which Tollgate loads as it is. It imports nothing but the contract. A panic is a trap:
//! the host applies the manifest's `on-error` to that exchange, and the panic's message is in its log.

#[cfg(all(target_arch = "wasm32", feature = "arena"))]
mod allocator;
mod bindings;
mod config;
#[doc(hidden)]
pub mod exports;
mod fields;
mod filter;

pub mod body;
pub mod clock;
pub mod exchange;
pub mod health;
#[cfg(feature = "http")]
pub mod http;
pub mod log;
pub mod metrics;
pub mod path;
pub mod pressure;
pub mod random;
pub mod reply;
pub mod request;
pub mod response;
pub mod state;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

/// The other side of every call: the generated imports in a component, the test harness elsewhere.
#[cfg(target_arch = "wasm32")]
use bindings::tollgate::filter as host;
#[cfg(not(target_arch = "wasm32"))]
use testing::imports as host;

pub use filter::{
    Advice, ChunkAction, Ending, Filter, OnAttempt, OnComplete, OnRequest, OnRequestBody, OnResponse,
    OnResponseChunk, Outcome, Verdict,
};
