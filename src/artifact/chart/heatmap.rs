//! Heat maps: a colour for each cell of a grid.

use super::axis::{self, LABEL, MARGIN, SMALL, Side, TITLE, line_height};
use super::frame::SMALLEST;
use super::page::{Align, Group, Page, Text, units};
use super::scale::{Mapping, Role, minus};
use super::style::{self, Color, GREY, GRID, INK, WHITE};
use super::{Axis, COLUMN, Categories, Heatmap, Rect};
use crate::artifact::{font, number};
use crate::error::{Error, Result};
use plotters::element::Rectangle;
use plotters::style::Color as _;
use plotters::style::colors::colormaps::ViridisRGB;

const MOST: usize = 128;
/// Cells with their numbers to point at; of more, the file holds the colours alone.
const MOST_NUMBERED: usize = 2500;
const BAR: f64 = 7.0;
const BAR_GAP: f64 = 7.0;
/// Colours in the bar.
const STEPS: usize = 64;
const VALUE: f64 = 6.0;
/// The most that the names of rows take, and those of columns where they run upwards.
const MOST_NAME: f64 = 90.0;
const MOST_UPRIGHT: f64 = 150.0;

pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) area: Rect,
    mapping: Mapping,
    title: Vec<String>,
    x_label: Vec<String>,
    rows: Vec<String>,
    columns: Vec<String>,
    /// The names of columns run upwards where they are wider than a column.
    upright: bool,
}

fn check(chart: &Heatmap) -> Result<()> {
    let (rows, columns) = (chart.values.len(), chart.values.first().map_or(0, Vec::len));
    if rows == 0 || columns == 0 {
        return Err(Error::new("a heat map needs at least one row of one value").remedy("`values: [[...], [...]]`, a list for each row"));
    }
    if rows > MOST || columns > MOST {
        return Err(
            Error::new(format!("{rows} rows of {columns} values: expected {MOST} at most of either")).remedy("average neighbours first")
        );
    }
    if let Some((index, row)) = chart.values.iter().enumerate().find(|(_, row)| row.len() != columns) {
        return Err(
            Error::new(format!("{} values: expected {columns}, as many as in the first row", row.len())).at(format!("values[{index}]"))
        );
    }
    for (name, categories, count) in [("x", &chart.x, columns), ("y", &chart.y, rows)] {
        let names = categories.names.len();
        if names != 0 && names != count {
            return Err(Error::new(format!("{names} names: expected {count}, one for each value")).at(name));
        }
    }
    Ok(())
}

impl Categories {
    /// The names of so many: numbers from 0 if unsaid.
    fn named(&self, count: usize) -> Vec<String> {
        if self.names.is_empty() { (0..count).map(|index| index.to_string()).collect() } else { self.names.clone() }
    }
}

