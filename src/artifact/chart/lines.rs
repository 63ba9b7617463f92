//! The line chart.

use super::axis::{self, LABEL, MARGIN, SMALL, TITLE, height_of, line_height, width_of};
use super::canvas::{Align, Canvas, Text};
use super::legend::{self, GAP, Legend, SAMPLE};
use super::scale::{Mapping, Role};
use super::style::{self, Color, GREY, INK, WHITE};
use super::{COLUMN, LineChart, Point, Rect, Scale, Series};
use crate::artifact::font;
use crate::error::{Error, Result};

/// More lines than this nobody can tell apart.
const MOST_SERIES: usize = 40;
const LINE_WIDTH: f64 = 1.2;
const BAR_WIDTH: f64 = 0.7;
const CAP: f64 = 1.8;
const MARKER: f64 = 2.1;
const NOTE: f64 = 6.5;
/// The height of the plot, of the figure's width.
const SHAPE: f64 = 0.52;
/// A plot that is smaller is no plot.
const SMALLEST: f64 = 36.0;

/// Everything's place.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) area: Rect,
    pub(super) legend: Legend,
    /// The legend's upper left corner.
    pub(super) legend_at: (f64, f64),
    title: Vec<String>,
    x_label: Vec<String>,
    x: Mapping,
    y: Mapping,
}

pub(super) fn layout(chart: &LineChart) -> Result<Layout> {
    check(chart)?;
    let (width, height) = chart.size.points(COLUMN)?;
    let room = width - 2.0 * MARGIN;
    let title = axis::lines(chart.title.as_deref().unwrap_or_default(), TITLE, room, 3);
    let names: Vec<(usize, &str)> = chart.series.iter().map(|series| series.name.as_str()).enumerate().collect();
    let legend = legend::layout(&names, room);
    let mut above = MARGIN + title.len() as f64 * line_height(TITLE);
    let legend_top = above;
    above += legend.height + if legend.height > 0.0 { 3.0 } else { 0.0 };

    let points = || chart.series.iter().flat_map(|series| &series.points);
    let marked = |axis: &super::Axis, end: Option<f64>| end.filter(|end| axis.scale == Scale::Linear || *end > 0.0);
    let heights =
        points().flat_map(|point| [Some(point.y), marked(&chart.y, point.low), marked(&chart.y, point.high)].into_iter().flatten());
    let across = || points().filter(|point| !point.y.is_nan()).map(|point| point.x);
    // Whether the label shares its line with a power of ten, and so may need another, does not depend on how many ticks there are.
    let beside = axis::exponent_room(&Mapping::new("x", &chart.x, across(), Role::Horizontal, 5.0)?);
    let x_label = axis::lines(&chart.x.label, LABEL, room - 2.0 * beside, 2);
    let below = axis::room_below(x_label.len()) + MARGIN;
    // How high the plot is decides how many ticks fit, and they may need a line above it.
    let plot_height = |above: f64| height.map_or(width * SHAPE, |height| height - above - below);
    let y = Mapping::new("y", &chart.y, heights, Role::Vertical, (plot_height(above) / 26.0).clamp(2.0, 8.0))?;
    above += axis::room_above(&y).max(SMALL * 0.4);
    let tall = plot_height(above);
    if tall < SMALLEST {
        return Err(Error::new(format!("{:.0} points of the height are left for the plot: expected {SMALLEST} or more", tall.max(0.0)))
            .remedy("raise `size.height`, or leave it out"));
    }
    let left = MARGIN + axis::room_left(&y, &chart.y.label, tall);
    let about = |wide: f64| (wide / if chart.x.scale == Scale::Linear { 34.0 } else { 25.0 }).clamp(2.0, 12.0);
    let x = Mapping::new("x", &chart.x, across(), Role::Horizontal, about(width - left - MARGIN))?;
    let last_label = axis::room_right(&x) * f64::from(u8::from(x.ticks.last().is_some_and(|tick| x.place(tick.value) > 0.9)));
    let right = width - MARGIN - last_label.max(2.0);
    if right - left < SMALLEST {
        return Err(Error::new(format!(
            "{:.0} points of the width are left for the plot: expected {SMALLEST} or more",
            (right - left).max(0.0)
        ))
        .remedy("raise `size.width`"));
    }
    let area = Rect { left, top: above, right, bottom: above + tall };
    let legend_at = (left.min(width - MARGIN - legend.width).max(MARGIN), legend_top);
    Ok(Layout { width, height: height.unwrap_or(area.bottom + below), area, legend, legend_at, title, x_label, x, y })
}

