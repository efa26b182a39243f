//! Every promise, driven through the real binary over real sockets. One test binary; a test's name is a sentence; ports
//! are the system's choice; a server that a test plays panics in the test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, missing_docs)]

mod support;

mod smoke;
