//! The one font of all charts, inside the binary: a chart looks the same on a machine that has none.
//!
//! Liberation Sans has the widths of Helvetica, which journals ask for in figures, and covers Latin, Greek and Cyrillic. Its licence (OFL)
//! lies beside it.

use crate::error::{Error, Result};
use ab_glyph::{Font, FontRef, GlyphId, OutlineCurve};
use std::sync::OnceLock;

const BYTES: &[u8] = include_bytes!("../../assets/fonts/LiberationSans-Regular.ttf");

/// Units of the font in its em (`head`); what a typographer calls its size.
const EM: f64 = 2048.0;
/// The height of a capital letter and of a digit (`OS/2`), in ems.
pub(super) const CAPITAL: f64 = 1409.0 / EM;
/// How far letters such as `g` reach below the line (`hhea`), in ems.
pub(super) const DESCENT: f64 = 434.0 / EM;

fn face() -> Result<&'static FontRef<'static>> {
    static FACE: OnceLock<Option<FontRef<'static>>> = OnceLock::new();
    FACE.get_or_init(|| FontRef::try_from_slice(BYTES).ok())
        .as_ref()
        .ok_or_else(|| Error::new("the charts' font is damaged").remedy("build caramba again from a fresh copy of its source"))
}

/// The glyphs of a line, each with its distance from the line's start, and the length of the whole, in units of the font.
fn set(face: &FontRef<'_>, text: &str) -> (Vec<(f64, GlyphId)>, f64) {
    let mut glyphs = Vec::with_capacity(text.len());
    let mut pen = 0.0;
    for character in text.chars() {
        let glyph = face.glyph_id(if character.is_control() { ' ' } else { character });
        if let Some((_, before)) = glyphs.last() {
            pen += f64::from(face.kern_unscaled(*before, glyph));
        }
        glyphs.push((pen, glyph));
        pen += f64::from(face.h_advance_unscaled(glyph));
    }
    (glyphs, pen)
}

/// The width of `text` when the em is `size` units, in those units.
pub(super) fn width(text: &str, size: f64) -> f64 {
    face().map_or(0.0, |face| set(face, text).1 / EM * size)
}

/// The outlines of a line that starts at the origin, in ems, `y` pointing down.
pub(super) fn outlines(text: &str) -> Result<Vec<OutlineCurve>> {
    let face = face()?;
    let mut curves = Vec::new();
    for (start, glyph) in set(face, text).0 {
        let Some(outline) = face.outline(glyph) else { continue };
        let place = |point: ab_glyph::Point| ab_glyph::point(((f64::from(point.x) + start) / EM) as f32, (f64::from(-point.y) / EM) as f32);
        curves.extend(outline.curves.into_iter().map(|curve| map(curve, place)));
    }
    Ok(curves)
}

/// A curve with each of its points moved.
pub(super) fn map(curve: OutlineCurve, place: impl Fn(ab_glyph::Point) -> ab_glyph::Point) -> OutlineCurve {
    match curve {
        OutlineCurve::Line(a, b) => OutlineCurve::Line(place(a), place(b)),
        OutlineCurve::Quad(a, b, c) => OutlineCurve::Quad(place(a), place(b), place(c)),
        OutlineCurve::Cubic(a, b, c, d) => OutlineCurve::Cubic(place(a), place(b), place(c), place(d)),
    }
}

/// `text` shortened from its middle until it is no wider than `room`: both ends of a model's name tell it apart.
pub(super) fn elide(text: &str, size: f64, room: f64) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let characters: Vec<char> = text.chars().collect();
    for kept in (1..characters.len()).rev() {
        let (head, tail) = (kept.div_ceil(2), kept / 2);
        let short: String = characters[..head].iter().chain(&['…']).chain(&characters[characters.len() - tail..]).collect();
        if width(&short, size) <= room {
            return short;
        }
    }
    "…".to_owned()
}

/// `text` in lines no wider than `room`, broken at spaces and after `-`, `_`, `/`, `.`, `,` and `:`. `None` where a part is wider still, or
/// more than `lines` are needed.
pub(super) fn wrap(text: &str, size: f64, room: f64, lines: usize) -> Option<Vec<String>> {
    let mut wrapped: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let mut separator = " ";
        for part in word.split_inclusive(['-', '_', '/', '.', ',', ':']) {
            let joined = wrapped.last().map(|line| format!("{line}{separator}{part}"));
            match joined {
                Some(joined) if width(&joined, size) <= room => {
                    if let Some(line) = wrapped.last_mut() {
                        *line = joined;
                    }
                }
                _ if width(part, size) <= room && wrapped.len() < lines => wrapped.push(part.to_owned()),
                _ => return None,
            }
            separator = "";
        }
    }
    Some(wrapped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_the_fonts() {
        // `hmtx`: a digit is 1139 of 2048, a space 569.
        assert!((width("0000000000", 10.0) - 55.6).abs() < 0.1, "{}", width("0000000000", 10.0));
        assert!((width(" ", 10.0) - 2.78).abs() < 0.02);
        assert_eq!(width("", 10.0), 0.0);
    }

    #[test]
    fn every_sign_the_charts_use_is_in_the_font() {
        for sign in "×−±µ…·–ΔσÉßЖ".chars() {
            let (glyphs, _) = set(face().unwrap(), &sign.to_string());
            assert!(glyphs[0].1.0 != 0 && !outlines(&sign.to_string()).unwrap().is_empty(), "{sign}");
        }
    }

    #[test]
    fn outlines_stand_on_the_line() {
        let points: Vec<ab_glyph::Point> = outlines("HH")
            .unwrap()
            .into_iter()
            .flat_map(|curve| match curve {
                OutlineCurve::Line(a, b) => vec![a, b],
                other => panic!("an H of curves: {other:?}"),
            })
            .collect();
        let most = |pick: fn(&ab_glyph::Point) -> f32| points.iter().map(pick).fold(f32::NEG_INFINITY, f32::max);
        assert!((most(|point| -point.y) - CAPITAL as f32).abs() < 1e-3 && most(|point| point.y).abs() < 1e-6);
        assert!(most(|point| point.x) < width("HH", 1.0) as f32 && most(|point| point.x) > width("H", 1.0) as f32);
    }

    #[test]
    fn long_names_keep_both_ends() {
        let name = "SmolLM2-135M-Instruct-upcycled-joint-q4";
        let short = elide(name, 7.0, 60.0);
        assert!(short.starts_with("Smol") && short.ends_with("q4") && short.contains('…') && width(&short, 7.0) <= 60.0, "{short}");
        assert_eq!(elide("teacher", 7.0, 60.0), "teacher");
        assert_eq!(elide(name, 7.0, 0.0), "…");
    }

    #[test]
    fn names_break_where_a_reader_would() {
        let room = width("SmolLM2-135M-", 7.0) + 0.1;
        assert_eq!(wrap("SmolLM2-135M-Instruct q8", 7.0, room, 3).unwrap(), ["SmolLM2-135M-", "Instruct q8"]);
        assert_eq!(wrap("SmolLM2-135M-Instruct q8", 7.0, room, 1), None);
        assert_eq!(wrap("unbreakable_because_incomprehensibilities", 7.0, 30.0, 9), None);
        assert_eq!(wrap("", 7.0, room, 3).unwrap(), [""; 0]);
    }
}