fn check(chart: &LineChart) -> Result<()> {
    match chart.series.len() {
        0 => Err(Error::new("a line chart needs at least one series").remedy("`series: [#{ name: ..., points: [[x, y], ...] }]`")),
        count if count > MOST_SERIES => {
            Err(Error::new(format!("{count} series are more than anybody can tell apart: expected {MOST_SERIES} at most"))
                .remedy("draw several charts"))
        }
        _ => Ok(()),
    }
}

/// How a series looks.
struct Look {
    color: Color,
    marker: usize,
    dash: &'static [f64],
}

fn look(number: usize, series: &Series) -> Look {
    Look {
        color: style::color(series.color.unwrap_or(number)),
        marker: series.marker.unwrap_or(number),
        dash: style::dash(series.dash.unwrap_or(number)),
    }
}

pub(super) fn draw(chart: &LineChart) -> Result<Canvas> {
    let layout = layout(chart)?;
    let mut canvas = Canvas::new(layout.width, layout.height, chart.size.dpi()?)?;
    for (index, line) in layout.title.iter().enumerate() {
        let base = MARGIN + font::CAPITAL * TITLE + index as f64 * line_height(TITLE);
        let middle = axis::centered(line, TITLE, (layout.area.left + layout.area.right) / 2.0, layout.width);
        canvas.text((middle, base), Text::new(line, TITLE, INK, Align::Center))?;
    }
    axis::grid_across(&mut canvas, layout.area, &layout.y);
    axis::grid_down(&mut canvas, layout.area, &layout.x);
    let shown: Vec<Shown> = chart.series.iter().enumerate().map(|(number, series)| Shown::new(&layout, number, series)).collect();
    shown.iter().filter(|shown| shown.series.band).for_each(|shown| shown.band(&mut canvas, layout.area));
    axis::vertical(&mut canvas, layout.area, &layout.y, &chart.y.label)?;
    axis::horizontal(&mut canvas, layout.area, &layout.x, &layout.x_label, layout.width)?;
    // Bars below all lines, lines below all markers: nothing that is measured is hidden by how it is shown.
    shown.iter().filter(|shown| !shown.series.band).for_each(|shown| shown.error_bars(&mut canvas, layout.area));
    shown.iter().filter(|shown| shown.series.line).for_each(|shown| shown.lines(&mut canvas, layout.area));
    shown.iter().filter(|shown| shown.series.markers).for_each(|shown| shown.markers(&mut canvas, layout.area));
    labels(&mut canvas, &layout, &shown)?;
    if shown.iter().all(|shown| shown.places.iter().all(Option::is_none)) {
        let middle = ((layout.area.left + layout.area.right) / 2.0, (layout.area.top + layout.area.bottom) / 2.0);
        canvas.text(middle, Text::new("no data", SMALL, GREY, Align::Center))?;
    }
    draw_legend(&mut canvas, &layout, &shown)?;
    Ok(canvas)
}

/// A series on the page.
struct Shown<'a> {
    series: &'a Series,
    look: Look,
    /// Of each point; `None` is a gap.
    places: Vec<Option<(f64, f64)>>,
    /// The ends of each point's interval, the upper first.
    intervals: Vec<Option<(f64, f64)>>,
}

