//! Interim responses (1xx, RFC 9110, section 15.2) on their way from the upstream to the client.

use std::rc::Rc;

use http::{HeaderMap, StatusCode, header};

use crate::headers;
use crate::io::Watch;

/// Forwards interim responses, unless the client speaks HTTP/1.0.
#[derive(Debug, Clone, Default)]
pub struct Interim(Option<Rc<Watch>>);

impl Interim {
    /// Forwards to the client of that connection.
    pub fn to(client: Rc<Watch>) -> Self {
        Self(Some(client))
    }

    /// Puts one in line; it goes out in the connection's next turn.
    pub(super) fn forward(&self, status: StatusCode, fields: HeaderMap) {
        // The host has answered `expect: 100-continue` itself.
        if let Some(client) = self.0.as_ref().filter(|_| status != StatusCode::CONTINUE) {
            client.push_interim(&encode(status, fields));
        }
    }
}

fn encode(status: StatusCode, mut fields: HeaderMap) -> Vec<u8> {
    headers::strip_hop_by_hop(&mut fields);
    // It has no content (RFC 9110, section 8.6): a length would make the client take the next head for it.
    fields.remove(header::CONTENT_LENGTH);
    fields.remove(header::TRAILER);
    let mut head =
        format!("HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or("")).into_bytes();
    for (name, value) in &fields {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}
