//! A page to draw on, in points. Shapes are drawn by `plotters` into SVG, a group at a time; text is written here, because `plotters` puts
//! none on a baseline and slants none.
//!
//! `plotters` counts in whole pixels: the page has a hundred of them to a point, far finer than any printer.

use super::Rect;
use super::scale::Mapping;
use super::style::{Color, WHITE};
use crate::error::{Error, Result};
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{PathElement, Polygon, Rectangle};
use plotters::prelude::SVGBackend;
use plotters::style::{Color as _, ShapeStyle};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::rc::Rc;

/// Units of the SVG file in a point.
pub(super) const UNITS: f64 = 100.0;

/// Where a shape of `plotters` goes: the whole page.
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// The same in the values of two axes.
pub(super) type Plot<'a> = DrawingArea<SVGBackend<'a>, Cartesian2d<Mapping, Mapping>>;
/// What `plotters` returns.
pub(super) type Drawn = std::result::Result<(), DrawingAreaErrorKind<std::io::Error>>;

pub(super) struct Page {
    width: f64,
    height: f64,
    /// The elements of the SVG file.
    body: String,
    characters: BTreeSet<char>,
}

/// Where a text stands in relation to its anchor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Align {
    Left,
    Center,
    Right,
}

/// A text to be placed: its anchor is on the baseline.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) text: &'a str,
    pub(super) size: f64,
    pub(super) color: Color,
    pub(super) align: Align,
    /// It runs upwards by so much, against the clock.
    pub(super) degrees: f64,
}

impl<'a> Text<'a> {
    pub(super) fn new(text: &'a str, size: f64, color: Color, align: Align) -> Text<'a> {
        Text { text, size, color, align, degrees: 0.0 }
    }

    pub(super) fn turned(self, degrees: f64) -> Text<'a> {
        Text { degrees, ..self }
    }
}

/// Shapes that belong together: attributes that all of them inherit, and what a browser says of them when pointed at.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    attributes: String,
    title: Option<String>,
}

impl Group {
    /// Edges end at whole pixels: right for axes, grid and bars, which would blur.
    pub(super) fn crisp() -> Group {
        Group::default().with("shape-rendering", "crispEdges")
    }

    pub(super) fn with(mut self, name: &str, value: impl std::fmt::Display) -> Group {
        let _ = write!(self.attributes, " {name}=\"{}\"", escape(&value.to_string()));
        self
    }

    /// A dash pattern in points, on and off by turns; none: solid.
    pub(super) fn dashed(self, dashes: &[f64]) -> Group {
        if dashes.is_empty() {
            return self;
        }
        let pattern: Vec<String> = dashes.iter().map(|length| units(*length).to_string()).collect();
        self.with("stroke-dasharray", pattern.join(" "))
    }

    pub(super) fn titled(self, title: impl Into<String>) -> Group {
        Group { title: Some(title.into()), ..self }
    }
}

impl Page {
    /// White paper of so many points.
    pub(super) fn new(width: f64, height: f64) -> Page {
        Page { width, height, body: String::new(), characters: BTreeSet::new() }
    }

    /// In points.
    pub(super) fn size(&self) -> (f64, f64) {
        (self.width, self.height)
    }

    /// All characters of its text.
    pub(super) fn characters(&self) -> impl Iterator<Item = char> {
        self.characters.iter().copied()
    }

    /// The elements of the SVG file, without the file around them.
    pub(super) fn body(&self) -> &str {
        &self.body
    }

    /// Another page, its upper left corner at a point of this one.
    pub(super) fn place(&mut self, other: &Page, corner: (f64, f64)) {
        let (x, y) = at(corner);
        let _ = write!(self.body, "<g transform=\"translate({x} {y})\">\n{}</g>\n", other.body);
        self.characters.extend(&other.characters);
    }

