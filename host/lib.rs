//! Tollgate: an HTTP data plane whose policies are WebAssembly components.
//!
//! The host forwards bytes, natively and fast; an ordered chain of filters decides. A request's way, one module a step:
//!
//! ```text
//! client ─▶ listener ─▶ connection ─▶ proxy ─▶ route ─▶ on-request, filters in order ─┐ respond ─▶ reply ─▶ client
//!                                                       on-request-body, if anyone asks │
//!                                                                 │◀────────────────────┘
//!                                  ┌───────────────────▶ before-attempt, in order ──── respond ─▶ reply
//!                     retry, after │                              │
//!                     its delay    │                      attempt ─▶ upstream
//!                                  └──────────────────── after-attempt, in reverse
//!                                                                 │ accept
//!                                                       on-response, in reverse ─▶ body streams ─▶ client
//!                                                       on-response-chunk            conclusion: on-complete, always
//! ```
//!
//! Dependencies point down: `main` → `cli` → `reload` → `worker` → `connection` → `proxy` → {`chain`, `attempt` →
//! `upstream`} → `wasm`. The manifest is read at start and at a reload (`source`, `manifest`, `assembly`), never on a
//! request's path.
//!
//! Where building taught better than the first drawing:
//!
//! * An exchange's end is a value. `conclusion::Conclusion` travels with the response, and its drop calls
//!   `on-complete`, counts and logs: a client that leaves drops a future somewhere, and nothing can be forgotten.
//! * One live instance a filter a worker is enough: phases are synchronous, a worker does one thing at a time, and the
//!   contract forbids filters to keep an exchange's data, so exchanges interleave on it freely. Only a filter that
//!   waits for others has more, one for each call that is waiting (`chain::waiting`).
//! * A stale pooled connection is `upstream`'s business and no attempt: filters and breakers never hear of it.
//! * `hyper`'s server cannot send interim responses; `io::Watched` does, between `hyper`'s own writes.
//! * A reload costs requests nothing because nothing is shared with it: a worker builds the next setup beside the one that
//!   serves, one filter between two turns of its loop, and swaps an `Rc`. What has not changed is the same `Rc`.
//! * The prototype's OpenTelemetry pipeline has no observable histogram; `telemetry` says what stands in its place.

pub mod admin;
pub mod assembly;
pub mod attempt;
pub mod body;
pub mod chain;
pub mod cli;
pub mod conclusion;
pub mod connection;
pub mod demo;
pub mod error;
pub mod exchange;
pub mod file;
pub mod headers;
pub mod health;
pub mod io;
pub mod listener;
pub mod logs;

pub mod manifest;
pub mod phase;
pub mod pressure;
pub mod proxy;
pub mod reload;
pub mod reply;
pub mod route;
pub mod shutdown;
pub mod source;
pub mod state;
pub mod telemetry;
pub mod upstream;
pub mod wasm;
pub mod worker;
