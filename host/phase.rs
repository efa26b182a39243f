//! The phases of an exchange in which the chain calls its filters. The names are those of the functions in
//! `wit/phases.wit`; logs and metrics show them.

use std::fmt;

/// One kind of call from the host into a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// A new instance gets its configuration.
    Configure,
    /// The head of a request has arrived.
    OnRequest,
    /// The whole body of a request has arrived.
    OnRequestBody,
    /// An attempt to reach the upstream is about to be made.
    BeforeAttempt,
    /// An attempt has ended.
    AfterAttempt,
    /// The head of the upstream's response has arrived.
    OnResponse,
    /// A part of the response's body has arrived.
    OnResponseChunk,
    /// The exchange is over.
    OnComplete,
}

impl Phase {
    /// Every phase, in the order of an exchange; `self as usize` is the place in it.
    pub const ALL: [Self; 8] = [
        Self::Configure,
        Self::OnRequest,
        Self::OnRequestBody,
        Self::BeforeAttempt,
        Self::AfterAttempt,
        Self::OnResponse,
        Self::OnResponseChunk,
        Self::OnComplete,
    ];

    /// The contract's name for the call, as in `on-request`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configure => "configure",
            Self::OnRequest => "on-request",
            Self::OnRequestBody => "on-request-body",
            Self::BeforeAttempt => "before-attempt",
            Self::AfterAttempt => "after-attempt",
            Self::OnResponse => "on-response",
            Self::OnResponseChunk => "on-response-chunk",
            Self::OnComplete => "on-complete",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_stands_at_its_own_place_and_has_a_name_of_its_own() {
        for (place, phase) in Phase::ALL.into_iter().enumerate() {
            assert_eq!(phase as usize, place);
            assert_eq!(Phase::ALL.iter().filter(|other| other.as_str() == phase.to_string()).count(), 1);
        }
    }
}
