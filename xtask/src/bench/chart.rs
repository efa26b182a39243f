//! Draws plots as SVG: bars for contenders, lines for growth. Small enough to be written out; the colours read on
//! light and dark paper alike, and can be told apart without seeing red or green.

use std::fmt::Write as _;

/// A row of bars, each of two parts.
#[derive(Debug)]
pub(crate) struct Bar {
    pub(crate) label: String,
    /// In the order of the legend.
    pub(crate) parts: [f64; 2],
}

/// A line through points.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) label: String,
    pub(crate) points: Vec<(f64, f64)>,
}

const COLOURS: [&str; 4] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7"];
const WIDTH: f64 = 860.0;
const TEXT: &str = "font-family=\"system-ui, sans-serif\" font-size=\"13\" fill=\"#333\"";

/// Horizontal bars, stacked of their two parts, with the sum at their end.
pub(crate) fn bars(title: &str, legend: [&str; 2], bars: &[Bar]) -> String {
    const LEFT: f64 = 330.0;
    const ROW: f64 = 30.0;
    const TOP: f64 = 64.0;
    let most = bars.iter().map(|bar| bar.parts.iter().sum()).fold(1e-9, f64::max);
    let scale = (WIDTH - LEFT - 70.0) / most;
    let mut svg = head(title, TOP + ROW * bars.len() as f64 + 16.0);
    for (index, name) in legend.iter().enumerate() {
        legend_entry(&mut svg, LEFT + 110.0 * index as f64, 44.0, COLOURS[index], name);
    }
    for (row, bar) in bars.iter().enumerate() {
        let y = TOP + ROW * row as f64;
        text(&mut svg, LEFT - 10.0, y + 16.0, "end", &bar.label);
        let mut x = LEFT;
        for (part, colour) in bar.parts.iter().zip(COLOURS) {
            let width = part * scale;
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"22\" fill=\"{colour}\"/>"
            );
            x += width;
        }
        text(&mut svg, x + 6.0, y + 16.0, "start", &format!("{:.1}", bar.parts.iter().sum::<f64>()));
    }
    svg.push_str("</svg>\n");
    svg
}

/// Lines over linear axes that begin at 0.
pub(crate) fn lines(title: &str, x_label: &str, y_label: &str, lines: &[Line]) -> String {
    let all = || lines.iter().flat_map(|line| &line.points);
    let frame =
        Frame { most_x: all().map(|p| p.0).fold(1e-9, f64::max), most_y: ceiling(all().map(|p| p.1)) };
    let mut svg = head(title, Frame::BOTTOM + 60.0);
    frame.axes(&mut svg, x_label, y_label);
    for (index, line) in lines.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let places: Vec<_> = line.points.iter().map(|point| frame.place(*point)).collect();
        let path: Vec<_> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        for (x, y) in places {
            let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>");
        }
        legend_entry(
            &mut svg,
            Frame::LEFT + 20.0,
            Frame::TOP + 24.0 + 20.0 * index as f64,
            colour,
            &line.label,
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// Where the points of a plot go.
struct Frame {
    most_x: f64,
    most_y: f64,
}

impl Frame {
    const LEFT: f64 = 70.0;
    const RIGHT: f64 = WIDTH - 30.0;
    const TOP: f64 = 60.0;
    const BOTTOM: f64 = 370.0;

    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let across = x / self.most_x * (Self::RIGHT - Self::LEFT);
        (Self::LEFT + across, Self::BOTTOM - y / self.most_y * (Self::BOTTOM - Self::TOP))
    }

    fn axes(&self, svg: &mut String, x_label: &str, y_label: &str) {
        for tick in 0..=4 {
            let share = f64::from(tick) / 4.0;
            let (right, y) = self.place((self.most_x, self.most_y * share));
            let left = Self::LEFT;
            let _ = writeln!(
                svg,
                "<line x1=\"{left}\" y1=\"{y:.1}\" x2=\"{right:.1}\" y2=\"{y:.1}\" stroke=\"#ccc\"/>"
            );
            text(svg, left - 8.0, y + 4.0, "end", &number(self.most_y * share));
            let (x, bottom) = self.place((self.most_x * share, 0.0));
            text(svg, x, bottom + 20.0, "middle", &number(self.most_x * share));
        }
        text(svg, f64::midpoint(Self::LEFT, Self::RIGHT), Self::BOTTOM + 44.0, "middle", x_label);
        text(svg, 10.0, Self::TOP - 14.0, "start", y_label);
    }
}

/// A round number above all values, of which a quarter is round, too.
fn ceiling(values: impl Iterator<Item = f64>) -> f64 {
    let most = values.fold(1e-9, f64::max);
    let unit = 10_f64.powf(most.log10().floor());
    [1.0, 2.0, 4.0, 6.0, 8.0, 10.0]
        .into_iter()
        .map(|step| step * unit)
        .find(|top| *top >= most)
        .unwrap_or(most)
}

/// A tick's number, with a decimal only where it tells something.
fn number(value: f64) -> String {
    if value.fract().abs() < 1e-9 { format!("{value:.0}") } else { format!("{value:.1}") }
}

fn head(title: &str, height: f64) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    let _ = writeln!(svg, "<text x=\"10\" y=\"24\" font-weight=\"bold\" {TEXT}>{}</text>", escaped(title));
    svg
}

fn legend_entry(svg: &mut String, x: f64, y: f64, colour: &str, name: &str) {
    let top = y - 10.0;
    let _ = writeln!(svg, "<rect x=\"{x}\" y=\"{top}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>");
    text(svg, x + 18.0, y, "start", name);
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let words = escaped(words);
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {TEXT}>{words}</text>");
}

fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fills_the_width_and_names_are_escaped() {
        let bar = |label: &str, parts| Bar { label: label.to_owned(), parts };
        let svg = bars("t", ["user", "system"], &[bar("a & b", [10.0, 30.0]), bar("c", [10.0, 10.0])]);
        assert!(svg.contains("a &amp; b") && svg.contains(">40.0<") && svg.contains(">20.0<"), "{svg}");
        assert!(svg.contains("width=\"345.0\"") && svg.contains("width=\"115.0\""), "{svg}");
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    }

    #[test]
    fn points_lie_within_the_frame() {
        let frame = Frame { most_x: 32.0, most_y: 40.0 };
        assert_eq!(frame.place((0.0, 0.0)), (Frame::LEFT, Frame::BOTTOM));
        assert_eq!(frame.place((32.0, 40.0)), (Frame::RIGHT, Frame::TOP));
        let line = Line { label: "l".to_owned(), points: vec![(0.0, 0.0), (32.0, 37.0)] };
        assert!(lines("t", "x", "y", &[line]).contains("<polyline points=\"70.0,370.0 830.0,"));
    }

    #[test]
    fn axes_end_at_round_numbers() {
        assert!((ceiling([3.0, 37.0].into_iter()) - 40.0).abs() < 1e-9);
        assert!((ceiling([0.7].into_iter()) - 0.8).abs() < 1e-9);
        assert_eq!([number(10.0), number(2.5)], ["10", "2.5"]);
    }
}
