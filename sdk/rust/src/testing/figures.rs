//! The metrics of a filter under test, with the contract's rules for opening them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

const MAX_FIGURES: usize = 1000;

/// What kind of metric a name is; all figures of a name are of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The figure's word is the count.
    Counter,
    /// The figure's word is the bits of a double.
    Gauge,
}

type Labels = BTreeMap<String, String>;

/// All figures of a filter.
#[derive(Default)]
pub(super) struct Figures {
    families: BTreeMap<String, Family>,
}

struct Family {
    kind: Kind,
    series: BTreeMap<Labels, Arc<AtomicU64>>,
}

impl Figures {
    /// The figure of that name and labels, made if there was none.
    ///
    /// # Errors
    /// Why the host would trap.
    pub(super) fn open(
        &mut self,
        kind: Kind,
        name: &str,
        labels: &[(String, String)],
    ) -> Result<Arc<AtomicU64>, String> {
        if !is_name(name, true) || labels.iter().any(|(label, _)| !is_name(label, false)) {
            return Err(format!("Prometheus would refuse the metric `{name}` with the labels {labels:?}"));
        }
        let open: usize = self.families.values().map(|family| family.series.len()).sum();
        let labels: Labels = labels.iter().cloned().collect();
        let family =
            self.families.entry(name.to_owned()).or_insert_with(|| Family { kind, series: BTreeMap::new() });
        if family.kind != kind {
            return Err(format!("the metric `{name}` is open as another kind"));
        }
        if family.series.keys().next().is_some_and(|known| !known.keys().eq(labels.keys())) {
            return Err(format!("the metric `{name}` is open with other label names"));
        }
        if open >= MAX_FIGURES && !family.series.contains_key(&labels) {
            return Err(format!("more than {MAX_FIGURES} metrics"));
        }
        Ok(Arc::clone(family.series.entry(labels).or_default()))
    }

    /// The value of a figure that was opened.
    pub(super) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let family = self.families.get(name)?;
        let labels = labels.iter().map(|&(label, value)| (label.to_owned(), value.to_owned())).collect();
        let word = family.series.get::<Labels>(&labels)?.load(std::sync::atomic::Ordering::SeqCst);
        Some(match family.kind {
            Kind::Counter => word as f64,
            Kind::Gauge => f64::from_bits(word),
        })
    }
}

/// Whether Prometheus takes it as the name of a metric, which may have colons, or of a label.
fn is_name(text: &str, colons: bool) -> bool {
    let begins = |c: char| c.is_ascii_alphabetic() || c == '_' || (colons && c == ':');
    text.starts_with(begins)
        && text.chars().all(|c| begins(c) || c.is_ascii_digit())
        && (colons || !text.starts_with("__"))
}
