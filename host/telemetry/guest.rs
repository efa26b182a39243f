//! Figures that filters add to the host's: the contract's `metrics` interface. A filter is not trusted with
//! names, label values or numbers of them, so all are bounded here. A figure is one atomic shared by all
//! workers: a filter that counts pays for it, the others do not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use super::family::Family;

/// How many figures a filter may make.
pub const MAX_FIGURES: usize = 1000;
/// The longest name of a figure or a label, in bytes.
pub const MAX_NAME: usize = 256;
/// The longest help text and the longest value of a label, in bytes.
pub const MAX_TEXT: usize = 1024;
/// How many labels a figure may have.
pub const MAX_LABELS: usize = 16;

/// Why a filter's figure cannot be opened. The text is for the filter's author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuestMetricError {
    /// Prometheus would refuse this name.
    InvalidName(String),
    /// Prometheus would refuse this name of a label.
    InvalidLabel(String),
    /// Two labels have this name.
    RepeatedLabel(String),
    /// A text has more bytes than it may have.
    TooLong {
        /// Which text it is.
        what: &'static str,
        /// The most bytes it may have.
        limit: usize,
    },
    /// There are more than [`MAX_LABELS`].
    TooManyLabels,
    /// The filter has made [`MAX_FIGURES`] already.
    TooManyFigures,
    /// The host has a figure of this full name itself.
    HostName(String),
    /// The full name is open as another kind.
    OtherKind {
        /// The name in the exposition.
        name: String,
        /// What it is open as: `counter` or `gauge`.
        open_as: &'static str,
    },
    /// The full name is open with other labels.
    OtherLabels {
        /// The name in the exposition.
        name: String,
        /// The names of the labels that it is open with.
        open_with: Vec<String>,
    },
}

impl fmt::Display for GuestMetricError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidName(name) => write!(
                f,
                "{name:?} is no metric name: it takes letters, digits, `_` and `:`, \
                 and does not begin with a digit"
            ),
            Self::InvalidLabel(name) => write!(
                f,
                "{name:?} is no label name: it takes letters, digits and `_`, \
                 and begins with neither a digit nor `__`"
            ),
            Self::RepeatedLabel(name) => write!(f, "the label {name:?} is given twice"),
            Self::TooLong { what, limit } => write!(f, "the {what} is longer than {limit} bytes"),
            Self::TooManyLabels => write!(f, "a figure has at most {MAX_LABELS} labels"),
            Self::TooManyFigures => write!(f, "a filter has at most {MAX_FIGURES} figures"),
            Self::HostName(name) => write!(f, "the host has a metric {name} itself"),
            Self::OtherKind { name, open_as } => write!(f, "{name} is already open as a {open_as}"),
            Self::OtherLabels { name, open_with } => {
                write!(f, "{name} is already open with the labels [{}]", open_with.join(", "))
            }
        }
    }
}

impl std::error::Error for GuestMetricError {}

/// A counter or a gauge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// The figures of all filters.
pub(super) struct GuestMetrics {
    namespace: String,
    reserved: BTreeSet<String>,
    opened: Mutex<Opened>,
}

#[derive(Default)]
struct Opened {
    families: BTreeMap<String, GuestFamily>,
    /// How many figures each filter has made.
    made: BTreeMap<String, usize>,
}

/// All figures of one name.
struct GuestFamily {
    kind: Kind,
    help: String,
    /// In ascending order.
    label_names: Vec<String>,
    /// By the values of the labels, in the order of their names.
    figures: BTreeMap<Vec<String>, Arc<AtomicU64>>,
}

impl GuestMetrics {
    pub(super) fn new(namespace: &str, reserved: BTreeSet<String>) -> Self {
        Self { namespace: namespace.to_owned(), reserved, opened: Mutex::default() }
    }

    pub(super) fn open(
        &self,
        kind: Kind,
        filter: &str,
        name: &str,
        help: &str,
        labels: Vec<(String, String)>,
    ) -> Result<Arc<AtomicU64>, GuestMetricError> {
        check_name(name)?;
        check_length("help text", help, MAX_TEXT)?;
        let (label_names, values) = checked_labels(labels)?;
        let suffix = if kind == Kind::Counter { "_total" } else { "" };
        let full = format!("{}_{name}{suffix}", self.namespace);
        if self.reserved.contains(&full) {
            return Err(GuestMetricError::HostName(full));
        }
        // Nothing panics between the steps of an opening, so what a poisoned lock guards is whole.
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.figure(
            filter,
            full,
            GuestFamily { kind, help: help.to_owned(), label_names, figures: BTreeMap::new() },
            values,
        )
    }