pub(super) fn layout(chart: &Heatmap) -> Result<Layout> {
    check(chart)?;
    let (width, height) = chart.size.points(COLUMN)?;
    let title = axis::lines(chart.title.as_deref().unwrap_or_default(), TITLE, width - 2.0 * MARGIN, 3);
    let rows: Vec<String> = chart.y.named(chart.values.len()).iter().map(|name| font::elide(name, SMALL, MOST_NAME)).collect();
    let columns: Vec<String> = chart.x.named(chart.values[0].len()).iter().map(|name| font::elide(name, SMALL, MOST_UPRIGHT)).collect();
    let longest = |names: &[String]| names.iter().map(|name| font::width(name, SMALL)).fold(0.0, f64::max);
    let y_label = if chart.y.label.trim().is_empty() { 0.0 } else { line_height(LABEL) + 2.0 };
    let left = MARGIN + y_label + longest(&rows) + 4.0;
    let axis = Axis { scale: chart.scale, low: chart.low, high: chart.high, from_zero: Some(false), ..Axis::default() };
    let values = || chart.values.iter().flatten().copied().filter(|value| value.is_finite());
    let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    // The bar's ends are those of the values: all colours are used.
    let axis = if least < most { Axis { low: chart.low.or(Some(least)), high: chart.high.or(Some(most)), ..axis } } else { axis };
    let mapping = |tall: f64| Mapping::new("values", &axis, values(), Role::Vertical, (tall / 24.0).clamp(2.0, 6.0));
    let guess = mapping(100.0)?;
    let right = width - MARGIN - axis::room_beside(&guess, &chart.label, 100.0) - BAR - BAR_GAP;
    let top = MARGIN + title.len() as f64 * line_height(TITLE) + axis::room_above(&guess) + 3.0;
    let column = (right - left) / columns.len() as f64;
    let upright =
        columns.iter().any(|name| font::width(name, SMALL) > column - 2.0) && columns.iter().any(|name| name.parse::<f64>().is_err());
    let x_label = axis::lines(&chart.x.label, LABEL, width - 2.0 * MARGIN, 2);
    let names = if upright { longest(&columns) + 4.0 } else { 2.0 + line_height(SMALL) };
    let below = names + if x_label.is_empty() { 0.0 } else { 2.0 + x_label.len() as f64 * line_height(LABEL) } + MARGIN;
    // Cells are square, if that is neither flat nor long.
    let square = (column * rows.len() as f64).clamp((width * 0.3).max(SMALLEST), width * 0.9);
    let tall = height.map_or(square, |height| height - top - below);
    for (room, what, remedy) in [(tall, "height", "raise `size.height`, or leave it out"), (right - left, "width", "raise `size.width`")] {
        if room < SMALLEST {
            let room = room.max(0.0);
            return Err(
                Error::new(format!("{room:.0} points of the {what} are left for the plot: expected {SMALLEST} or more")).remedy(remedy)
            );
        }
    }
    let area = Rect { left, top, right, bottom: top + tall };
    Ok(Layout {
        width,
        height: height.unwrap_or(area.bottom + below),
        area,
        mapping: mapping(tall)?,
        title,
        x_label,
        rows,
        columns,
        upright,
    })
}

pub(super) fn description(chart: &Heatmap) -> String {
    let title = chart.title.as_ref().map_or(String::new(), |title| format!("{title}. "));
    let (rows, columns) = (chart.values.len(), chart.values.first().map_or(0, Vec::len));
    format!("{title}Heat map of {}: {rows} rows ({}) of {columns} columns ({})", chart.label, chart.y.label, chart.x.label)
}

fn color(mapping: &Mapping, value: f64) -> Color {
    if value.is_finite() { ViridisRGB::get_color_normalized(mapping.place(value) as f32, 0.0, 1.0) } else { GRID }
}

pub(super) fn draw(chart: &Heatmap) -> Result<Page> {
    let layout = layout(chart)?;
    let Layout { area, mapping, .. } = &layout;
    let mut page = Page::new(layout.width, layout.height);
    let middle = (area.left + area.right) / 2.0;
    for (index, line) in layout.title.iter().enumerate() {
        let base = MARGIN + font::CAPITAL * TITLE + index as f64 * line_height(TITLE);
        page.text((axis::centered(line, TITLE, middle, layout.width), base), Text::new(line, TITLE, INK, Align::Center));
    }
    cells(&mut page, chart, &layout)?;
    names(&mut page, chart, &layout);
    // The bar of colours.
    let bar = Rect { left: area.right + BAR_GAP, right: area.right + BAR_GAP + BAR, ..*area };
    page.draw(&Group::crisp(), |page| {
        (0..STEPS).try_for_each(|step| {
            let share = |step: usize| bar.bottom - bar.height() * step as f64 / STEPS as f64;
            let corners = [(units(bar.left), units(share(step + 1))), (units(bar.right), units(share(step)))];
            let shade = ViridisRGB::get_color_normalized((step as f32 + 0.5) / STEPS as f32, 0.0, 1.0);
            page.draw(&Rectangle::new(corners, shade.filled()))
        })
    })?;
    axis::vertical(&mut page, bar, mapping, &chart.label, Side::Right)?;
    Ok(page)
}