impl<'a> Shown<'a> {
    fn new(layout: &Layout, number: usize, series: &'a Series) -> Shown<'a> {
        let finite = |point: &Point| point.x.is_finite() && point.y.is_finite();
        let place =
            |point: &Point| finite(point).then(|| (width_of(layout.area, &layout.x, point.x), height_of(layout.area, &layout.y, point.y)));
        // An end that a logarithmic axis cannot show, or an infinite one, is beyond the plot's edge.
        let end = |value: f64, beyond: f64| match height_of(layout.area, &layout.y, value) {
            y if y.is_finite() => y.clamp(layout.area.top, layout.area.bottom),
            _ => beyond,
        };
        let interval = |point: &Point| {
            let (low, high) = (point.low.or(point.high.map(|_| point.y))?, point.high.or(point.low.map(|_| point.y))?);
            finite(point).then(|| (end(high, layout.area.top), end(low, layout.area.bottom)))
        };
        Shown {
            series,
            look: look(number, series),
            places: series.points.iter().map(place).collect(),
            intervals: series.points.iter().map(interval).collect(),
        }
    }

    /// The stretches of line between gaps.
    fn runs(&self) -> impl Iterator<Item = Vec<(f64, f64)>> {
        self.places.split(Option::is_none).map(|run| run.iter().flatten().copied().collect::<Vec<_>>()).filter(|run| !run.is_empty())
    }

    fn lines(&self, canvas: &mut Canvas, area: Rect) {
        for run in self.runs() {
            for piece in clipped(&run, area) {
                canvas.polyline(&piece, LINE_WIDTH, self.look.color, self.look.dash);
            }
        }
    }

    fn markers(&self, canvas: &mut Canvas, area: Rect) {
        self.places.iter().flatten().filter(|place| inside(**place, area)).for_each(|place| draw_marker(canvas, *place, &self.look));
    }

    fn error_bars(&self, canvas: &mut Canvas, area: Rect) {
        for (place, interval) in self.places.iter().zip(&self.intervals) {
            let (Some((x, y)), Some((high, low))) = (place, interval) else { continue };
            if !inside((*x, y.clamp(area.top, area.bottom)), area) {
                continue;
            }
            canvas.line((*x, *high), (*x, *low), BAR_WIDTH, self.look.color);
            for end in [*high, *low] {
                canvas.line((x - CAP, end), (x + CAP, end), BAR_WIDTH, self.look.color);
            }
        }
    }

    /// Fills between the ends of the intervals, a column of pixels at a time, so that no place is tinted twice.
    fn band(&self, canvas: &mut Canvas, area: Rect) {
        let step = canvas.step();
        let known: Vec<Option<(f64, f64, f64)>> = self
            .places
            .iter()
            .zip(&self.intervals)
            .map(|(place, interval)| Some((place.as_ref()?.0, interval.as_ref()?.0, interval.as_ref()?.1)))
            .collect();
        for run in known.split(Option::is_none) {
            for pair in run.windows(2) {
                let &[Some(mut from), Some(mut to)] = pair else { continue };
                if from.0 > to.0 {
                    std::mem::swap(&mut from, &mut to);
                }
                let first = (from.0.max(area.left) / step).round() as i64;
                let last = (to.0.min(area.right) / step).round() as i64;
                for column in first..last {
                    let x = column as f64 * step;
                    let share = if to.0 > from.0 { ((x - from.0) / (to.0 - from.0)).clamp(0.0, 1.0) } else { 0.0 };
                    let rect =
                        Rect { left: x, top: from.1 + (to.1 - from.1) * share, right: x + step, bottom: from.2 + (to.2 - from.2) * share };
                    canvas.tint(rect, self.look.color, 0.18);
                }
            }
        }
        // An interval with no neighbour has no width to fill.
        for (index, place) in known.iter().enumerate() {
            let alone =
                index.checked_sub(1).is_none_or(|before| known[before].is_none()) && known.get(index + 1).is_none_or(Option::is_none);
            if let (Some((x, high, low)), true) = (place, alone && place.is_some_and(|(x, ..)| (area.left..=area.right).contains(&x))) {
                canvas.line((*x, *high), (*x, *low), BAR_WIDTH, self.look.color);
            }
        }
    }
}

/// A marker with a thin white edge, which parts it from what lies below.
fn draw_marker(canvas: &mut Canvas, (x, y): (f64, f64), look: &Look) {
    for (radius, color) in [(MARKER + 0.5, WHITE), (MARKER, look.color)] {
        let outline: Vec<(f64, f64)> = style::marker(look.marker).into_iter().map(|(dx, dy)| (x + dx * radius, y + dy * radius)).collect();
        canvas.polygon(&outline, color);
    }
}

fn inside((x, y): (f64, f64), area: Rect) -> bool {
    const SLACK: f64 = 0.01;
    (area.left - SLACK..=area.right + SLACK).contains(&x) && (area.top - SLACK..=area.bottom + SLACK).contains(&y)
}

/// The parts of a line that are inside (Liang and Barsky 1984).
fn clipped(points: &[(f64, f64)], area: Rect) -> Vec<Vec<(f64, f64)>> {
    let mut pieces: Vec<Vec<(f64, f64)>> = Vec::new();
    for pair in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        let (dx, dy) = (x1 - x0, y1 - y0);
        let (mut enter, mut leave) = (0.0f64, 1.0f64);
        for (run, room) in [(-dx, x0 - area.left), (dx, area.right - x0), (-dy, y0 - area.top), (dy, area.bottom - y0)] {
            match run {
                0.0 if room < 0.0 => leave = -1.0,
                0.0 => {}
                run if run < 0.0 => enter = enter.max(room / run),
                run => leave = leave.min(room / run),
            }
        }
        if enter > leave {
            continue;
        }
        let at = |share: f64| (x0 + dx * share, y0 + dy * share);
        match pieces.last_mut() {
            Some(piece) if enter == 0.0 && piece.last() == Some(&pair[0]) => piece.push(at(leave)),
            _ => pieces.push(vec![at(enter), at(leave)]),
        }
    }
    pieces
}

