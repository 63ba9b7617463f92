//! Panels side by side, each with an axis of its own: of bars, or of boxes.

use super::axis::{self, Grid, MARGIN, SMALL, Side, TITLE, height_of, line_height};
use super::boxes::Box;
use super::frame::NOTE;
use super::names::{Names, Slots};
use super::page::{Align, Group, Page, Text};
use super::ratio::RatioPart;
use super::scale::{self, Mapping, Role, minus};
use super::style::{self, Color, GREY, INK};
use super::{Axis, Bar, COLUMN, Distribution, PAGE, Panel, Panels, Rect, Scale, legend};
use crate::artifact::{font, number};
use crate::error::{Error, Result};

const MOST_PANELS: usize = 12;
const MOST_BARS: usize = 24;
pub(super) const VALUE: f64 = 7.0;
/// Between panels.
const BETWEEN: f64 = 12.0;
/// The bar's share of its slot, and the most it may be wide.
const FILL: f64 = 0.62;
const WIDEST: f64 = 32.0;
/// Above and below a value.
pub(super) const VALUE_GAP: f64 = 2.0;
const SMALLEST: f64 = 30.0;
/// What a bar has beside ratios at least, if that can be had.
const NARROWEST: f64 = 13.0;
/// The most of the plot's height that values take.
const MOST_VALUE: f64 = 0.45;
const BAR_WIDTH: f64 = 0.8;

/// Where one panel is.
pub(super) struct PanelLayout {
    pub(super) area: Rect,
    title: Vec<String>,
    note: Option<String>,
    part: Part,
    /// The top of the panel's text.
    top: f64,
}

pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) panels: Vec<PanelLayout>,
    pub(super) names: Names,
    title: Vec<String>,
    legend_top: f64,
}

/// In as many columns as were asked for; else in three, or as many as leave the bars some room.
pub(super) fn layout(chart: &Panels) -> Result<Layout> {
    check(chart)?;
    let count = chart.panels.len();
    let columns = chart.columns.unwrap_or(3).clamp(1, count);
    let mut laid = layout_in(chart, columns);
    for fewer in (1..columns).rev() {
        if laid.is_ok() || chart.columns.is_some() {
            break;
        }
        // Where that does not help either, what was wrong at first is told.
        if let Ok(found) = layout_in(chart, fewer) {
            laid = Ok(found);
        }
    }
    laid
}

fn layout_in(chart: &Panels, columns: usize) -> Result<Layout> {
    let count = chart.panels.len();
    let rows = count.div_ceil(columns);
    let (width, height) = chart.size.points(match columns {
        1 => COLUMN,
        2 => PAGE * 2.0 / 3.0,
        _ => PAGE,
    })?;
    let title = axis::lines(chart.title.as_deref().unwrap_or_default(), TITLE, width - 2.0 * MARGIN, 3);
    let mut head = MARGIN + if title.is_empty() { 0.0 } else { title.len() as f64 * line_height(TITLE) + 3.0 };
    let legend_top = head;
    let slot = (width - 2.0 * MARGIN - BETWEEN * (columns - 1) as f64) / columns as f64;
    let row_height = |head: f64| height.map(|height| (height - head - MARGIN - BETWEEN * (rows - 1) as f64) / rows as f64);
    let lefts = |column: usize| MARGIN + (slot + BETWEEN) * column as f64;
    // The ticks decide the left room and that the slots for names, which decide how high the plot is; ticks hardly depend on it.
    let guess = row_height(head).map_or(plot_height(slot), |height| height - 5.0 * line_height(SMALL)).max(SMALLEST);
    let mut parts: Vec<Part> = Vec::with_capacity(count);
    for (index, panel) in chart.panels.iter().enumerate() {
        parts.push(Part::new(panel, slot, guess).map_err(|error| error.at(format!("panels[{index}]")))?);
    }
    let numbered = numbered(chart);
    let slots: Vec<Slots<'_>> = chart
        .panels
        .iter()
        .zip(&parts)
        .enumerate()
        .map(|(index, (panel, part))| Slots {
            names: panel.slots().map(|(name, color, _)| (name, color.unwrap_or_else(|| number_of(&numbered, name)))).collect(),
            width: part.slot,
            left: part.left + if index % columns == 0 { MARGIN } else { BETWEEN },
        })
        .collect();
    let names = Names::choose(&slots, width - 2.0 * MARGIN);
    if let Names::Legend(legend) = &names {
        head += legend.height + 4.0;
    }
    let mut panels = Vec::with_capacity(count);
    let mut top = head;
    let mut parts = parts.into_iter();
    for row in chart.panels.chunks(columns) {
        let parts: Vec<Part> = parts.by_ref().take(row.len()).collect();
        let (laid, bottom) = lay_row(row, parts, lefts, slot, top, row_height(head), &names)?;
        panels.extend(laid);
        top = bottom + BETWEEN;
    }
    Ok(Layout { width, height: height.unwrap_or(top - BETWEEN + MARGIN), panels, names, title, legend_top })
}