fn cells(page: &mut Page, chart: &Heatmap, layout: &Layout) -> Result<()> {
    let Layout { area, mapping, rows, columns, .. } = layout;
    let (wide, tall) = (area.width() / columns.len() as f64, area.height() / rows.len() as f64);
    let cell = |row: usize, column: usize| Rect {
        left: area.left + wide * column as f64,
        top: area.top + tall * row as f64,
        right: area.left + wide * (column + 1) as f64,
        bottom: area.top + tall * (row + 1) as f64,
    };
    let digits = chart.digits.unwrap_or(3);
    let text = |value: f64| if value.is_nan() { String::new() } else { minus(&number::significant(value, digits)) };
    let every = || {
        chart
            .values
            .iter()
            .enumerate()
            .flat_map(|(row, values)| values.iter().enumerate().map(move |(column, value)| (row, column, *value)))
    };
    let numbered = rows.len() * columns.len() <= MOST_NUMBERED;
    if numbered {
        let (row_names, column_names) = (chart.y.named(rows.len()), chart.x.named(columns.len()));
        for (row, column, value) in every() {
            let shown = number::plain(value);
            let group = Group::crisp()
                .titled(format!("{}, {}: {shown}", row_names[row], column_names[column]))
                .with("data-row", &row_names[row])
                .with("data-column", &column_names[column]);
            // A missing one has no value to be read.
            let group = if value.is_finite() { group.with("data-value", format!("{value:?}")) } else { group };
            page.rectangle(&group, cell(row, column), color(mapping, value))?;
        }
    } else {
        page.draw(&Group::crisp(), |page| {
            every().try_for_each(|(row, column, value)| {
                let Rect { left, top, right, bottom } = cell(row, column);
                let corners = [(units(left), units(top)), (units(right), units(bottom))];
                page.draw(&Rectangle::new(corners, color(mapping, value).filled()))
            })
        })?;
    }
    let fits = tall > VALUE * 1.3 && every().all(|(_, _, value)| font::width(&text(value), VALUE) < wide - 2.0);
    if chart.show.unwrap_or(fits) && fits {
        for (row, column, value) in every() {
            let Rect { left, top, right, bottom } = cell(row, column);
            let ink = if style::luminance(color(mapping, value)) > 0.2 { INK } else { WHITE };
            let at = ((left + right) / 2.0, (top + bottom + font::CAPITAL * VALUE) / 2.0);
            page.text(at, Text::new(&text(value), VALUE, ink, Align::Center));
        }
    }
    Ok(())
}

/// The names of rows and columns, every so many where they are close, and the labels of both axes.
fn names(page: &mut Page, chart: &Heatmap, layout: &Layout) {
    let Layout { area, rows, columns, x_label, upright, .. } = layout;
    let capital = font::CAPITAL * SMALL;
    let (wide, tall) = (area.width() / columns.len() as f64, area.height() / rows.len() as f64);
    let every = (SMALL * 1.1 / tall).ceil() as usize;
    for (row, name) in rows.iter().enumerate().step_by(every.max(1)) {
        let y = area.top + tall * (row as f64 + 0.5) + capital / 2.0;
        page.text((area.left - 3.0, y), Text::new(name, SMALL, INK, Align::Right));
    }
    let longest = columns.iter().map(|name| font::width(name, SMALL)).fold(0.0, f64::max);
    let every = (if *upright { SMALL * 1.1 } else { longest + 3.0 } / wide).ceil() as usize;
    for (column, name) in columns.iter().enumerate().step_by(every.max(1)) {
        let x = area.left + wide * (column as f64 + 0.5);
        match upright {
            true => page.text((x + capital / 2.0, area.bottom + 3.0), Text::new(name, SMALL, INK, Align::Right).turned(90.0)),
            false => page.text((x, area.bottom + 3.0 + capital), Text::new(name, SMALL, INK, Align::Center)),
        }
    }
    let mut base = layout.height - MARGIN - font::DESCENT * LABEL - (x_label.len().saturating_sub(1)) as f64 * line_height(LABEL);
    for line in x_label {
        let middle = axis::centered(line, LABEL, (area.left + area.right) / 2.0, layout.width);
        page.text((middle, base), Text::new(line, LABEL, INK, Align::Center));
        base += line_height(LABEL);
    }
    let label = font::elide(&chart.y.label, LABEL, area.height().max(SMALLEST));
    let at = (MARGIN + font::CAPITAL * LABEL, (area.top + area.bottom) / 2.0);
    page.text(at, Text::new(&label, LABEL, INK, Align::Center).turned(90.0));
    if chart.values.iter().flatten().all(|value| !value.is_finite()) {
        let middle = ((area.left + area.right) / 2.0, (area.top + area.bottom) / 2.0);
        page.text(middle, Text::new("no data", SMALL, GREY, Align::Center));
    }
}
