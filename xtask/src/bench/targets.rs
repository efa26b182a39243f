//! What Tollgate promises of its cost, against what was measured in the same run.

use super::rounds::Measured;
use serde::Serialize;
use std::collections::BTreeMap;

/// One promise.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Target {
    pub(crate) what: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) measured: Option<f64>,
    pub(crate) limit: f64,
    /// Whether the limit is the least that will do, not the most.
    pub(crate) least: bool,
}

impl Target {
    /// Whether it is kept; nothing when it was not measured.
    pub(crate) fn met(&self) -> Option<bool> {
        self.measured.map(|value| if self.least { value >= self.limit } else { value <= self.limit })
    }

    /// A table's row; nothing when it was not measured.
    pub(crate) fn row(&self) -> Option<Vec<String>> {
        let Self { what, unit, measured, limit, least } = self;
        let sign = if *least { "≥" } else { "≤" };
        let value = format!("{:.2}{unit}", (*measured)?);
        let verdict = if self.met()? { "met" } else { "**missed**" };
        Some(vec![(*what).to_owned(), value, format!("{sign} {limit}{unit}"), verdict.to_owned()])
    }
}

/// Figures by name: what the parts of a run hand to the targets.
pub(crate) type Figures = BTreeMap<&'static str, f64>;

/// The targets, from the contenders' figures and those of other parts.
pub(crate) fn targets(contenders: &[Measured], figures: &Figures) -> Vec<Target> {
    let find = |key: &str| contenders.iter().find(|measured| measured.key == key);
    let compare = |one: &str, other: &str, compare| find(one)?.against(find(other)?, compare);
    let ratio = |one, other| compare(one, other, |one, other| one / other);
    let added = |one, to| compare(one, to, |one, to| one - to);
    let figure = |name: &str| figures.get(name).copied();
    let most = |what, measured, limit, unit| Target { what, unit, measured, limit, least: false };
    let least = |what, measured, limit, unit| Target { what, unit, measured, limit, least: true };
    let percent = |share: Option<f64>| share.map(|share| share * 100.0);
    // Setting up the connections of the slice that is counted adds a few hundredths.
    let calls = find("tollgate-five").and_then(|measured| Some(measured.calls?.working));
    let tenths = calls.map(|calls| (calls * 10.0).round() / 10.0);
    let share = |part: Option<f64>, whole: Option<f64>| Some(part? / whole?);
    let nginx = find("nginx").map(|nginx| nginx.cpu.median);
    let added_five = added("tollgate-five", "tollgate");
    vec![
        most("no filter: CPU against nginx", ratio("tollgate", "nginx"), 1.05, " ×"),
        most("no filter: CPU against the floor", ratio("tollgate", "floor"), 1.45, " ×"),
        most("five filters: CPU against HAProxy without any", ratio("tollgate-five", "haproxy"), 1.0, " ×"),
        most("five filters: CPU against Envoy with five", ratio("tollgate-five", "envoy-five"), 0.2, " ×"),
        most("added by five, of nginx's CPU", percent(share(added_five, nginx)), 6.0, " %"),
        most(
            "added by five, of what the component layer adds",
            share(added_five, added("tollgate-five-component", "tollgate")),
            0.4,
            " ×",
        ),
        most(
            "added by the shipped five to a chat request",
            added("tollgate-shipped", "tollgate-chat"),
            15.0,
            " µs",
        ),
        most("system calls a request, waits aside, to a tenth", tenths, 4.0, ""),
        most("added to p99 at half load by five", percent(figure("latency.added")), 5.0, " %"),
        most("bend of cost from 5 to 32 filters (0 is linear)", percent(figure("chain.bend")), 10.0, " %"),
        most("instance per request, one filter: added", figure("isolation.added"), 12.0, " µs"),
        least("instance per request: two workers against one", figure("isolation.scaling"), 1.7, " ×"),
        most("an idle connection", figure("memory.idle"), 16.0, " KiB"),
        least("two workers against one", figure("workers.scaling"), 1.8, " ×"),
        most("the largest share of connections of a worker", percent(figure("workers.share")), 60.0, " %"),
        most("reload of the shipped chain, cached", figure("reload.time"), 50.0, " ms"),
        most("slowest request during reloads, above p99.9 without", figure("reload.slowest"), 10.0, " ms"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_met_missed_or_not_measured() {
        let target = |measured, least| Target { what: "x", unit: " ×", measured, limit: 1.05, least };
        assert_eq!(target(Some(1.0), false).met(), Some(true));
        assert_eq!(target(Some(1.06), false).row().unwrap(), ["x", "1.06 ×", "≤ 1.05 ×", "**missed**"]);
        assert_eq!(target(Some(1.06), true).met(), Some(true));
        assert_eq!(target(None, false).row(), None);
    }

    #[test]
    fn without_contenders_only_figures_count() {
        let all = targets(&[], &Figures::from([("memory.idle", 12.0)]));
        let measured: Vec<_> = all.iter().filter(|target| target.measured.is_some()).collect();
        assert_eq!(measured.len(), 1);
        assert_eq!(measured[0].met(), Some(true));
    }
}
