//! Labels with a closed set of values. Each value has a counter at a fixed place, so counting is an addition
//! and no lookup; and each shows as 0 before it is first counted, so that a rate over it sees the first
//! event.

use crate::phase::Phase;

/// A value of a label that has a known, small number of values.
pub(super) trait Label: Copy + 'static {
    /// Every value; the place of each is its `index`.
    const ALL: &'static [Self];
    /// The place in `ALL`.
    fn index(self) -> usize;
    /// The label's value in the exposition.
    fn text(self) -> &'static str;
}

impl Label for Phase {
    const ALL: &'static [Self] = &Self::ALL;
    fn index(self) -> usize {
        self as usize
    }
    fn text(self) -> &'static str {
        self.as_str()
    }
}

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident = $text:literal,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$value_doc])* $value,)+ }

        impl $name {
            pub(super) const COUNT: usize = [$($text),+].len();

            /// The label's value, as metrics and logs show it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$value => $text,)+ }
            }
        }

        impl Label for $name {
            const ALL: &'static [Self] = &[$(Self::$value,)+];
            fn index(self) -> usize {
                self as usize
            }
            fn text(self) -> &'static str {
                self.as_str()
            }
        }
    )+};
}

labels! {
    /// Why an exchange did not end with a whole answer of the upstream's: the label `type` of `errors_total`.
    ErrorType {
        /// The client left before it had the whole answer.
        ClientGone = "client_gone",
        /// The host refused the request: it was malformed, or ambiguous.
        InvalidRequest = "invalid_request",
        /// The request's body was larger than the route allows.
        BodyTooLarge = "body_too_large",
        /// No connection to the upstream could be made.
        ConnectFailed = "connect_failed",
        /// The upstream did not answer in time.
        TimedOut = "timed_out",
        /// The connection to the upstream broke before a response head.
        Reset = "reset",
        /// The upstream broke off after its response head.
        UpstreamBroke = "upstream_broke",
        /// A filter failed, and the manifest says `on-error: closed`.
        FilterFault = "filter_fault",
        /// A filter answered instead of the upstream.
        RejectedByFilter = "rejected_by_filter",
        /// The route's `timeout` passed.
        Deadline = "deadline",
        /// The host itself failed.
        Internal = "internal",
    }

    /// How an attempt to reach an upstream ended: the label `outcome` of `upstream_attempts_total`.
    AttemptOutcome {
        /// A response head arrived, whatever its status.
        Response = "response",
        /// No connection could be made.
        ConnectFailed = "connect_failed",
        /// No response head arrived in time.
        TimedOut = "timed_out",
        /// The connection broke before a response head.
        Reset = "reset",
    }

    /// What became of a filter's wish to try again: the label `result` of `retries_total`.
    RetryResult {
        /// Another attempt was made.
        Granted = "granted",
        /// The retry budget was used up.
        RefusedBudget = "refused_budget",
        /// The delay would have ended past the exchange's deadline.
        RefusedDeadline = "refused_deadline",
        /// The request's body was not kept, or not in whole.
        RefusedReplay = "refused_replay",
        /// A byte of a response had gone to the client already.
        RefusedClientStarted = "refused_client_started",
    }

    /// What happened to a connection to an upstream: the label `event` of `upstream_connections_total`.
    ConnectionEvent {
        /// A new one was made.
        Opened = "opened",
        /// An idle one was taken from the pool.
        Reused = "reused",
        /// One from the pool turned out to be closed by the upstream.
        Stale = "stale",
    }

    /// How a filter failed: the label `kind` of `filter_faults_total`.
    FaultKind {
        /// It trapped.
        Trap = "trap",
        /// It took longer than its `limits.time`.
        Timeout = "timeout",
        /// It asked for more than its `limits.memory`.
        Memory = "memory",
        /// A new instance refused its configuration.
        Config = "config",
        /// It answered `respond` without having made a reply.
        Reply = "reply",
        /// The worker had as many instances of it as its `limits.instances` allows.
        Instances = "instances",
    }
    /// What became of a reload: the label `result` of `config_reloads_total`.
    ReloadResult {
        /// What is new serves.
        Applied = "applied",
        /// There was nothing new.
        Unchanged = "unchanged",
        /// Something was wrong with it; what served before goes on.
        Refused = "refused",
    }
}
