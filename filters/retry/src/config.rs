//! The config of the filter, with its defaults.

use std::ops::RangeInclusive;

use serde::Deserialize;

/// The filter's config, as the crate's documentation says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Config {
    /// Retries after the first attempt.
    pub max_retries: u32,
    /// Milliseconds.
    pub initial_delay_ms: u32,
    /// Milliseconds.
    pub max_delay_ms: u32,
    /// Methods that may be sent twice.
    pub methods: Vec<String>,
    /// Statuses worth another attempt.
    pub statuses: Statuses,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_retries: 3,
            initial_delay_ms: 1000,
            max_delay_ms: 30_000,
            methods: ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"].map(str::to_owned).to_vec(),
            statuses: Statuses::default(),
        }
    }
}

impl Config {
    /// Checks what the types leave open.
    ///
    /// # Errors
    /// The key, and what is wrong with its value.
    pub(crate) fn check(&self) -> Result<(), String> {
        let is_method = |name: &str| {
            // The characters of a token (RFC 9110, section 5.6.2) but for lower-case letters: methods are
            // case-sensitive, and `get` is a mistake.
            let is_token =
                |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || "!#$%&'*+-.^_`|~".contains(c);
            !name.is_empty() && name.chars().all(is_token)
        };
        match self.methods.iter().position(|name| !is_method(name)) {
            None => Ok(()),
            Some(at) => Err(format!("methods[{at}]: `{}` is no method in capital letters", self.methods[at])),
        }
    }
}

/// A set of statuses, as ranges.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Vec<StatusEntry>")]
pub struct Statuses(Vec<RangeInclusive<u16>>);

impl Default for Statuses {
    fn default() -> Self {
        // 501 and 505 say that the upstream will never do it.
        Self(vec![429..=429, 500..=500, 502..=504, 506..=599])
    }
}

impl Statuses {
    pub(crate) fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

/// `503`, or `5xx` for all of its class.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a status such as 503, or a class such as 5xx")]
enum StatusEntry {
    Status(u16),
    Class(String),
}

impl TryFrom<Vec<StatusEntry>> for Statuses {
    type Error = String;

    fn try_from(entries: Vec<StatusEntry>) -> Result<Self, String> {
        entries.into_iter().map(StatusEntry::range).collect::<Result<_, _>>().map(Self)
    }
}

impl StatusEntry {
    fn range(self) -> Result<RangeInclusive<u16>, String> {
        match self {
            Self::Status(status) if (400..=599).contains(&status) => Ok(status..=status),
            Self::Status(status) => Err(format!("{status} is no error status: 400 to 599")),
            Self::Class(class) if class == "4xx" => Ok(400..=499),
            Self::Class(class) if class == "5xx" => Ok(500..=599),
            Self::Class(class) => Err(format!("`{class}` is no class of error statuses: 4xx or 5xx")),
        }
    }
}
