//! The contract's `request` and `response`: reading and editing heads.

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, StatusCode, Uri};
use wasmtime::Result;

use super::super::bindings::{request, response, types::HeaderError};
use super::super::guest::Guest;
use super::TOO_LATE;
use crate::exchange::Stage;
use crate::headers::{self, Edit};

type Edited = Result<Result<(), HeaderError>>;

impl request::Host for Guest {
    fn method(&mut self) -> Result<String> {
        Ok(self.exchange()?.request.method.to_string())
    }

    fn authority(&mut self) -> Result<String> {
        let request = &self.exchange()?.request;
        Ok(first(&request.headers, "host").unwrap_or_default())
    }

    fn path(&mut self) -> Result<String> {
        Ok(self.exchange()?.path().to_owned())
    }

    fn set_path(&mut self, path: String) -> Edited {
        let shadow = self.filter.shadow;
        let exchange = self.exchange()?;
        if exchange.stage > Stage::BeforeAttempt {
            return Ok(Err(TOO_LATE));
        }
        let parsed = Some(&path)
            .filter(|path| path.starts_with('/'))
            .and_then(|path| path.parse::<PathAndQuery>().ok());
        let Some(path) = parsed else { return Ok(Err(HeaderError::InvalidValue)) };
        if !shadow {
            exchange.request.uri = Uri::from(path);
        }
        Ok(Ok(()))
    }

    fn header(&mut self, name: String) -> Result<Option<String>> {
        Ok(first(&self.exchange()?.request.headers, &name))
    }

    fn header_bytes(&mut self, name: String) -> Result<Vec<Vec<u8>>> {
        Ok(all(&self.exchange()?.request.headers, &name))
    }

    fn header_names(&mut self) -> Result<Vec<String>> {
        Ok(names(&self.exchange()?.request.headers))
    }

    fn set_header(&mut self, name: String, value: String) -> Edited {
        self.edit_request(|headers| headers::edit(headers, &name, &value, Edit::Replace))
    }

    fn append_header(&mut self, name: String, value: String) -> Edited {
        self.edit_request(|headers| headers::edit(headers, &name, &value, Edit::Append))
    }

    fn remove_header(&mut self, name: String) -> Edited {
        self.edit_request(|headers| headers::remove(headers, &name))
    }
}

impl response::Host for Guest {
    fn status(&mut self) -> Result<u16> {
        Ok(self.exchange()?.response.as_ref().map_or(0, |response| response.status.as_u16()))
    }

    fn set_status(&mut self, status: u16) -> Edited {
        let parsed = StatusCode::from_u16(status).ok().filter(|_| (200..600).contains(&status));
        let Some(status) = parsed.filter(|status| !matches!(status.as_u16(), 204 | 304)) else {
            return Ok(Err(HeaderError::InvalidValue));
        };
        let shadow = self.filter.shadow;
        let exchange = self.exchange()?;
        match &mut exchange.response {
            Some(response) if exchange.stage == Stage::ResponseHead => {
                // A 204 or a 304 has no body: another status must not promise one.
                if matches!(response.status.as_u16(), 204 | 304) {
                    return Ok(Err(HeaderError::InvalidValue));
                }
                if !shadow {
                    response.status = status;
                }
                Ok(Ok(()))
            }
            _ => Ok(Err(TOO_LATE)),
        }
    }

    fn header(&mut self, name: String) -> Result<Option<String>> {
        let response = &self.exchange()?.response;
        Ok(response.as_ref().and_then(|response| first(&response.headers, &name)))
    }

    fn header_bytes(&mut self, name: String) -> Result<Vec<Vec<u8>>> {
        let response = &self.exchange()?.response;
        Ok(response.as_ref().map(|response| all(&response.headers, &name)).unwrap_or_default())
    }

    fn header_names(&mut self) -> Result<Vec<String>> {
        let response = &self.exchange()?.response;
        Ok(response.as_ref().map(|response| names(&response.headers)).unwrap_or_default())
    }

    fn set_header(&mut self, name: String, value: String) -> Edited {
        self.edit_response(|headers| headers::edit(headers, &name, &value, Edit::Replace))
    }

    fn append_header(&mut self, name: String, value: String) -> Edited {
        self.edit_response(|headers| headers::edit(headers, &name, &value, Edit::Append))
    }

    fn remove_header(&mut self, name: String) -> Edited {
        self.edit_response(|headers| headers::remove(headers, &name))
    }
}

impl Guest {
    fn edit_request(
        &mut self,
        edit: impl FnOnce(&mut HeaderMap) -> Result<(), headers::EditError>,
    ) -> Edited {
        let shadow = self.filter.shadow;
        let exchange = self.exchange()?;
        if exchange.stage > Stage::BeforeAttempt {
            return Ok(Err(TOO_LATE));
        }
        Ok(apply(&mut exchange.request.headers, shadow, edit))
    }

    fn edit_response(
        &mut self,
        edit: impl FnOnce(&mut HeaderMap) -> Result<(), headers::EditError>,
    ) -> Edited {
        let shadow = self.filter.shadow;
        let exchange = self.exchange()?;
        match &mut exchange.response {
            Some(response) if exchange.stage == Stage::ResponseHead => {
                Ok(apply(&mut response.headers, shadow, edit))
            }
            _ => Ok(Err(TOO_LATE)),
        }
    }
}

/// A shadowed filter edits a copy: it learns what it would have learnt, and nothing changes.
fn apply(
    headers: &mut HeaderMap,
    shadow: bool,
    edit: impl FnOnce(&mut HeaderMap) -> Result<(), headers::EditError>,
) -> Result<(), HeaderError> {
    if shadow { edit(&mut headers.clone()) } else { edit(headers) }.map_err(Into::into)
}

fn first(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn all(headers: &HeaderMap, name: &str) -> Vec<Vec<u8>> {
    headers.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect()
}

fn names(headers: &HeaderMap) -> Vec<String> {
    headers.keys().map(HeaderName::to_string).collect()
}
