//! Histograms: how often values fall where.

use super::axis::{height_of, width_of};
use super::frame::{Content, Frame};
use super::legend::{Entry, LINE_WIDTH, Sample};
use super::page::{Group, Page};
use super::style::{self, Color};
use super::{Axis, Histogram, Samples, Scale, scale};
use crate::artifact::number;
use crate::error::{Error, Result};
use plotters::element::Rectangle;
use plotters::style::Color as _;

const MOST_SERIES: usize = 8;
const MOST_BINS: usize = 200;
/// How many bins there are if unsaid: no fewer and no more than these.
const BINS: (f64, f64) = (5.0, 40.0);
/// How much of its colour a histogram that others shine through has.
const TINT: f64 = 0.25;
const ALONE: f64 = 0.85;

/// To an axis's own scale, or back.
type Scaling = fn(f64) -> f64;

/// The counts of one series between the edges.
struct Counted<'a> {
    samples: &'a Samples,
    color: Color,
    /// How many values, or which share of them.
    heights: Vec<f64>,
}

pub(super) fn draw(chart: &Histogram) -> Result<Page> {
    let values: Vec<f64> = chart.series.iter().flat_map(|series| &series.values).copied().filter(|value| value.is_finite()).collect();
    let edges = edges(chart, values)?;
    let counted: Vec<Counted<'_>> =
        chart.series.iter().enumerate().map(|(number, samples)| Counted::new(chart, number, samples, &edges)).collect();
    let label = match (chart.label.trim(), chart.share) {
        ("", true) => "Share of values",
        ("", false) => "Values",
        (label, _) => label,
    };
    let legend = |one: &Counted<'_>| Entry { sample: Sample::Square(one.color), name: one.samples.name.clone() };
    let frame = Frame::new(&Content {
        title: chart.title.as_deref(),
        size: &chart.size,
        x: &chart.x,
        y: &Axis { label: label.to_owned(), from_zero: Some(true), ..Axis::default() },
        across: edges.clone(),
        heights: counted.iter().flat_map(|one| one.heights.iter().copied()).collect(),
        legend: vec![counted.iter().map(legend).collect()],
        note: None,
    })?;
    let mut page = frame.begin()?;
    for one in &counted {
        one.bars(&mut page, &frame, &edges, counted.len() == 1)?;
    }
    // Outlines over all tints: none is hidden by another.
    for one in counted.iter().filter(|_| counted.len() > 1) {
        one.outline(&mut page, &frame, &edges)?;
    }
    frame.axes(&mut page)?;
    if edges.is_empty() {
        frame.no_data(&mut page);
    }
    Ok(page)
}

pub(super) fn description(chart: &Histogram) -> String {
    let names: Vec<String> = chart.series.iter().map(|series| format!("{} ({} values)", series.name, series.values.len())).collect();
    let title = chart.title.as_ref().map_or(String::new(), |title| format!("{title}. "));
    format!("{title}Histogram of {}: {}", chart.x.label, names.join("; "))
}

/// The edges of the bins, one more than there are bins; none without values.
///
/// Unsaid, their width is that of D. Freedman and P. Diaconis ("On the histogram as a density estimator", 1981), rounded, so that edges are
/// numbers that people know.
fn edges(chart: &Histogram, mut values: Vec<f64>) -> Result<Vec<f64>> {
    match chart.series.len() {
        0 => return Err(Error::new("a histogram needs at least one series").remedy("`series: [#{ name: ..., values: [...] }]`")),
        count if count > MOST_SERIES => {
            return Err(
                Error::new(format!("{count} series: expected {MOST_SERIES} at most")).remedy("draw several histograms, or a box chart")
            );
        }
        _ => {}
    }
    if let Some(bins) = chart.bins.filter(|bins| !(1..=MOST_BINS).contains(bins)) {
        return Err(Error::new(format!("`bins` is {bins}: expected 1 to {MOST_BINS}")));
    }
    let logarithmic = chart.x.scale != Scale::Linear;
    if let Some(wrong) = values.iter().find(|value| logarithmic && **value <= 0.0) {
        return Err(Error::new(format!("{wrong} has no place on a logarithmic axis"))
            .at("axis x")
            .remedy("leave the value out, or use `scale: \"linear\"`"));
    }
    // On a logarithmic axis, bins are equally wide there.
    let (to, from): (Scaling, Scaling) = if logarithmic { (f64::ln, f64::exp) } else { (|value| value, |value| value) };
    values.iter_mut().for_each(|value| *value = to(*value));
    values.sort_by(f64::total_cmp);
    let (Some(&least), Some(&most)) = (values.first(), values.last()) else { return Ok(Vec::new()) };
    let span = most - least;
    if span <= least.abs().max(most.abs()) * 1e-12 {
        let half = if least == 0.0 { 0.5 } else { least.abs() / 20.0 };
        return Ok([least - half, least + half].map(from).to_vec());
    }
    let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
    let rule = 2.0 * (at(0.75) - at(0.25)) / (values.len() as f64).cbrt();
    let about = if rule > 0.0 { (span / rule).clamp(BINS.0, BINS.1) } else { (values.len() as f64).log2().ceil().clamp(BINS.0, BINS.1) };
    let (first, width, count) = match chart.bins {
        Some(bins) => (least, span / bins as f64, bins),
        None if logarithmic => (least, span / about.round(), about.round() as usize),
        None => {
            let width = scale::step(least, most, about);
            let first = (least / width).floor() * width;
            (first, width, (((most - first) / width).floor() as usize + 1).min(MOST_BINS))
        }
    };
    Ok((0..=count).map(|edge| from(first + width * edge as f64)).collect())
}

