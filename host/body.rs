//! Bodies: the buffered one that filters may read, the request's as it streams to one attempt after another, and the
//! response's as it streams to the client. All move under backpressure, in memory that does not grow with them.

mod buffered;
mod request;
mod response;
mod stall;

pub use buffered::{BufferedBody, TooManyValues};
pub use request::{AttemptBody, ReadError, RequestBody};
pub use response::{ResponseBody, UpstreamBody};
pub use tollgate_json::{Kind as JsonKind, Value as JsonValue};

/// What `hyper` is told when a body cannot go on; the client or the upstream sees the connection cut.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
