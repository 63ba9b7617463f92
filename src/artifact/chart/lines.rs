//! The line chart, and the scatter chart, which is one without lines.

use super::clip::{clipped, cut, inside};
use super::frame::{Content, Frame};
use super::labels::{self, Named, Taken};
use super::legend::{LINE_WIDTH, MARKER, TINT, draw_marker};
use super::looks::{self, Look};
use super::overlap::{self, Joints, Mark};
use super::page::{Group, Page};
use super::style;
use super::{Axis, LineChart, Point, Rect, Scale, Series, Size, axis::height_of, axis::width_of, facets};
use crate::artifact::number;
use crate::error::{Error, Result};

/// More lines than this nobody can tell apart.
const MOST_SERIES: usize = 40;
const BAR_WIDTH: f64 = 0.7;
/// Half of the cap of an error bar.
const CAP: f64 = 1.8;
/// A series of more points than these is a cloud: smaller markers, and no numbers to point at.
const CLOUD: usize = 300;
/// The names that a description lists.
const NAMES: usize = 12;

/// All values that the axes should show, across and upwards.
fn values(chart: &LineChart) -> (Vec<f64>, Vec<f64>) {
    let points = || chart.series.iter().flat_map(|series| &series.points);
    let marked = |end: Option<f64>| end.filter(|end| chart.y.scale == Scale::Linear || *end > 0.0);
    let heights = points().flat_map(|point| [Some(point.y), marked(point.low), marked(point.high)].into_iter().flatten()).collect();
    (points().filter(|point| !point.y.is_nan()).map(|point| point.x).collect(), heights)
}

/// The frame of one panel: on the axes of the whole chart, without a legend of its own; `named` where its vertical axis has its name.
pub(super) fn frame_of(panel: &LineChart, whole: &LineChart, size: Size, named: bool) -> Result<Frame> {
    let (across, heights) = values(whole);
    let y = if named { panel.y.clone() } else { Axis { label: String::new(), ..panel.y.clone() } };
    let title = panel.title.as_deref();
    Frame::new(&Content { title, size: &size, x: &panel.x, y: &y, across, heights, legend: Vec::new(), note: None })
}

pub(super) fn frame(chart: &LineChart) -> Result<Frame> {
    check(chart)?;
    let (across, heights) = values(chart);
    let looks = looks::looks(chart);
    // A series of which nothing is shown has no entry that one would look for in vain.
    let (shown, empty): (Vec<_>, Vec<_>) =
        chart.series.iter().zip(looks).partition(|(series, _)| series.points.iter().any(Point::is_finite));
    let missing: Vec<String> = empty.iter().map(|(series, _)| looks::name(series)).filter(|name| !name.is_empty()).collect();
    let note = (!missing.is_empty() && !shown.is_empty()).then(|| format!("no data: {}", missing.join("; ")));
    Frame::new(&Content {
        title: chart.title.as_deref(),
        size: &chart.size,
        x: &chart.x,
        y: &chart.y,
        across,
        heights,
        legend: looks::legend(&shown),
        note,
    })
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

/// What the chart shows, for who cannot see it.
pub(super) fn description(chart: &LineChart) -> String {
    let mut names: Vec<String> = chart.series.iter().map(looks::name).filter(|name| !name.is_empty()).collect();
    let more = names.len().saturating_sub(NAMES);
    names.truncate(NAMES);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let of = if names.is_empty() { String::new() } else { format!(": {}{more}", names.join("; ")) };
    let title = chart.title.as_ref().map_or(String::new(), |title| format!("{title}. "));
    let or = |label: &str, unsaid: &'static str| if label.trim().is_empty() { unsaid.to_owned() } else { label.to_owned() };
    format!("{title}{} over {}{of}", or(&chart.y.label, "y"), or(&chart.x.label, "x"))
}

pub(super) fn draw(chart: &LineChart) -> Result<Page> {
    check(chart)?;
    match facets::of(chart) {
        Some(facets) => facets.place(chart)?.draw(),
        None => draw_in(chart, &frame(chart)?),
    }
}

/// Draws one plot into its frame.
pub(super) fn draw_in(chart: &LineChart, frame: &Frame) -> Result<Page> {
    let mut page = frame.begin()?;
    let looks = looks::looks(chart);
    let mut shown: Vec<Shown> = chart.series.iter().zip(looks).map(|(series, look)| Shown::new(frame, series, look)).collect();
    move_apart(&mut shown, frame.area);
    let area = frame.area;
    shown.iter().filter(|shown| shown.series.band).try_for_each(|shown| shown.band(&mut page, area))?;
    frame.axes(&mut page)?;
    // Bars below all lines, lines below all markers: nothing that is measured is hidden by how it is shown.
    shown.iter().filter(|shown| !shown.series.band).try_for_each(|shown| shown.error_bars(&mut page, area))?;
    shown.iter().filter(|shown| shown.joined()).try_for_each(|shown| shown.lines(&mut page, area))?;
    shown.iter().filter(|shown| shown.series.markers).try_for_each(|shown| shown.markers(&mut page, area, chart))?;
    draw_labels(&mut page, area, &shown)?;
    if shown.iter().all(|shown| shown.places.iter().all(Option::is_none)) {
        frame.no_data(&mut page);
    }
    Ok(page)
}

/// A series on the page.
struct Shown<'a> {
    series: &'a Series,
    look: Look,
    /// Of each point's marker; `None` is a gap.
    places: Vec<Option<(f64, f64)>>,
    /// Of each point on the line.
    joints: Vec<Option<(f64, f64)>>,
    /// The ends of each point's interval, the upper first.
    intervals: Vec<Option<(f64, f64)>>,
}

