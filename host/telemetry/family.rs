//! A metric family in the making: a name, a help text, and samples with their labels.

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::counter::{BOUNDS, DurationHistogram};

/// The samples of one name.
pub(super) struct Family {
    name: String,
    help: String,
    kind: MetricType,
    metrics: Vec<Metric>,
}

impl Family {
    pub(super) fn counter(name: impl Into<String>, help: &str) -> Self {
        Self::new(name, help, MetricType::COUNTER)
    }

    pub(super) fn gauge(name: impl Into<String>, help: &str) -> Self {
        Self::new(name, help, MetricType::GAUGE)
    }

    pub(super) fn histogram(name: impl Into<String>, help: &str) -> Self {
        Self::new(name, help, MetricType::HISTOGRAM)
    }

    fn new(name: impl Into<String>, help: &str, kind: MetricType) -> Self {
        Self { name: name.into(), help: help.to_owned(), kind, metrics: Vec::new() }
    }

    /// Adds a sample to a counter or a gauge.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        let mut metric = labelled(labels);
        if self.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.metrics.push(metric);
    }

    /// Adds the buckets, sum and count of a histogram.
    pub(super) fn durations(&mut self, labels: &[(&str, &str)], durations: &DurationHistogram) {
        let mut histogram = Histogram::default();
        let mut total = 0;
        let mut buckets = Vec::with_capacity(BOUNDS.len() + 1);
        for (bound, count) in BOUNDS.into_iter().chain([f64::INFINITY]).zip(durations.counts()) {
            total += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(total);
            buckets.push(bucket);
        }
        // The last bucket is the count itself, and the encoder writes it.
        buckets.truncate(BOUNDS.len());
        histogram.set_bucket(buckets);
        histogram.set_sample_count(total);
        histogram.set_sample_sum(durations.sum());
        let mut metric = labelled(labels);
        metric.set_histogram(histogram);
        self.metrics.push(metric);
    }

    /// The finished family; none if there is no sample, which the format has no way to say.
    pub(super) fn finish(self) -> Option<MetricFamily> {
        if self.metrics.is_empty() {
            return None;
        }
        let mut family = MetricFamily::default();
        family.set_name(self.name);
        family.set_help(self.help);
        family.set_field_type(self.kind);
        family.set_metric(self.metrics);
        Some(family)
    }
}

fn labelled(labels: &[(&str, &str)]) -> Metric {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    let mut metric = Metric::default();
    metric.set_label(labels.iter().map(pair).collect());
    metric
}