/// The name of a point, and the places it may have.
struct Named {
    text: String,
    point: (f64, f64),
    places: [Rect; 12],
    chosen: usize,
}

/// From this place on, a name is so far from its point that a line has to join them.
const FIRST_FAR: usize = 8;

impl Named {
    fn new(label: &str, (x, y): (f64, f64), area: Rect) -> Named {
        let text = font::elide(label, NOTE, area.width() * 0.6);
        let (wide, tall) = (font::width(&text, NOTE), NOTE * 0.95);
        let (near, slant, far) = (MARKER + 2.0, (MARKER + 2.0) * 0.6, (MARKER + 2.0) * 2.2);
        let (left, right, above, below) = (x - wide, x, y - tall, y);
        let (middle, center) = (x - wide / 2.0, y - tall / 2.0);
        // The best first: of places that cover nothing, it is taken.
        let corners = [
            (right + near, center),
            (left - near, center),
            (middle, above - near),
            (middle, below + near),
            (right + slant, above - slant),
            (left - slant, above - slant),
            (right + slant, below + slant),
            (left - slant, below + slant),
            (right + slant, above - far),
            (left - slant, above - far),
            (right + slant, below + far),
            (left - slant, below + far),
        ];
        Named {
            text,
            point: (x, y),
            places: corners.map(|(left, top)| Rect { left, top, right: left + wide, bottom: top + tall }),
            chosen: 0,
        }
    }

    fn rect(&self) -> Rect {
        self.places[self.chosen]
    }
}