impl<'a> Counted<'a> {
    fn new(chart: &Histogram, number: usize, samples: &'a Samples, edges: &[f64]) -> Counted<'a> {
        let mut heights = vec![0.0; edges.len().saturating_sub(1)];
        let finite = || samples.values.iter().filter(|value| value.is_finite());
        for value in finite().filter(|_| !heights.is_empty()).collect::<Vec<_>>() {
            // A bin holds its lower edge; the last one both.
            let bin = edges.partition_point(|edge| edge <= value).clamp(1, heights.len()) - 1;
            heights[bin] += 1.0;
        }
        if chart.share {
            let count = finite().count().max(1) as f64;
            heights.iter_mut().for_each(|height| *height /= count);
        }
        Counted { samples, color: style::color(samples.color.unwrap_or(number)), heights }
    }

    fn bars(&self, page: &mut Page, frame: &Frame, edges: &[f64], alone: bool) -> Result<()> {
        let digits = number::plain;
        for (bin, height) in self.heights.iter().enumerate().filter(|(_, height)| **height > 0.0) {
            let (from, to) = (edges[bin], edges[bin + 1]);
            let name = &self.samples.name;
            let said = if name.is_empty() { String::new() } else { format!("{name}; ") };
            let group = Group::crisp()
                .titled(format!("{said}{} to {}: {}", digits(from), digits(to), digits(*height)))
                .with("data-series", name)
                .with("data-from", format!("{from:?}"))
                .with("data-to", format!("{to:?}"))
                .with("data-value", format!("{height:?}"));
            let cover = if alone { ALONE } else { TINT };
            page.plot(&group, frame.area, (&frame.x, &frame.y), |plot| {
                // A white line parts bars that stand side by side.
                let mut bar = Rectangle::new([(from, 0.0), (to, *height)], self.color.mix(cover).filled());
                if alone {
                    bar.set_margin(0, 0, 20, 20);
                }
                plot.draw(&bar)
            })?;
        }
        Ok(())
    }

    fn outline(&self, page: &mut Page, frame: &Frame, edges: &[f64]) -> Result<()> {
        let place = |x: f64, y: f64| (width_of(frame.area, &frame.x, x), height_of(frame.area, &frame.y, y));
        let Some((first, last)) = edges.first().zip(edges.last()) else { return Ok(()) };
        let mut outline = vec![place(*first, 0.0)];
        for (bin, height) in self.heights.iter().enumerate() {
            outline.extend([place(edges[bin], *height), place(edges[bin + 1], *height)]);
        }
        outline.push(place(*last, 0.0));
        page.lines(&Group::default(), [outline.as_slice()], LINE_WIDTH * 0.8, self.color)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn heights(value: serde_json::Value) -> (Vec<f64>, Vec<f64>) {
        let chart: Histogram = serde_json::from_value(value).unwrap();
        let edges =
            edges(&chart, chart.series.iter().flat_map(|one| &one.values).copied().filter(|value| value.is_finite()).collect()).unwrap();
        let counted = Counted::new(&chart, 0, &chart.series[0], &edges);
        (edges.clone(), counted.heights)
    }

    #[test]
    fn every_value_is_in_one_bin() {
        let values: Vec<f64> = (0..1000).map(|index| (f64::from(index) * 0.7).sin() * 3.0).collect();
        for bins in [json!(null), json!(1), json!(7), json!(200)] {
            let (edges, heights) = heights(json!({ "x": {}, "series": [{ "values": values }], "bins": bins }));
            assert_eq!((heights.iter().sum::<f64>(), edges.len()), (1000.0, heights.len() + 1), "{bins}");
        }
        let (_, shares) = heights(json!({ "x": {}, "series": [{ "values": [1, 2, 2, null, 3] }], "share": true, "bins": 2 }));
        assert_eq!(shares, [0.25, 0.75]);
    }

    #[test]
    fn edges_are_round() {
        let (edges, heights) = heights(json!({ "x": {}, "series": [{ "values": [0.1, 1.2, 2.4, 3.1, 4.9, 5.0] }] }));
        assert_eq!((edges, heights), ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0].to_vec(), [1.0, 1.0, 1.0, 1.0, 1.0, 1.0].to_vec()));
    }

    #[test]
    fn one_value_and_none() {
        assert_eq!(heights(json!({ "x": {}, "series": [{ "values": [20, 20] }] })), ([19.0, 21.0].to_vec(), [2.0].to_vec()));
        assert_eq!(heights(json!({ "x": {}, "series": [{ "values": [null] }] })), (vec![], vec![]));
    }
}
