//! A page to draw on, in points, rasterised with exact coverage: every edge is smooth, and text stands where it should to a fraction of a
//! pixel. Rectangles, and so axes and grid, end at whole pixels, for they would blur.

use super::Rect;
use super::style::Color;
use crate::artifact::font;
use crate::error::{Error, Result};
use ab_glyph::{OutlineCurve, point};
use ab_glyph_rasterizer::Rasterizer;

/// About two pages at 1200 dots per inch.
const MOST_PIXELS: f64 = 120e6;

pub(super) struct Canvas {
    /// `[height, width, 3]`
    pixels: Vec<u8>,
    /// In pixels.
    width: u32,
    height: u32,
    /// Pixels per point.
    scale: f64,
    dpi: f64,
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

impl Canvas {
    /// White paper of so many points.
    pub(super) fn new(width: f64, height: f64, dpi: f64) -> Result<Canvas> {
        let (width, height) = ((width * dpi / 72.0).round().max(1.0), (height * dpi / 72.0).round().max(1.0));
        if width * height > MOST_PIXELS {
            return Err(Error::new(format!("the image would have {width} x {height} pixels")).remedy("ask for a smaller `size` or `dpi`"));
        }
        let (width, height) = (width as u32, height as u32);
        Ok(Canvas { pixels: vec![255; width as usize * height as usize * 3], width, height, scale: dpi / 72.0, dpi })
    }

    /// The pixels of a rectangle, at least one in each direction: first column, first row, and those after the last.
    fn snap(&self, rect: Rect) -> (usize, usize, usize, usize) {
        let whole = |from: f64, to: f64, most: u32| {
            let first = (from * self.scale).round();
            // The width is rounded, not the end: lines of one width stay so wherever they are.
            let last = first + ((to - from) * self.scale).round().max(1.0);
            (first.clamp(0.0, f64::from(most)) as usize, last.clamp(0.0, f64::from(most)) as usize)
        };
        let (left, right) = whole(rect.left, rect.right, self.width);
        let (top, bottom) = whole(rect.top, rect.bottom, self.height);
        (left, top, right, bottom)
    }

    /// A filled shape.
    pub(super) fn polygon(&mut self, outline: &[(f64, f64)], color: Color) {
        let place = |&(x, y): &(f64, f64)| point((x * self.scale) as f32, (y * self.scale) as f32);
        let next = outline.iter().cycle().skip(1);
        let curves: Vec<OutlineCurve> = outline.iter().zip(next).map(|(from, to)| OutlineCurve::Line(place(from), place(to))).collect();
        self.fill(&curves, color);
    }

    /// Fills closed outlines, in pixels.
    fn fill(&mut self, curves: &[OutlineCurve], color: Color) {
        let points = || {
            curves.iter().flat_map(|curve| match *curve {
                OutlineCurve::Line(a, b) => [a, b, a, b],
                OutlineCurve::Quad(a, b, c) => [a, b, c, a],
                OutlineCurve::Cubic(a, b, c, d) => [a, b, c, d],
            })
        };
        let least = |pick: fn(ab_glyph::Point) -> f32| points().map(pick).fold(f32::INFINITY, f32::min).floor();
        let most = |pick: fn(ab_glyph::Point) -> f32| points().map(pick).fold(f32::NEG_INFINITY, f32::max).ceil();
        let (left, top, right, bottom) = (least(|p| p.x), least(|p| p.y), most(|p| p.x), most(|p| p.y));
        // Whatever is longer than the page in each direction isn't on it (NaN neither).
        if !(right - left <= 2.0 * self.width as f32 && bottom - top <= 2.0 * self.height as f32) {
            return;
        }
        let (columns, rows) = ((right - left) as usize + 2, (bottom - top) as usize + 1);
        let mut rasterizer = Rasterizer::new(columns, rows);
        for curve in curves {
            match font::map(curve.clone(), |p| point(p.x - left, p.y - top)) {
                OutlineCurve::Line(a, b) => rasterizer.draw_line(a, b),
                OutlineCurve::Quad(a, b, c) => rasterizer.draw_quad(a, b, c),
                OutlineCurve::Cubic(a, b, c, d) => rasterizer.draw_cubic(a, b, c, d),
            }
        }
        let (left, top) = (left as i64, top as i64);
        rasterizer.for_each_pixel_2d(|x, y, cover| {
            let (column, row) = (left + i64::from(x), top + i64::from(y));
            if cover > 0.0 && column >= 0 && row >= 0 && column < i64::from(self.width) && row < i64::from(self.height) {
                self.blend(column as usize, row as usize, color, f64::from(cover));
            }
        });
    }

    /// A filled rectangle.
    pub(super) fn rectangle(&mut self, rect: Rect, color: Color) {
        self.tint(rect, color, 1.0);
    }

    /// Lays `color` over a rectangle, so that what is there shines through.
    pub(super) fn tint(&mut self, rect: Rect, color: Color, cover: f64) {
        let (left, top, right, bottom) = self.snap(rect);
        for row in top..bottom {
            for column in left..right {
                self.blend(column, row, color, cover);
            }
        }
    }

    /// The distance between neighbouring pixels.
    pub(super) fn step(&self) -> f64 {
        1.0 / self.scale
    }

