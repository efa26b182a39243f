//! What can go wrong on the host's side of an exchange, whose fault it is, and which answer it makes. The only place
//! where an error becomes a response.

use std::fmt;

use http::StatusCode;

use crate::body::ReadError;
use crate::reply::Reply;
use crate::telemetry::ErrorType;
use crate::upstream::AttemptError;

/// Why the host answers itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// No route names this host, path and method.
    NoRoute,
    /// The request's head contradicts itself or HTTP; in words.
    BadRequest(&'static str),
    /// A method that is not for proxies like this one.
    NotImplemented,
    /// The body is larger than the route's `body-limit`.
    BodyTooLarge,
    /// The client broke off its body.
    BodyBroken,
    /// The client stopped sending.
    BodyStalled,
    /// A filter failed, and its `on-error` is `closed`.
    FilterFailed,
    /// No connection to the upstream.
    ConnectFailed,
    /// The upstream took too long.
    TimedOut,
    /// The upstream broke the connection.
    Reset,
    /// The exchange's own time is over.
    Deadline,
}

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The client's: 4xx.
    Client,
    /// A filter's: 503.
    Filter,
    /// The upstream's: 502 or 504.
    Upstream,
}

impl Error {
    /// Whose fault it is.
    pub fn fault(self) -> Fault {
        match self {
            Self::NoRoute | Self::BadRequest(_) | Self::NotImplemented => Fault::Client,
            Self::BodyTooLarge | Self::BodyBroken | Self::BodyStalled => Fault::Client,
            Self::FilterFailed => Fault::Filter,
            Self::ConnectFailed | Self::TimedOut | Self::Reset | Self::Deadline => Fault::Upstream,
        }
    }

    /// The status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::BadRequest(_) | Self::BodyBroken => StatusCode::BAD_REQUEST,
            Self::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyStalled => StatusCode::REQUEST_TIMEOUT,
            Self::FilterFailed => StatusCode::SERVICE_UNAVAILABLE,
            Self::ConnectFailed | Self::Reset => StatusCode::BAD_GATEWAY,
            Self::TimedOut | Self::Deadline => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The stable word for machines.
    pub fn code(self) -> &'static str {
        match self {
            Self::NoRoute => "no_route",
            Self::BadRequest(_) => "bad_request",
            Self::NotImplemented => "not_implemented",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyBroken => "body_broken",
            Self::BodyStalled => "body_stalled",
            Self::FilterFailed => "filter_failed",
            Self::ConnectFailed => "upstream_connect_failed",
            Self::TimedOut => "upstream_timeout",
            Self::Reset => "upstream_reset",
            Self::Deadline => "deadline_exceeded",
        }
    }

    /// How metrics count it.
    pub fn kind(self) -> ErrorType {
        match self {
            Self::NoRoute | Self::BadRequest(_) | Self::NotImplemented => ErrorType::InvalidRequest,
            Self::BodyBroken | Self::BodyStalled => ErrorType::ClientGone,
            Self::BodyTooLarge => ErrorType::BodyTooLarge,
            Self::FilterFailed => ErrorType::FilterFault,
            Self::ConnectFailed => ErrorType::ConnectFailed,
            Self::TimedOut => ErrorType::TimedOut,
            Self::Reset => ErrorType::Reset,
            Self::Deadline => ErrorType::Deadline,
        }
    }

    /// True if it cannot be known where the request ends: what follows on the client's connection must not be read.
    pub fn ends_connection(self) -> bool {
        matches!(self, Self::BadRequest(_) | Self::BodyBroken | Self::BodyStalled)
    }

    /// The answer. It says nothing of the inside: that is in the log, under the same request id.
    pub fn reply(self) -> Reply {
        Reply::error(self.status(), self.code(), self.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRoute => "No route matches this request",
            Self::BadRequest(why) => why,
            Self::NotImplemented => "This method is not supported here",
            Self::BodyTooLarge => "The request's body is larger than this route allows",
            Self::BodyBroken => "The request's body broke off",
            Self::BodyStalled => "The request's body stopped arriving",
            Self::FilterFailed => "A policy could not be evaluated",
            Self::ConnectFailed => "The upstream cannot be reached",
            Self::TimedOut => "The upstream did not answer in time",
            Self::Reset => "The upstream broke the connection",
            Self::Deadline => "The request took longer than this route allows",
        })
    }
}

impl std::error::Error for Error {}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::TooLarge => Self::BodyTooLarge,
            ReadError::Broken => Self::BodyBroken,
            ReadError::Stalled => Self::BodyStalled,
        }
    }
}

impl From<&AttemptError> for Error {
    fn from(error: &AttemptError) -> Self {
        match error {
            AttemptError::ConnectFailed(_) => Self::ConnectFailed,
            AttemptError::TimedOut => Self::TimedOut,
            AttemptError::Reset(_) => Self::Reset,
            AttemptError::Client(error) => (*error).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_says_whose_fault_it_is() {
        let all = [
            (Error::NoRoute, 404),
            (Error::BadRequest("x"), 400),
            (Error::BodyTooLarge, 413),
            (Error::BodyBroken, 400),
            (Error::BodyStalled, 408),
            (Error::FilterFailed, 503),
            (Error::ConnectFailed, 502),
            (Error::TimedOut, 504),
            (Error::Reset, 502),
            (Error::Deadline, 504),
        ];
        for (error, status) in all {
            assert_eq!(error.status().as_u16(), status, "{error:?}");
            let server_side = matches!(error.fault(), Fault::Upstream | Fault::Filter);
            assert_eq!(error.status().is_server_error(), server_side, "{error:?}");
            assert_eq!(error.reply().status(), error.status());
            assert!(!error.code().is_empty() && !error.to_string().is_empty());
        }
        assert_eq!(
            (Error::NotImplemented.status().as_u16(), Error::NotImplemented.fault()),
            (501, Fault::Client)
        );
    }
}