/// Puts each point's label where it covers least: first by itself, then, a few times over, in view of where the others are.
fn labels(canvas: &mut Canvas, layout: &Layout, shown: &[Shown<'_>]) -> Result<()> {
    let mut named: Vec<Named> = Vec::new();
    for shown in shown {
        for (point, place) in shown.series.points.iter().zip(&shown.places) {
            if let (Some(label), Some(place)) = (point.label.as_deref().filter(|label| !label.trim().is_empty()), *place)
                && inside(place, layout.area)
            {
                named.push(Named::new(label, place, layout.area));
            }
        }
    }
    if named.is_empty() {
        return Ok(());
    }
    let taken = covered(shown);
    for _ in 0..4 {
        for index in 0..named.len() {
            let cost = |number: usize, place: &Rect| {
                let far = if number >= FIRST_FAR { 10.0 } else { 0.0 };
                let marks: f64 = taken.iter().map(|(other, weight)| place.overlap(other) * weight).sum();
                let labels: f64 =
                    named.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, other)| place.overlap(&other.rect())).sum();
                let outside = place.width() * place.height() - place.overlap(&layout.area);
                far + marks + labels * 5.0 + outside * 20.0
            };
            let costs: Vec<f64> = named[index].places.iter().enumerate().map(|(number, place)| cost(number, place)).collect();
            let best = (0..costs.len()).min_by(|a, b| costs[*a].total_cmp(&costs[*b])).unwrap_or(0);
            named[index].chosen = best;
        }
    }
    for Named { text, point, places, chosen } in &named {
        let place = places[*chosen];
        if *chosen >= FIRST_FAR {
            let end = (point.0.clamp(place.left, place.right), point.1.clamp(place.top, place.bottom));
            let (dx, dy) = (end.0 - point.0, end.1 - point.1);
            let start = (MARKER + 1.0) / dx.hypot(dy).max(MARKER + 1.0);
            canvas.line((point.0 + dx * start, point.1 + dy * start), end, 0.4, GREY);
        }
        let base = (place.top + place.bottom + font::CAPITAL * NOTE) / 2.0;
        canvas.text((place.left, base), Text::new(text, NOTE, INK, Align::Left))?;
    }
    Ok(())
}

/// What labels should not cover, and how bad it is: markers, and lines as a row of squares.
fn covered(shown: &[Shown<'_>]) -> Vec<(Rect, f64)> {
    let around = |(x, y): (f64, f64), reach: f64| Rect { left: x - reach, top: y - reach, right: x + reach, bottom: y + reach };
    let markers = shown.iter().flat_map(|shown| shown.places.iter().flatten()).map(|place| (around(*place, MARKER + 0.5), 12.0));
    let mut taken: Vec<(Rect, f64)> = markers.collect();
    for run in shown.iter().filter(|shown| shown.series.line).flat_map(Shown::runs) {
        for pair in run.windows(2) {
            let ((x, y), (dx, dy)) = (pair[0], (pair[1].0 - pair[0].0, pair[1].1 - pair[0].1));
            let steps = (dx.hypot(dy).min(2000.0) / 2.0).ceil().max(1.0);
            let square = |step: usize| (around((x + dx * step as f64 / steps, y + dy * step as f64 / steps), 1.0), 4.0);
            taken.extend((0..=steps as usize).map(square));
        }
    }
    taken
}

fn draw_legend(canvas: &mut Canvas, layout: &Layout, shown: &[Shown<'_>]) -> Result<()> {
    let (left, top) = layout.legend_at;
    for (number, rect, name) in &layout.legend.entries {
        let shown = &shown[*number];
        let middle = top + (rect.top + rect.bottom) / 2.0;
        let (from, to) = (left + rect.left, left + rect.left + SAMPLE);
        if shown.series.band {
            let tint = style::mix(shown.look.color, 0.18);
            canvas.rectangle(Rect { left: from, top: middle - 3.0, right: to, bottom: middle + 3.0 }, tint);
        }
        if shown.series.line {
            canvas.polyline(&[(from, middle), (to, middle)], LINE_WIDTH, shown.look.color, shown.look.dash);
        }
        if shown.series.markers {
            draw_marker(canvas, ((from + to) / 2.0, middle), &shown.look);
        }
        canvas.text((to + GAP, middle + font::CAPITAL * SMALL / 2.0), Text::new(name, SMALL, INK, Align::Left))?;
    }
    Ok(())
}
