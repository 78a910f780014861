//! The plots, as SVG: bars of ratios, percentiles of latencies, and speed over the number of processes.
//!
//! Every line is labelled at its end, with a leader where labels had to make room for each other. Times, rates and
//! ratios are on logarithmic axes.

use super::palette::{INK, colour};
use crate::bench::table::{factor, rate, time};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use shmsync_harness::sample::Measure;

/// A peer and its points.
pub(super) struct Line {
    pub(super) peer: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// A peer, its figure, and how far that was off at times.
pub(super) struct Bar {
    pub(super) peer: String,
    pub(super) value: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

const WIDTH: u32 = 600;
const FONT: i32 = 12;
const LINE_HEIGHT: i32 = 15;
/// Room for the names of peers.
const NAMES: u32 = 200;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// Drawing into a string does not fail, so a figure is all that comes of it.
fn draw(height: u32, body: impl FnOnce(&Area<'_>) -> Drawn) -> String {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
    body(&area).and_then(|()| area.present()).expect("there is room in a string");
    drop(area);
    svg
}

/// The `viewBox` of a plot.
pub(super) fn view(svg: &str) -> &str {
    svg.split("viewBox=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default()
}

/// What a plot has inside: the page has an `svg` element of its own round it.
pub(super) fn inner(svg: &str) -> &str {
    let start = svg.find("<svg").and_then(|at| Some(at + svg[at..].find('>')? + 1)).unwrap_or(0);
    svg[start..].trim_end().trim_end_matches("</svg>")
}

fn text(anchor: Pos) -> TextStyle<'static> {
    TextStyle::from(("sans-serif", FONT)).color(&INK).pos(anchor)
}

/// Latency over percentile; `x` is the number of nines.
pub(super) fn percentiles(lines: &[Line]) -> String {
    let (low, high) = decades(lines);
    draw(300, |area| {
        let mut chart = ChartBuilder::on(area);
        chart.margin(8).margin_right(NAMES).x_label_area_size(24).y_label_area_size(58);
        let mut chart = chart.build_cartesian_2d(0.0..4.0, (low..high).log_scale())?;
        let nines = |x: &f64| match x.round() as i64 {
            0 => String::from("0 %"),
            1 => String::from("90 %"),
            2 => String::from("99 %"),
            3 => String::from("99.9 %"),
            _ => String::from("99.99 %"),
        };
        grid(&mut chart, 5, nines, |ns| time(*ns))?;
        curves(area, &mut chart, lines)
    })
}

/// Rate, or median latency, over the number of processes, which is on a binary logarithm.
pub(super) fn over_numbers(lines: &[Line], measure: Measure) -> String {
    let (low, high) = decades(lines);
    let numbers = || lines.iter().flat_map(|line| line.points.iter().map(|(n, _)| n.log2()));
    let (first, last) = numbers().fold((f64::MAX, f64::MIN), |(a, b), n| (a.min(n), b.max(n)));
    let lines: Vec<Line> = lines.iter().map(in_octaves).collect();
    draw(320, |area| {
        let mut chart = ChartBuilder::on(area);
        chart.margin(8).margin_right(NAMES).x_label_area_size(24).y_label_area_size(58);
        let mut chart = chart.build_cartesian_2d(first..last, (low..high).log_scale())?;
        let ticks = (last - first).round() as usize + 1;
        grid(
            &mut chart,
            ticks,
            |n| format!("{:.0}", n.exp2()),
            |y| match measure {
                Measure::Throughput => rate(*y) + "/s",
                Measure::Time => time(*y),
            },
        )?;
        curves(area, &mut chart, &lines)
    })
}

fn in_octaves(line: &Line) -> Line {
    let mut points: Vec<(f64, f64)> = line.points.iter().map(|&(n, y)| (n.log2(), y)).collect();
    points.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    Line { peer: line.peer.clone(), points }
}

/// Ratios to a base, on both sides of 1.
pub(super) fn ratios(bars: &[Bar]) -> String {
    let (low, high) =
        bars.iter().fold((0.5, 2.0), |(low, high): (f64, f64), bar| (low.min(bar.low), high.max(bar.high)));
    rows(bars, (low * 0.9..high * 2.0).log_scale().base(2.0), 1.0, |ratio| factor(*ratio))
}

/// Percentages of a core, from none.
pub(super) fn used(bars: &[Bar]) -> String {
    let high = bars.iter().fold(0.1, |high: f64, bar| high.max(bar.high));
    rows(bars, 0.0..high * 1.3, 0.0, |percent| format!("{percent:.3} %"))
}

fn rows<A>(bars: &[Bar], axis: A, from: f64, show: fn(&f64) -> String) -> String
where
    A: AsRangedCoord<Value = f64>,
    A::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let rows = bars.len() as f64;
    draw(40 + 20 * bars.len() as u32, |area| {
        let mut chart = ChartBuilder::on(area);
        chart.margin(8).margin_left(NAMES).margin_right(24).x_label_area_size(24);
        let mut chart = chart.build_cartesian_2d(axis, 0.0..rows)?;
        let mut mesh = chart.configure_mesh();
        mesh.disable_y_axis().disable_y_mesh().light_line_style(TRANSPARENT).bold_line_style(INK.mix(0.15));
        mesh.axis_style(INK.mix(0.4)).x_labels(6).x_label_formatter(&show);
        mesh.label_style(text(Pos::new(HPos::Center, VPos::Top))).draw()?;
        for (row, bar) in bars.iter().enumerate() {
            let middle = rows - row as f64 - 0.5;
            let fill = colour(&bar.peer);
            chart.draw_series([Rectangle::new([(from, middle - 0.32), (bar.value, middle + 0.32)], fill.filled())])?;
            chart.draw_series([PathElement::new(vec![(bar.low, middle), (bar.high, middle)], INK.stroke_width(1))])?;
            let (_, y) = chart.backend_coord(&(from, middle));
            let name = text(Pos::new(HPos::Right, VPos::Center));
            area.draw(&Text::new(bar.peer.clone(), (NAMES as i32 - 4, y), name))?;
            let end = bar.high.max(bar.value).max(from);
            let (x, _) = chart.backend_coord(&(end, middle));
            area.draw(&Text::new(show(&bar.value), (x + 5, y), text(Pos::new(HPos::Left, VPos::Center))))?;
        }
        chart.draw_series([PathElement::new(vec![(from, 0.0), (from, rows)], INK.stroke_width(1))])?;
        Ok(())
    })
}

/// Whole decades round all points.
fn decades(lines: &[Line]) -> (f64, f64) {
    let all = lines.iter().flat_map(|line| line.points.iter().map(|(_, y)| y.log10()));
    let (low, high) = all.fold((f64::MAX, f64::MIN), |(low, high), y| (low.min(y), high.max(y)));
    (10_f64.powf(low.floor()), 10_f64.powf(high.ceil().max(low.floor() + 1.0)))
}

type Chart<'a, 'b, X, Y> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<X, Y>>;

fn grid<X, Y>(
    chart: &mut Chart<'_, '_, X, Y>,
    ticks: usize,
    x: impl Fn(&f64) -> String,
    y: impl Fn(&f64) -> String,
) -> Drawn
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let mut mesh = chart.configure_mesh();
    mesh.light_line_style(TRANSPARENT).bold_line_style(INK.mix(0.15)).axis_style(INK.mix(0.4));
    mesh.x_labels(ticks).y_labels(8).x_label_formatter(&x).y_label_formatter(&y);
    mesh.x_label_style(text(Pos::new(HPos::Center, VPos::Top)));
    mesh.y_label_style(text(Pos::new(HPos::Right, VPos::Center))).draw()
}

/// The lines, and their names to the right in the order in which they end.
fn curves<X, Y>(area: &Area<'_>, chart: &mut Chart<'_, '_, X, Y>, lines: &[Line]) -> Drawn
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    let mut ends = Vec::new();
    for line in lines {
        chart.draw_series(LineSeries::new(line.points.iter().copied(), colour(&line.peer).stroke_width(2)))?;
        ends.extend(line.points.last().map(|end| (chart.backend_coord(end), line.peer.as_str())));
    }
    ends.sort_by_key(|((_, y), _)| *y);
    let (_, bottom) = chart.plotting_area().get_pixel_range();
    let wanted: Vec<i32> = ends.iter().map(|((_, y), _)| *y).collect();
    let left = (WIDTH - NAMES) as i32;
    for (((x, y), peer), label) in ends.iter().zip(spread(&wanted, bottom.end)) {
        let leader = vec![(*x, *y), (left + 4, *y), (left + 14, label), (left + 18, label)];
        area.draw(&PathElement::new(leader, colour(peer).mix(0.6)))?;
        area.draw(&Text::new(peer.to_string(), (left + 22, label), text(Pos::new(HPos::Left, VPos::Center))))?;
    }
    Ok(())
}

/// Ascending places moved apart until there is a line's height between them, and none is below `bottom`.
fn spread(wanted: &[i32], bottom: i32) -> Vec<i32> {
    let mut places: Vec<i32> = Vec::new();
    for &want in wanted {
        places.push(places.last().map_or(want, |last| want.max(last + LINE_HEIGHT)));
    }
    let mut limit = bottom;
    for place in places.iter_mut().rev() {
        *place = (*place).min(limit);
        limit = *place - LINE_HEIGHT;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(peer: &str, points: &[(f64, f64)]) -> Line {
        Line { peer: peer.into(), points: points.to_vec() }
    }

    #[test]
    fn labels_make_room_for_each_other() {
        assert_eq!(spread(&[10, 100], 200), [10, 100]);
        assert_eq!(spread(&[10, 12, 13], 200), [10, 25, 40]);
        assert_eq!(spread(&[190, 195, 200], 200), [170, 185, 200]);
    }

    #[test]
    fn a_plot_names_everybody_and_escapes_them() {
        let lines = [
            line("shmsync PermitPool<8> (Futex)", &[(1.0, 5.0), (2.0, 70.0)]),
            line("sem_t", &[(1.0, 6.0), (2.0, 9.0)]),
        ];
        let svg = percentiles(&lines);
        assert!(svg.contains("PermitPool&lt;8&gt;") && svg.contains("sem_t") && svg.contains("99.9 %"), "{svg}");
        assert_eq!(view(&svg), "0 0 600 300");
        assert!(!inner(&svg).contains("svg"), "{svg}");
        assert!(over_numbers(&lines, Measure::Throughput).contains("10.0/s"));
        let bar = Bar { peer: "sem_t".into(), value: 3.0, low: 2.5, high: 4.0 };
        assert!(ratios(&[bar]).contains("3.00"));
    }
}
