//! Figures of the filter's own, in the host's `/metrics`. Open them once and keep them; a [`Family`] does so where the
//! values of the labels are only known later.

use std::cell::RefCell;
use std::rc::Rc;

use crate::host::metrics as host;

/// A figure that can be opened by name, help text and labels (name and value).
///
/// Opening traps for a name or label that Prometheus would refuse, a name that the host has itself or that is open as
/// another kind or with other label names, and past 1000 figures.
pub trait Metric {
    /// The figure of that name with these labels, which all instances of the filter share.
    fn open(name: &str, help: &str, labels: &[(&str, &str)]) -> Self;
}

/// A figure that only grows. The host adds `_total` to its name.
pub struct Counter(host::Counter);

impl Metric for Counter {
    fn open(name: &str, help: &str, labels: &[(&str, &str)]) -> Self {
        Self(host::Counter::open(name, help, &owned(labels)))
    }
}

impl Counter {
    /// Adds `by`.
    pub fn add(&self, by: u64) {
        self.0.add(by);
    }
}

/// A figure that goes up and down.
pub struct Gauge(host::Gauge);

impl Metric for Gauge {
    fn open(name: &str, help: &str, labels: &[(&str, &str)]) -> Self {
        Self(host::Gauge::open(name, help, &owned(labels)))
    }
}

impl Gauge {
    /// Replaces the value.
    pub fn set(&self, value: f64) {
        self.0.set(value);
    }
}

/// Figures of one name that differ in the values of `N` labels, each opened when first asked for. Meant for a few
/// values: labels come from the manifest or from a fixed list, never from a client.
pub struct Family<M, const N: usize> {
    name: &'static str,
    help: &'static str,
    labels: [&'static str; N],
    opened: RefCell<Vec<Series<M, N>>>,
}

type Series<M, const N: usize> = ([String; N], Rc<M>);

impl<M: Metric, const N: usize> Family<M, N> {
    /// A family of which no figure is open yet.
    #[must_use]
    pub const fn new(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self { name, help, labels, opened: RefCell::new(Vec::new()) }
    }

    /// The figure with these values of the labels, in the order of `new`. The first call with them opens it, and may
    /// trap as [`Metric`] says.
    pub fn with(&self, values: [&str; N]) -> Rc<M> {
        let mut opened = self.opened.borrow_mut();
        if let Some((_, metric)) =
            opened.iter().find(|(known, _)| known.each_ref().map(String::as_str) == values)
        {
            return Rc::clone(metric);
        }
        let labels: Vec<_> = self.labels.into_iter().zip(values).collect();
        let metric = Rc::new(M::open(self.name, self.help, &labels));
        opened.push((values.map(str::to_owned), Rc::clone(&metric)));
        metric
    }
}

fn owned(labels: &[(&str, &str)]) -> Vec<(String, String)> {
    labels.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}
