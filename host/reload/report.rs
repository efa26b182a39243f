//! What became of a reload, for those who asked and for the log.

use std::time::Duration;

use serde::Serialize;

use super::difference::Edit;
use crate::telemetry::ReloadResult;

/// What became of a reload.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// The manifest's name.
    pub manifest: String,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How long it took, in milliseconds.
    pub milliseconds: f64,
}

/// The end of a reload.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "result", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Outcome {
    /// All workers serve what is new.
    Applied {
        /// What that is.
        changes: Vec<Edit>,
        /// Keys of the manifest whose new values only a restart applies.
        needs_restart: Vec<String>,
    },
    /// There was nothing new that can be applied.
    Unchanged {
        /// Keys of the manifest whose new values only a restart applies.
        needs_restart: Vec<String>,
    },
    /// What served before goes on.
    Refused {
        /// All that is wrong, as `tollgate check` says it.
        errors: Vec<String>,
    },
}

impl Report {
    pub(super) fn new(manifest: String, outcome: Outcome, took: Duration) -> Self {
        Self { manifest, outcome, milliseconds: took.as_micros() as f64 / 1000.0 }
    }

    pub(super) fn result(&self) -> ReloadResult {
        match &self.outcome {
            Outcome::Applied { .. } => ReloadResult::Applied,
            Outcome::Unchanged { .. } => ReloadResult::Unchanged,
            Outcome::Refused { .. } => ReloadResult::Refused,
        }
    }

    /// True if the newest manifest is the one that runs.
    pub fn is_current(&self) -> bool {
        self.result() != ReloadResult::Refused
    }

    pub(super) fn log(&self) {
        let Self { manifest, outcome, milliseconds } = self;
        let duration = *milliseconds;
        match outcome {
            Outcome::Applied { changes, needs_restart } => {
                let changes: Vec<_> = changes.iter().map(Edit::to_string).collect();
                tracing::info!(manifest, duration, "reloaded: {}", changes.join(", "));
                warn_of_restart(manifest, needs_restart);
            }
            Outcome::Unchanged { needs_restart } => {
                tracing::info!(manifest, duration, "reloaded: nothing has changed");
                warn_of_restart(manifest, needs_restart);
            }
            Outcome::Refused { errors } => {
                for error in errors {
                    tracing::error!(manifest, "reload refused: {error}");
                }
                tracing::error!(manifest, duration, "what was served before the reload goes on");
            }
        }
    }
}

fn warn_of_restart(manifest: &str, keys: &[String]) {
    if !keys.is_empty() {
        tracing::warn!(manifest, "these changes take a restart: {}", keys.join(", "));
    }
}