fn check(chart: &Panels) -> Result<()> {
    let count = |what: &str, count: usize, most: usize| match count {
        0 => Err(Error::new(format!("no {what}: expected at least one"))),
        count if count > most => Err(Error::new(format!("{count} {what}: expected {most} at most")).remedy("draw several charts")),
        _ => Ok(()),
    };
    count("panels", chart.panels.len(), MOST_PANELS)?;
    for (index, panel) in chart.panels.iter().enumerate() {
        let checked = match (panel.bars.is_empty(), panel.boxes.is_empty()) {
            (false, false) => Err(Error::new("bars and boxes in one panel").remedy("give each a panel of its own")),
            (true, false) => count("boxes", panel.boxes.len(), MOST_BARS),
            _ => count("bars", panel.bars.len(), MOST_BARS),
        };
        let ratios = panel.ratio.as_ref().map_or(Ok(()), |ratio| count("points of a ratio", ratio.points.len(), MOST_BARS));
        checked.and(ratios).map_err(|error| error.at(format!("panels[{index}]")))?;
    }
    Ok(())
}

/// All names, in the order they came: the number of a name is that of its colour.
fn numbered(chart: &Panels) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for (name, ..) in chart.panels.iter().flat_map(Panel::slots) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn number_of(names: &[&str], name: &str) -> usize {
    names.iter().position(|other| *other == name).unwrap_or(0)
}