    /// Shapes in units of the page.
    pub(super) fn draw(&mut self, group: &Group, draw: impl FnOnce(&Area<'_>) -> Drawn) -> Result<()> {
        let size = (units(self.width).max(1) as u32, units(self.height).max(1) as u32);
        let mut document = String::new();
        let drawn = {
            let area = SVGBackend::with_string(&mut document, size).into_drawing_area();
            draw(&area).and_then(|()| area.present())
        };
        drawn.map_err(|error| Error::new(format!("the chart cannot be drawn: {error}")))?;
        // The document that plotters writes is a line with its size, the elements, and a line that ends it.
        let elements = document.split_once('\n').map_or("", |(_, rest)| rest).trim_end().trim_end_matches("</svg>");
        if elements.is_empty() {
            return Ok(());
        }
        if group.attributes.is_empty() && group.title.is_none() {
            self.body.push_str(elements);
        } else {
            let title = group.title.as_ref().map_or(String::new(), |title| format!("<title>{}</title>\n", escape(title)));
            let _ = write!(self.body, "<g{}>\n{title}{elements}</g>\n", group.attributes);
        }
        Ok(())
    }

    /// Shapes in the values of two axes, over an area.
    pub(super) fn plot(
        &mut self,
        group: &Group,
        area: Rect,
        (x, y): (&Mapping, &Mapping),
        draw: impl FnOnce(&Plot<'_>) -> Drawn,
    ) -> Result<()> {
        let place = (units(area.left)..units(area.right), units(area.bottom)..units(area.top));
        let coordinates = Rc::new(Cartesian2d::new(x.clone(), y.clone(), place));
        self.draw(group, |page| draw(&page.clone().apply_coord_spec((*coordinates).clone())))
    }

    /// A filled shape.
    pub(super) fn polygon(&mut self, group: &Group, outline: &[(f64, f64)], color: Color, cover: f64) -> Result<()> {
        let points: Vec<(i32, i32)> = outline.iter().map(|point| at(*point)).collect();
        self.draw(group, |page| page.draw(&Polygon::new(points, color.mix(cover).filled())))
    }

    /// A filled rectangle.
    pub(super) fn rectangle(&mut self, group: &Group, rect: Rect, color: Color) -> Result<()> {
        let corners = [at((rect.left, rect.top)), at((rect.right, rect.bottom))];
        self.draw(group, |page| page.draw(&Rectangle::new(corners, color.filled())))
    }

    /// Lines, each through its points.
    pub(super) fn lines<'a>(
        &mut self,
        group: &Group,
        lines: impl IntoIterator<Item = &'a [(f64, f64)]>,
        width: f64,
        color: Color,
    ) -> Result<()> {
        let style = stroke(color, width);
        self.draw(group, |page| {
            lines
                .into_iter()
                .try_for_each(|points| page.draw(&PathElement::new(points.iter().map(|point| at(*point)).collect::<Vec<_>>(), style)))
        })
    }

    /// A straight line with square ends.
    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), width: f64, color: Color) -> Result<()> {
        self.lines(&Group::crisp(), [&[from, to][..]], width, color)
    }

    /// Text with its anchor (the left end, middle or right end of its baseline) at a point. Control characters become spaces.
    pub(super) fn text(&mut self, (x, y): (f64, f64), text: Text<'_>) {
        let shown: String = text.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.characters.extend(shown.chars());
        let (x, y) = at((x, y));
        let anchor = match text.align {
            Align::Left => "",
            Align::Center => " text-anchor=\"middle\"",
            Align::Right => " text-anchor=\"end\"",
        };
        let turned = if text.degrees == 0.0 { String::new() } else { format!(" transform=\"rotate({} {x} {y})\"", -text.degrees) };
        let _ = writeln!(
            self.body,
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{}\" fill=\"{}\"{anchor}{turned}>{}</text>",
            units(text.size),
            hex(text.color),
            escape(&shown)
        );
    }

    /// Text on paper of its own, so that a grid passes behind it, not through it.
    pub(super) fn text_on_paper(&mut self, (x, y): (f64, f64), text: Text<'_>) -> Result<()> {
        let half = crate::artifact::font::width(text.text, text.size) / 2.0 + 0.5;
        let capital = crate::artifact::font::CAPITAL * text.size;
        self.rectangle(&Group::default(), Rect { left: x - half, top: y - capital - 0.7, right: x + half, bottom: y + 0.7 }, WHITE)?;
        self.text((x, y), text);
        Ok(())
    }
}

/// A length in units of the page. What is off the page by far stays a number that fits.
pub(super) fn units(points: f64) -> i32 {
    (points * UNITS).round().clamp(-1e8, 1e8) as i32
}

/// A place in units of the page.
pub(super) fn at((x, y): (f64, f64)) -> (i32, i32) {
    (units(x), units(y))
}

/// A line so many points wide.
pub(super) fn stroke(color: Color, width: f64) -> ShapeStyle {
    color.stroke_width(units(width).max(1) as u32)
}

pub(super) fn hex(color: Color) -> String {
    format!("#{:02X}{:02X}{:02X}", color.0, color.1, color.2)
}

/// Text that XML takes as it is. What XML has no character for is left out.
pub(in crate::artifact) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => {}
            other if other.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}