    /// A straight line with square ends.
    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), width: f64, color: Color) {
        let half = width / 2.0;
        if from.0 == to.0 || from.1 == to.1 {
            let (left, right) = if from.0 == to.0 { (from.0 - half, from.0 + half) } else { (from.0.min(to.0), from.0.max(to.0)) };
            let (top, bottom) = if from.1 == to.1 { (from.1 - half, from.1 + half) } else { (from.1.min(to.1), from.1.max(to.1)) };
            return self.rectangle(Rect { left, top, right, bottom }, color);
        }
        let length = (to.0 - from.0).hypot(to.1 - from.1);
        let (x, y) = ((to.1 - from.1) / length * half, (from.0 - to.0) / length * half);
        self.polygon(&[(from.0 + x, from.1 + y), (to.0 + x, to.1 + y), (to.0 - x, to.1 - y), (from.0 - x, from.1 - y)], color);
    }

    /// A line through `points` with round corners, in a pattern of dashes (none: solid) that runs on around the corners.
    pub(super) fn polyline(&mut self, points: &[(f64, f64)], width: f64, color: Color, dashes: &[f64]) {
        let period: f64 = dashes.iter().sum();
        if period <= 0.0 && points.len() > 2 {
            points[1..points.len() - 1].iter().for_each(|corner| self.disc(*corner, width / 2.0, color));
        }
        let mut travelled = 0.0;
        for pair in points.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            let length = (to.0 - from.0).hypot(to.1 - from.1);
            if length == 0.0 {
                continue;
            }
            let along = |distance: f64| (from.0 + (to.0 - from.0) * distance / length, from.1 + (to.1 - from.1) * distance / length);
            if period <= 0.0 {
                self.line(from, to, width, color);
                continue;
            }
            let mut at = 0.0;
            while at < length {
                let (on, left) = phase(dashes, (travelled + at) % period);
                let end = (at + left).min(length);
                if on {
                    self.line(along(at), along(end), width, color);
                }
                at = end;
            }
            travelled += length;
        }
    }

    pub(super) fn disc(&mut self, center: (f64, f64), radius: f64, color: Color) {
        let outline: Vec<(f64, f64)> = (0..24)
            .map(|corner| {
                let angle = std::f64::consts::TAU * f64::from(corner) / 24.0;
                (center.0 + radius * angle.cos(), center.1 + radius * angle.sin())
            })
            .collect();
        self.polygon(&outline, color);
    }

    /// Draws a text with its anchor (the left end, middle or right end of its baseline) at a point.
    pub(super) fn text(&mut self, at: (f64, f64), text: Text<'_>) -> Result<()> {
        let start = font::width(text.text, 1.0)
            * match text.align {
                Align::Left => 0.0,
                Align::Center => -0.5,
                Align::Right => -1.0,
            };
        let (sin, cos) = text.degrees.to_radians().sin_cos();
        // Against the clock on a page whose y points down.
        let place = |p: ab_glyph::Point| {
            let (x, y) = ((f64::from(p.x) + start) * text.size, f64::from(p.y) * text.size);
            point(((at.0 + x * cos + y * sin) * self.scale) as f32, ((at.1 - x * sin + y * cos) * self.scale) as f32)
        };
        let curves: Vec<OutlineCurve> = font::outlines(text.text)?.into_iter().map(|curve| font::map(curve, place)).collect();
        self.fill(&curves, text.color);
        Ok(())
    }

    fn blend(&mut self, column: usize, row: usize, color: Color, cover: f64) {
        let at = (row * self.width as usize + column) * 3;
        let cover = cover.clamp(0.0, 1.0);
        for (channel, ink) in self.pixels[at..at + 3].iter_mut().zip([color.0, color.1, color.2]) {
            *channel = (f64::from(*channel) + (f64::from(ink) - f64::from(*channel)) * cover).round() as u8;
        }
    }

    /// The image as a PNG file's bytes, its resolution included.
    pub(super) fn png(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Best);
        encoder.set_filter(png::FilterType::Up);
        let per_meter = (self.dpi / 0.0254).round() as u32;
        encoder.set_pixel_dims(Some(png::PixelDimensions { xppu: per_meter, yppu: per_meter, unit: png::Unit::Meter }));
        let written = encoder.write_header().and_then(|mut writer| {
            writer.write_image_data(&self.pixels)?;
            writer.finish()
        });
        written.map_err(|error| Error::new(format!("the chart cannot be encoded: {error}")))?;
        Ok(bytes)
    }

    /// In points.
    #[cfg(test)]
    pub(super) fn size(&self) -> (f64, f64) {
        (f64::from(self.width) / self.scale, f64::from(self.height) / self.scale)
    }

    #[cfg(test)]
    pub(super) fn color_at(&self, (x, y): (f64, f64)) -> Color {
        let at = ((y * self.scale) as usize * self.width as usize + (x * self.scale) as usize) * 3;
        (self.pixels[at], self.pixels[at + 1], self.pixels[at + 2])
    }

    /// Whether anything but paper is inside a rectangle.
    #[cfg(test)]
    pub(super) fn inked(&self, rect: Rect) -> bool {
        let (left, top, right, bottom) = self.snap(rect);
        let white = |column: usize, row: usize| self.pixels[(row * self.width as usize + column) * 3..][..3] == [255; 3];
        (top..bottom).any(|row| (left..right).any(|column| !white(column, row)))
    }
}

/// Whether the pen is down at this place of the pattern, and how far to its next change.
fn phase(dashes: &[f64], at: f64) -> (bool, f64) {
    // Shorter than anything visible: a rounding error never makes a step of its own.
    const LEAST: f64 = 1e-6;
    let mut end = 0.0;
    for (index, length) in dashes.iter().enumerate() {
        end += length;
        if end - at > LEAST {
            return (index % 2 == 0, end - at);
        }
    }
    (true, dashes.first().map_or(f64::INFINITY, |length| length.max(LEAST)))
}