/// What stands in a slot of a panel.
enum Slot<'a> {
    Bar(&'a Bar),
    Box(&'a Distribution),
}

impl Panel {
    /// The name, the colour and the content of each slot.
    fn slots(&self) -> impl Iterator<Item = (&str, Option<usize>, Slot<'_>)> {
        let bars = self.bars.iter().map(|bar| (bar.name.as_str(), bar.color, Slot::Bar(bar)));
        bars.chain(self.boxes.iter().map(|one| (one.name.as_str(), one.color, Slot::Box(one))))
    }
}

/// Panels side by side share the height of the text above and below their plots. Returns them and the row's lower end.
fn lay_row(
    row: &[Panel],
    parts: Vec<Part>,
    lefts: impl Fn(usize) -> f64,
    width: f64,
    top: f64,
    height: Option<f64>,
    names: &Names,
) -> Result<(Vec<PanelLayout>, f64)> {
    let titles: Vec<Vec<String>> =
        row.iter().map(|panel| axis::lines(panel.title.as_deref().unwrap_or_default(), TITLE, width, 3)).collect();
    let notes: Vec<Option<String>> = row
        .iter()
        .map(|panel| panel.note.as_deref().filter(|note| !note.trim().is_empty()).map(|note| font::elide(note, NOTE, width)))
        .collect();
    let most = |heights: &mut dyn Iterator<Item = f64>| heights.fold(0.0, f64::max);
    let mut above = most(&mut titles.iter().map(|lines| lines.len() as f64 * line_height(TITLE)));
    above += if notes.iter().any(Option::is_some) { line_height(NOTE) } else { 0.0 };
    above += if above > 0.0 { 3.0 } else { 0.0 };
    above += most(&mut parts.iter().map(|part| axis::room_above(&part.mapping)));
    let below = names.height();
    let plot = height.map_or(plot_height(width), |height| height - above - below);
    if plot < SMALLEST {
        return Err(Error::new(format!("{:.0} points of the height are left for the plot: expected {SMALLEST} or more", plot.max(0.0)))
            .remedy("raise `size.height`, or leave it out"));
    }
    let mut laid = Vec::with_capacity(row.len());
    for (column, (((panel, mut part), title), note)) in row.iter().zip(parts).zip(titles).zip(notes).enumerate() {
        part.mapping = range(panel, &part.values, part.upright, plot)?;
        let upright = part.ratio.as_ref().is_some_and(|ratio| ratio.upright);
        part.ratio = panel.ratio.as_ref().map(|ratio| RatioPart::new(ratio, plot, upright)).transpose()?;
        let left = lefts(column);
        let right = left + width - part.ratio.as_ref().map_or(0.0, RatioPart::room);
        let area = Rect { left: left + part.left, top: top + above, right, bottom: top + above + plot };
        laid.push(PanelLayout { area, title, note, part, top });
    }
    Ok((laid, top + above + plot + below))
}

fn plot_height(width: f64) -> f64 {
    (width * 0.62).clamp(90.0, 140.0)
}

/// A panel's parts before its place is known.
struct Part {
    mapping: Mapping,
    /// The room of the axis.
    left: f64,
    /// How wide a slot is.
    slot: f64,
    /// Of bars.
    values: Vec<String>,
    /// Values run upwards where they are wider than their bar's slot.
    upright: bool,
    ratio: Option<RatioPart>,
}

impl Part {
    fn new(panel: &Panel, width: f64, plot: f64) -> Result<Part> {
        // The axis's power of ten does not depend on the values' room, and holds for them too.
        let exponent = range(panel, &[], false, plot)?.exponent;
        let value = |bar: &Bar| match &bar.text {
            Some(text) => text.clone(),
            None => minus(&number::significant(scale::in_powers(bar.value, exponent), 3)),
        };
        let values: Vec<String> =
            panel.bars.iter().map(|bar| font::elide(&value(bar), VALUE, plot * MOST_VALUE - 2.0 * VALUE_GAP)).collect();
        let mapping = range(panel, &values, false, plot)?;
        let left = axis::room_beside(&mapping, &panel.label, plot);
        let slots = panel.slots().count() as f64;
        let mut ratio = panel.ratio.as_ref().map(|ratio| RatioPart::new(ratio, plot, false)).transpose()?;
        let room = |ratio: &Option<RatioPart>| width - left - ratio.as_ref().map_or(0.0, RatioPart::room);
        if room(&ratio) < NARROWEST * slots {
            ratio = panel.ratio.as_ref().map(|ratio| RatioPart::new(ratio, plot, true)).transpose()?;
        }
        let room = room(&ratio);
        if room < SMALLEST {
            let room = room.max(0.0);
            return Err(Error::new(format!("{room:.0} points of the width are left for a panel: expected {SMALLEST} or more"))
                .remedy("raise `size.width`, or lower `columns`"));
        }
        let slot = room / slots;
        let upright = values.iter().any(|value| font::width(value, VALUE) > slot - 1.0);
        Ok(Part { mapping, left, slot, values, upright, ratio })
    }
}

/// The vertical axis: of bars from zero to the largest, with room for the values; of boxes from the least sample to the largest.
fn range(panel: &Panel, values: &[String], upright: bool, plot: f64) -> Result<Mapping> {
    let about = (plot / 21.0).clamp(2.0, 6.0);
    let bar_ends = panel.bars.iter().flat_map(|bar| [Some(bar.value), bar.low, bar.high]).flatten();
    let samples = panel.boxes.iter().flat_map(|one| one.values.iter().copied());
    let ends: Vec<f64> = bar_ends.chain(samples).filter(|value| value.is_finite()).collect();
    if !panel.boxes.is_empty() {
        let axis = Axis { scale: panel.scale, ..Axis::default() };
        return Mapping::new("y", &axis, ends, Role::Vertical, about);
    }
    let longest = values.iter().map(|value| font::width(value, VALUE)).fold(0.0, f64::max);
    let room = (VALUE_GAP * 2.0 + if upright { longest } else { VALUE * font::CAPITAL }).min(plot * MOST_VALUE);
    let (least, most) = (ends.iter().copied().fold(f64::INFINITY, f64::min), ends.iter().copied().fold(f64::NEG_INFINITY, f64::max));
    if panel.scale != Scale::Linear {
        // No bar begins at the zero that a logarithmic axis does not have: each has a stem of a tenth of the plot at least.
        let axis = if least > 0.0 && least < f64::INFINITY {
            let per_point = (most / least).ln().max(1.0) / (plot * 0.9 - room);
            let low = (least.ln() - per_point * plot * 0.1).exp().max(f64::MIN_POSITIVE);
            Axis {
                scale: panel.scale,
                low: Some(low.min(least)),
                high: Some((most.ln() + per_point * room).exp().clamp(most, f64::MAX)),
                ..Axis::default()
            }
        } else {
            Axis { scale: panel.scale, ..Axis::default() }
        };
        return Mapping::new("y", &axis, ends, Role::Vertical, about);
    }
    let (least, most) = (least.min(0.0), most.max(0.0));
    let (below, above) = (if least < 0.0 { room } else { 0.0 }, if most > 0.0 || least == 0.0 { room } else { 0.0 });
    let (least, most) = if least == most { (0.0, 1.0) } else { (least, most) };
    let per_point = (most / (plot - above - below) - least / (plot - above - below)).min(f64::MAX);
    let axis = Axis {
        low: Some((least - per_point * below).max(f64::MIN)),
        // A bar of the smallest number there is has no smaller room above.
        high: Some((most + per_point * above).min(f64::MAX)),
        ..Axis::default()
    };
    Mapping::new("y", &axis, ends, Role::Bars, about)
}

/// What the chart shows, for who cannot see it.
pub(super) fn description(chart: &Panels) -> String {
    let mut said: Vec<String> = chart.title.iter().cloned().collect();
    for panel in &chart.panels {
        let what = panel.title.as_deref().unwrap_or(&panel.label);
        let slots: Vec<String> = panel
            .slots()
            .map(|(name, _, slot)| match slot {
                Slot::Bar(bar) => format!("{name} {}", bar.text.clone().unwrap_or_else(|| number::significant(bar.value, 3))),
                Slot::Box(one) => format!("{name} {} samples", one.values.len()),
            })
            .collect();
        said.push(format!("{what}: {}", slots.join(", ")));
    }
    said.join(". ")
}

pub(super) fn draw(chart: &Panels) -> Result<Page> {
    let layout = layout(chart)?;
    let mut page = Page::new(layout.width, layout.height);
    for (index, line) in layout.title.iter().enumerate() {
        let base = MARGIN + font::CAPITAL * TITLE + index as f64 * line_height(TITLE);
        page.text((layout.width / 2.0, base), Text::new(line, TITLE, INK, Align::Center));
    }
    if let Names::Legend(found) = &layout.names {
        let left = ((layout.width - found.width) / 2.0).max(MARGIN);
        legend::draw(&mut page, (left, layout.legend_top), found)?;
    }
    let names = numbered(chart);
    for (panel, laid) in chart.panels.iter().zip(&layout.panels) {
        draw_panel(&mut page, panel, laid, &layout.names, &names)?;
    }
    Ok(page)
}

fn draw_panel(page: &mut Page, panel: &Panel, laid: &PanelLayout, below: &Names, names: &[&str]) -> Result<()> {
    let area = laid.area;
    let mapping = &laid.part.mapping;
    let right = area.right + laid.part.ratio.as_ref().map_or(0.0, RatioPart::room);
    let middle = (area.left + right) / 2.0;
    let mut base = laid.top + font::CAPITAL * TITLE;
    for line in &laid.title {
        page.text((middle, base), Text::new(line, TITLE, INK, Align::Center));
        base += line_height(TITLE);
    }
    if let Some(note) = &laid.note {
        page.text((middle, base), Text::new(note, NOTE, GREY, Align::Center));
    }
    axis::grid(page, area, (mapping, mapping), Grid::Across)?;
    axis::vertical(page, area, mapping, &panel.label, Side::Left)?;
    let slot = area.width() / panel.slots().count() as f64;
    let half = (slot * FILL).min(WIDEST) / 2.0;
    // Where there is no zero, what stands on the axis stands on its lower end.
    let zero = if panel.scale == Scale::Linear && panel.boxes.is_empty() { height_of(area, mapping, 0.0) } else { area.bottom };
    for (index, (name, color, content)) in panel.slots().enumerate() {
        let center = area.left + slot * (index as f64 + 0.5);
        let color = style::color(color.unwrap_or_else(|| number_of(names, name)));
        match content {
            Slot::Bar(bar) => {
                let tip = draw_bar(page, bar, (area, mapping), (center, half, zero), (panel, color))?;
                draw_value(
                    page,
                    (center, tip),
                    &laid.part.values[index],
                    bar.value < 0.0 && panel.scale == Scale::Linear,
                    laid.part.upright,
                )?;
            }
            Slot::Box(one) => match Box::new(one) {
                Some(found) => found.draw(page, (area, mapping), (center, half), color, name)?,
                None => draw_value(page, (center, area.bottom), number::MISSING, false, false)?,
            },
        }
        below.draw(page, area, center, name);
    }
    axis::base_line(page, area, zero)?;
    match (&laid.part.ratio, &panel.ratio) {
        (Some(part), Some(ratio)) => part.draw(page, area, ratio, |point| point.color.unwrap_or_else(|| number_of(names, &point.name))),
        _ => Ok(()),
    }
}

impl Bar {
    /// Its numbers, in full under the key `name` and for a reader.
    pub(super) fn numbers(&self, key: &str, what: &str) -> Group {
        let digits = number::plain;
        let interval = match (self.low, self.high) {
            (None, None) => String::new(),
            (low, high) => format!(" [{}, {}]", digits(low.unwrap_or(self.value)), digits(high.unwrap_or(self.value))),
        };
        let what = if what.trim().is_empty() { String::new() } else { format!("{what}: ") };
        let said = format!("{}; {what}{}{interval}", self.name, digits(self.value));
        let mut group = Group::default().titled(said).with("data-name", &self.name).with(key, format!("{:?}", self.value));
        for (key, end) in [("data-low", self.low), ("data-high", self.high)] {
            if let Some(end) = end {
                group = group.with(key, format!("{end:?}"));
            }
        }
        group
    }
}

/// Draws a bar with its interval. Returns where its value goes: the outer end.
fn draw_bar(
    page: &mut Page,
    bar: &Bar,
    (area, mapping): (Rect, &Mapping),
    (center, half, zero): (f64, f64, f64),
    (panel, color): (&Panel, Color),
) -> Result<f64> {
    if !bar.value.is_finite() {
        return Ok(zero);
    }
    let at = |value: f64| height_of(area, mapping, value);
    let end = at(bar.value);
    let group = bar.numbers("data-value", &panel.label);
    if panel.scale == Scale::Linear {
        let rect = Rect { left: center - half, top: end.min(zero), right: center + half, bottom: end.max(zero) };
        page.rectangle(&group.with("shape-rendering", "crispEdges"), rect, color)?;
    } else {
        // How long a bar is would say nothing on an axis without a zero: a point on a thin stem says where it is.
        page.lines(&Group::default(), [&[(center, zero), (center, end)][..]], 1.0, color)?;
        legend::draw_marker(page, &group, (center, end), (0, legend::MARKER * 1.3), color)?;
    }
    let known = |end: Option<f64>| end.filter(|end| end.is_finite()).map(at).filter(|end| end.is_finite());
    let (high, low) = (known(bar.high), known(bar.low));
    if high.is_some() || low.is_some() {
        let (high, low) = (high.unwrap_or(end), low.unwrap_or(end));
        let cap = (half * 0.4).min(3.0);
        let strokes =
            [[(center, high), (center, low)], [(center - cap, high), (center + cap, high)], [(center - cap, low), (center + cap, low)]];
        page.lines(&Group::crisp(), strokes.iter().map(|stroke| &stroke[..]), BAR_WIDTH, INK)?;
    }
    let tips = [Some(end), high, low].into_iter().flatten();
    let reach = if panel.scale == Scale::Linear { 0.0 } else { legend::MARKER * 1.3 };
    Ok(if bar.value < 0.0 { tips.fold(end, f64::max) } else { tips.fold(end - reach, f64::min) })
}

/// The value at the end of its bar: above it, or below where the bar hangs down.
fn draw_value(page: &mut Page, (x, tip): (f64, f64), value: &str, below: bool, upright: bool) -> Result<()> {
    let capital = font::CAPITAL * VALUE;
    match (upright, below) {
        (false, false) => page.text_on_paper((x, tip - VALUE_GAP), Text::new(value, VALUE, INK, Align::Center))?,
        (false, true) => page.text_on_paper((x, tip + VALUE_GAP + capital), Text::new(value, VALUE, INK, Align::Center))?,
        (true, false) => page.text((x + capital / 2.0, tip - VALUE_GAP), Text::new(value, VALUE, INK, Align::Left).turned(90.0)),
        (true, true) => page.text((x + capital / 2.0, tip + VALUE_GAP), Text::new(value, VALUE, INK, Align::Right).turned(90.0)),
    }
    Ok(())
}
