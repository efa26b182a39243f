//! Medians and spreads of a few rounds.

use serde::Serialize;

/// What the rounds of one measurement gave: the middle one, and how far the others were from it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of at least one value.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Some(Self { median: median(&sorted)?, min: *sorted.first()?, max: *sorted.last()? })
    }
}

/// Of values in order: the middle one, or the mean of the two in the middle.
fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len().is_multiple_of(2) { Some((sorted.get(middle - 1)? + upper) / 2.0) } else { Some(upper) }
}

/// The least-squares line through points: its slope, and the largest distance of a point from it as a share of the
/// points' range. Nothing for fewer than three points, or points on one vertical.
pub(crate) fn line(points: &[(f64, f64)]) -> Option<Line> {
    if points.len() < 3 {
        return None;
    }
    let count = points.len() as f64;
    let (mean_x, mean_y) = points.iter().fold((0.0, 0.0), |(x, y), p| (x + p.0 / count, y + p.1 / count));
    let spread: f64 = points.iter().map(|p| (p.0 - mean_x).powi(2)).sum();
    if spread == 0.0 {
        return None;
    }
    let slope = points.iter().map(|p| (p.0 - mean_x) * (p.1 - mean_y)).sum::<f64>() / spread;
    let range = Spread::of(points.iter().map(|p| p.1)).map_or(0.0, |y| y.max - y.min);
    let farthest = points.iter().map(|p| (p.1 - mean_y - slope * (p.0 - mean_x)).abs()).fold(0.0, f64::max);
    Some(Line { slope, bend: if range > 0.0 { farthest / range } else { 0.0 } })
}

/// A straight line that some points follow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Line {
    /// What one step to the right adds.
    pub(crate) slope: f64,
    /// The largest distance of a point from the line, as a share of the points' range: 0 is straight.
    pub(crate) bend: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        let spread = Spread::of([5.0, 1.0, 3.0]);
        assert_eq!(spread, Some(Spread { median: 3.0, min: 1.0, max: 5.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 9.0]).map(|spread| spread.median), Some(3.0));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn a_straight_row_has_no_bend_and_a_knee_has() {
        let straight = line(&[(0.0, 1.0), (1.0, 3.0), (3.0, 7.0)]).unwrap();
        assert!((straight.slope - 2.0).abs() < 1e-9 && straight.bend < 1e-9, "{straight:?}");
        let knee = line(&[(0.0, 0.0), (1.0, 0.0), (2.0, 0.0), (3.0, 9.0)]).unwrap();
        assert!(knee.bend > 0.2, "{knee:?}");
        assert_eq!(line(&[(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)]), None);
    }
}
