//! Header fields, and the contract's rules for changing them.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::fields::HeaderError;

/// The host's own: framing, hop-by-hop, and what names the exchange.
const FORBIDDEN: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
const FORBIDDEN_BY_NAME: [&str; 3] = ["keep-alive", "proxy-connection", "x-request-id"];
const MAX_FIELDS: usize = 256;
const MAX_BYTES: usize = 64 * 1024;

/// The fields of a head.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(HeaderMap);

impl Fields {
    pub(super) fn first(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    }

    pub(super) fn all(&self, name: &str) -> Vec<Vec<u8>> {
        self.0.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.keys().map(ToString::to_string).collect()
    }

    /// A filter replaces all values by one.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), HeaderError> {
        let name = changeable(name)?;
        let mut changed = self.clone();
        changed.0.insert(name, valid(value.as_bytes())?);
        self.replace_within_limits(changed)
    }

    /// A filter adds a value.
    pub(super) fn append(&mut self, name: &str, value: &str) -> Result<(), HeaderError> {
        let name = changeable(name)?;
        let mut changed = self.clone();
        changed.0.append(name, valid(value.as_bytes())?);
        self.replace_within_limits(changed)
    }

    /// A filter removes the field.
    pub(super) fn remove(&mut self, name: &str) -> Result<(), HeaderError> {
        self.0.remove(changeable(name)?);
        Ok(())
    }

    /// What a peer sent: any field that a message can carry.
    pub(super) fn receive(&mut self, name: &str, value: &[u8]) -> Result<(), HeaderError> {
        self.0.append(parse_name(name)?, valid(value)?);
        Ok(())
    }

    fn replace_within_limits(&mut self, changed: Self) -> Result<(), HeaderError> {
        let bytes: usize = changed.0.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if changed.0.len() > MAX_FIELDS || bytes > MAX_BYTES {
            return Err(HeaderError::TooLarge);
        }
        *self = changed;
        Ok(())
    }
}

fn parse_name(name: &str) -> Result<HeaderName, HeaderError> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| HeaderError::InvalidName)
}

fn changeable(name: &str) -> Result<HeaderName, HeaderError> {
    let name = parse_name(name)?;
    if FORBIDDEN.contains(&name) || FORBIDDEN_BY_NAME.contains(&name.as_str()) {
        return Err(HeaderError::Forbidden);
    }
    Ok(name)
}

fn valid(value: &[u8]) -> Result<HeaderValue, HeaderError> {
    HeaderValue::from_bytes(value).map_err(|_| HeaderError::InvalidValue)
}