    /// The families of all filters, as they are now.
    pub(super) fn families(&self) -> Vec<Family> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.families.iter().map(|(name, family)| family.exposed(name)).collect()
    }
}

impl Opened {
    /// The figure with these label values in the family `name`, which is made like `wanted` if it is new.
    fn figure(
        &mut self,
        filter: &str,
        name: String,
        wanted: GuestFamily,
        values: Vec<String>,
    ) -> Result<Arc<AtomicU64>, GuestMetricError> {
        if let Some(family) = self.families.get(&name) {
            family.check(&name, &wanted)?;
            if let Some(figure) = family.figures.get(&values) {
                return Ok(Arc::clone(figure));
            }
        }
        let made = self.made.entry(filter.to_owned()).or_default();
        if *made >= MAX_FIGURES {
            return Err(GuestMetricError::TooManyFigures);
        }
        *made += 1;
        let figures = &mut self.families.entry(name).or_insert(wanted).figures;
        Ok(Arc::clone(figures.entry(values).or_default()))
    }
}

impl GuestFamily {
    /// Whether another opening means this family, too.
    fn check(&self, name: &str, wanted: &Self) -> Result<(), GuestMetricError> {
        if self.kind != wanted.kind {
            let open_as = self.kind.as_str();
            return Err(GuestMetricError::OtherKind { name: name.to_owned(), open_as });
        }
        if self.label_names != wanted.label_names {
            let open_with = self.label_names.clone();
            return Err(GuestMetricError::OtherLabels { name: name.to_owned(), open_with });
        }
        Ok(())
    }

    fn exposed(&self, name: &str) -> Family {
        let mut family = match self.kind {
            Kind::Counter => Family::counter(name, &self.help),
            Kind::Gauge => Family::gauge(name, &self.help),
        };
        for (values, figure) in &self.figures {
            let labels: Vec<_> =
                self.label_names.iter().map(String::as_str).zip(values.iter().map(String::as_str)).collect();
            let value = match self.kind {
                Kind::Counter => figure.load(Relaxed) as f64,
                Kind::Gauge => f64::from_bits(figure.load(Relaxed)),
            };
            family.sample(&labels, value);
        }
        family
    }
}

/// The names and values of `labels`, both in ascending order of the names.
fn checked_labels(mut labels: Vec<(String, String)>) -> Result<(Vec<String>, Vec<String>), GuestMetricError> {
    if labels.len() > MAX_LABELS {
        return Err(GuestMetricError::TooManyLabels);
    }
    for (name, value) in &labels {
        check_length("label name", name, MAX_NAME)?;
        check_length("label value", value, MAX_TEXT)?;
        if !is_identifier(name, false) || name.starts_with("__") {
            return Err(GuestMetricError::InvalidLabel(name.clone()));
        }
    }
    labels.sort();
    if let Some(pair) = labels.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(GuestMetricError::RepeatedLabel(pair[0].0.clone()));
    }
    Ok(labels.into_iter().unzip())
}

fn check_name(name: &str) -> Result<(), GuestMetricError> {
    check_length("name", name, MAX_NAME)?;
    if is_identifier(name, true) { Ok(()) } else { Err(GuestMetricError::InvalidName(name.to_owned())) }
}

fn check_length(what: &'static str, text: &str, limit: usize) -> Result<(), GuestMetricError> {
    if text.len() > limit { Err(GuestMetricError::TooLong { what, limit }) } else { Ok(()) }
}