/// Moves what would hide each other apart: see [`overlap`].
fn move_apart(shown: &mut [Shown<'_>], area: Rect) {
    let marks: Vec<Vec<Option<Mark>>> = shown.iter().map(Shown::marks).collect();
    let lines: Vec<Option<Joints<'_>>> = shown.iter().map(|shown| shown.joined().then_some(shown.joints.as_slice())).collect();
    let offsets = overlap::offsets(&lines, area);
    for ((shown, shifts), offsets) in shown.iter_mut().zip(overlap::shifts(&marks, area)).zip(offsets) {
        for (index, shift) in shifts.into_iter().enumerate() {
            if let Some((x, _)) = &mut shown.places[index] {
                *x += shift;
            }
            if let Some((x, y)) = &mut shown.joints[index] {
                // A line goes through its markers, unless it runs beside another: moved to the side, sloping lines would meet again.
                match offsets.get(index).copied().unwrap_or_default() {
                    0.0 => *x += shift,
                    offset => *y += offset,
                }
            }
        }
    }
}

impl<'a> Shown<'a> {
    fn new(frame: &Frame, series: &'a Series, look: Look) -> Shown<'a> {
        let area = frame.area;
        let place = |point: &Point| point.is_finite().then(|| (width_of(area, &frame.x, point.x), height_of(area, &frame.y, point.y)));
        // An end that a logarithmic axis cannot show, or an infinite one, is beyond the plot's edge.
        let end = |value: f64, beyond: f64| match height_of(area, &frame.y, value) {
            y if y.is_finite() => y.clamp(area.top, area.bottom),
            _ => beyond,
        };
        let interval = |point: &Point| {
            let (low, high) = (point.low.or(point.high.map(|_| point.y))?, point.high.or(point.low.map(|_| point.y))?);
            point.is_finite().then(|| (end(high, area.top), end(low, area.bottom)))
        };
        let places: Vec<Option<(f64, f64)>> = series.points.iter().map(place).collect();
        Shown { series, look, joints: places.clone(), places, intervals: series.points.iter().map(interval).collect() }
    }

    fn joined(&self) -> bool {
        self.series.line.unwrap_or(true)
    }

    /// What could be hidden, or hide another; a line alone has nothing of the kind.
    fn marks(&self) -> Vec<Option<Mark>> {
        let interval = |index: usize| self.intervals[index].filter(|_| !self.series.band);
        let mark = |(index, place): (usize, &Option<(f64, f64)>)| {
            let interval = interval(index);
            place.filter(|_| self.series.markers || interval.is_some()).map(|at| Mark { at, interval })
        };
        self.places.iter().enumerate().map(mark).collect()
    }

    /// The stretches of line between gaps.
    ///
    /// Points that were measured several times at one place would make it a vertical stroke: it goes through their mean. Where it would go
    /// back to a place where it was, a new stretch begins.
    fn runs(&self) -> Vec<Vec<(f64, f64)>> {
        if !self.series.markers {
            // A line alone is drawn as it is given: a roof, an outline.
            return self.joints.split(Option::is_none).map(|run| run.iter().flatten().copied().collect()).collect();
        }
        let mut runs: Vec<Vec<(f64, f64)>> = Vec::new();
        for stretch in self.joints.iter().zip(&self.series.points).collect::<Vec<_>>().split(|(joint, _)| joint.is_none()) {
            let mut run: Vec<(f64, f64)> = Vec::new();
            let mut known: Vec<f64> = Vec::new();
            for same in stretch.chunk_by(|(_, one), (_, next)| one.x == next.x) {
                let places: Vec<(f64, f64)> = same.iter().filter_map(|(joint, _)| **joint).collect();
                let [(_, first), ..] = same else { continue };
                if known.contains(&first.x) {
                    runs.push(std::mem::take(&mut run));
                    known.clear();
                }
                known.push(first.x);
                let count = places.len() as f64;
                run.push((
                    places.iter().map(|place| place.0).sum::<f64>() / count,
                    places.iter().map(|place| place.1).sum::<f64>() / count,
                ));
            }
            runs.push(run);
        }
        runs.retain(|run| !run.is_empty());
        runs
    }

    fn lines(&self, page: &mut Page, area: Rect) -> Result<()> {
        let pieces: Vec<Vec<(f64, f64)>> = self.runs().iter().flat_map(|run| clipped(run, area)).collect();
        let group = Group::default().with("data-line", looks::name(self.series)).dashed(style::dash(self.look.dash));
        page.lines(&group, pieces.iter().map(Vec::as_slice), LINE_WIDTH, self.look.color)
    }

    fn markers(&self, page: &mut Page, area: Rect, chart: &LineChart) -> Result<()> {
        let cloud = self.series.points.len() > CLOUD;
        for (place, point) in self.places.iter().zip(&self.series.points) {
            if let Some(place) = place.filter(|place| inside(*place, area)) {
                let (group, radius) = if cloud { (Group::default(), MARKER * 0.6) } else { (self.numbers(point, chart), MARKER) };
                draw_marker(page, &group, place, (self.look.marker, radius), self.look.color)?;
            }
        }
        Ok(())
    }

    /// A marker's numbers, in full and for a reader.
    fn numbers(&self, point: &Point, chart: &LineChart) -> Group {
        let name = looks::name(self.series);
        let digits = number::plain;
        let interval = match (point.low, point.high) {
            (None, None) => String::new(),
            (low, high) => format!(" [{}, {}]", digits(low.unwrap_or(point.y)), digits(high.unwrap_or(point.y))),
        };
        let called = |label: &str| if label.trim().is_empty() { String::new() } else { format!("{label}: ") };
        let series = if name.is_empty() { String::new() } else { format!("{name}; ") };
        let what = point.label.as_ref().map_or(String::new(), |label| format!("{label}; "));
        let (x, y) = (digits(point.x), digits(point.y));
        let mut group =
            Group::default().titled(format!("{series}{what}{}{x}; {}{y}{interval}", called(&chart.x.label), called(&chart.y.label)));
        group = group.with("data-series", &name).with("data-x", format!("{:?}", point.x)).with("data-y", format!("{:?}", point.y));
        for (key, end) in [("data-low", point.low), ("data-high", point.high)] {
            if let Some(end) = end {
                group = group.with(key, format!("{end:?}"));
            }
        }
        group
    }

    fn error_bars(&self, page: &mut Page, area: Rect) -> Result<()> {
        let mut strokes: Vec<Vec<(f64, f64)>> = Vec::new();
        for (place, interval) in self.places.iter().zip(&self.intervals) {
            let (Some((x, y)), Some((high, low))) = (place, interval) else { continue };
            if inside((*x, y.clamp(area.top, area.bottom)), area) {
                strokes.push(vec![(*x, *high), (*x, *low)]);
                strokes.extend([*high, *low].map(|end| vec![(x - CAP, end), (x + CAP, end)]));
            }
        }
        page.lines(&Group::default(), strokes.iter().map(Vec::as_slice), BAR_WIDTH, self.look.color)
    }

    /// Fills between the ends of the intervals.
    fn band(&self, page: &mut Page, area: Rect) -> Result<()> {
        let known: Vec<Option<(f64, f64, f64)>> = self
            .places
            .iter()
            .zip(&self.intervals)
            .map(|(place, interval)| Some((place.as_ref()?.0, interval.as_ref()?.0, interval.as_ref()?.1)))
            .collect();
        for run in known.split(Option::is_none) {
            let run: Vec<(f64, f64, f64)> = run.iter().flatten().copied().collect();
            match run[..] {
                [] => {}
                // An interval with no neighbour has no width to fill.
                [(x, high, low)] if (area.left..=area.right).contains(&x) => {
                    page.lines(&Group::default(), [&[(x, high), (x, low)][..]], BAR_WIDTH, self.look.color)?;
                }
                [_] => {}
                _ => {
                    let upper = run.iter().map(|(x, high, _)| (*x, *high));
                    let lower = run.iter().rev().map(|(x, _, low)| (*x, *low));
                    let outline = cut(&upper.chain(lower).collect::<Vec<_>>(), area);
                    page.polygon(&Group::default(), &outline, self.look.color, TINT)?;
                }
            }
        }
        Ok(())
    }
}

/// Puts names beside the points that have one.
fn draw_labels(page: &mut Page, area: Rect, shown: &[Shown<'_>]) -> Result<()> {
    let mut named: Vec<Named> = Vec::new();
    for shown in shown {
        for (point, place) in shown.series.points.iter().zip(&shown.places) {
            if let (Some(label), Some(place)) = (point.label.as_deref().filter(|label| !label.trim().is_empty()), *place)
                && inside(place, area)
            {
                named.push(Named::new(label, place, area));
            }
        }
    }
    if named.is_empty() {
        return Ok(());
    }
    let mut taken = Taken::default();
    for shown in shown {
        shown.places.iter().flatten().for_each(|place| taken.marker(*place));
        if shown.joined() {
            shown.runs().iter().for_each(|run| taken.line(run));
        }
    }
    labels::draw(page, area, named, &taken)
}