/// Whether Prometheus' text format takes this as a name; only those of metrics may have colons.
pub(super) fn is_identifier(name: &str, colons: bool) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
    name.starts_with(|c: char| !c.is_ascii_digit()) && name.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::GuestMetricError as Error;
    use super::*;

    fn metrics() -> GuestMetrics {
        GuestMetrics::new("ns", BTreeSet::from(["ns_requests_total".to_owned()]))
    }

    fn labels(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[track_caller]
    fn refused(name: &str, help: &str, pairs: &[(&str, &str)]) -> Error {
        metrics().open(Kind::Counter, "f", name, help, labels(pairs)).expect_err("must be refused")
    }

    #[test]
    fn names_that_prometheus_would_refuse_are_refused() {
        for name in ["", "1st", "a-b", "a b", "a\nb", "ä", "a{}", "a\0"] {
            assert_eq!(refused(name, "", &[]), Error::InvalidName(name.to_owned()), "{name:?}");
            assert_eq!(refused("x", "", &[(name, "v")]), Error::InvalidLabel(name.to_owned()), "{name:?}");
        }
        for label in ["__name__", "a:b"] {
            assert_eq!(refused("x", "", &[(label, "v")]), Error::InvalidLabel(label.to_owned()));
        }
        assert!(metrics().open(Kind::Gauge, "f", "a:b_1", "", labels(&[("_a", "ü\n\"\\")])).is_ok());
    }

    #[test]
    fn texts_and_labels_are_bounded() {
        let (fits, long) = ("x".repeat(MAX_NAME), "x".repeat(MAX_NAME + 1));
        let text = "x".repeat(MAX_TEXT + 1);
        assert!(
            metrics().open(Kind::Counter, "f", &fits, &text[1..], labels(&[(&fits, &text[1..])])).is_ok()
        );
        assert_eq!(refused(&long, "", &[]), Error::TooLong { what: "name", limit: MAX_NAME });
        assert_eq!(refused("x", &text, &[]), Error::TooLong { what: "help text", limit: MAX_TEXT });
        assert_eq!(refused("x", "", &[(&long, "")]), Error::TooLong { what: "label name", limit: MAX_NAME });
        assert_eq!(
            refused("x", "", &[("a", &text)]),
            Error::TooLong { what: "label value", limit: MAX_TEXT }
        );
        let many: Vec<_> = (0..=MAX_LABELS).map(|n| (format!("l{n}"), String::new())).collect();
        assert_eq!(metrics().open(Kind::Gauge, "f", "x", "", many).err(), Some(Error::TooManyLabels));
        assert_eq!(refused("x", "", &[("a", "1"), ("a", "2")]), Error::RepeatedLabel("a".to_owned()));
    }

    #[test]
    fn a_name_of_the_hosts_is_refused_where_it_would_collide() {
        let error = refused("requests", "", &[]);
        assert_eq!(error.to_string(), "the host has a metric ns_requests_total itself");
        assert!(metrics().open(Kind::Gauge, "f", "requests", "", vec![]).is_ok());
    }

    #[test]
    fn one_name_has_one_kind_and_one_set_of_labels() {
        let metrics = metrics();
        metrics.open(Kind::Counter, "a", "hits", "", labels(&[("x", "1")])).expect("new");
        let kind = metrics.open(Kind::Gauge, "b", "hits_total", "", labels(&[("x", "1")])).expect_err("kind");
        assert_eq!(kind.to_string(), "ns_hits_total is already open as a counter");
        let names = metrics.open(Kind::Counter, "b", "hits", "", vec![]).expect_err("labels");
        assert_eq!(names.to_string(), "ns_hits_total is already open with the labels [x]");
    }

    #[test]
    fn the_same_name_and_labels_are_the_same_figure_in_any_order_and_for_anyone() {
        let metrics = metrics();
        let open = |filter, pairs| {
            metrics.open(Kind::Counter, filter, "hits", "", labels(pairs)).expect("may be opened")
        };
        let first = open("a", &[("x", "1"), ("y", "2")]);
        assert!(Arc::ptr_eq(&first, &open("b", &[("y", "2"), ("x", "1")])));
        assert!(!Arc::ptr_eq(&first, &open("a", &[("x", "2"), ("y", "1")])));
    }

    #[test]
    fn a_filter_makes_a_thousand_figures_and_no_more() {
        let metrics = metrics();
        let open = |filter: &str, number: usize| {
            metrics.open(Kind::Gauge, filter, "g", "", vec![("n".to_owned(), number.to_string())])
        };
        for number in 0..MAX_FIGURES {
            open("greedy", number).expect("within the limit");
        }
        assert_eq!(open("greedy", MAX_FIGURES).err(), Some(Error::TooManyFigures));
        assert!(open("greedy", 0).is_ok(), "what is open stays open");
        assert!(open("other", MAX_FIGURES).is_ok(), "others have their own limit");
    }
}
