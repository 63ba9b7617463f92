//! The one font of all charts, inside the binary: a chart looks the same on a machine that has none.
//!
//! Liberation Sans has the widths of Helvetica, which journals ask for in figures, and covers Latin, Greek and Cyrillic. Its licence (OFL)
//! lies beside it.

use crate::error::{Error, Result};
use ab_glyph::{Font, FontRef};
use read_fonts::collections::IntSet;
use read_fonts::types::NameId;
use std::sync::OnceLock;

pub(super) const BYTES: &[u8] = include_bytes!("../../assets/fonts/LiberationSans-Regular.ttf");

/// As an SVG file names it.
pub(super) const FAMILY: &str = "Liberation Sans";

/// Units of the font in its em (`head`); what a typographer calls its size.
const EM: f64 = 2048.0;
/// The height of a capital letter and of a digit (`OS/2`), in ems.
pub(super) const CAPITAL: f64 = 1409.0 / EM;
/// How far letters such as `g` reach below the line (`hhea`), in ems.
pub(super) const DESCENT: f64 = 434.0 / EM;

fn damaged() -> Error {
    Error::new("the charts' font is damaged").remedy("build caramba again from a fresh copy of its source")
}

/// The width of `text` when the em is `size` units, in those units.
pub(super) fn width(text: &str, size: f64) -> f64 {
    static FACE: OnceLock<Option<FontRef<'static>>> = OnceLock::new();
    let Some(face) = FACE.get_or_init(|| FontRef::try_from_slice(BYTES).ok()) else { return 0.0 };
    let mut pen = 0.0;
    let mut before = None;
    for character in text.chars() {
        let glyph = face.glyph_id(if character.is_control() { ' ' } else { character });
        pen += before.map_or(0.0, |before| f64::from(face.kern_unscaled(before, glyph))) + f64::from(face.h_advance_unscaled(glyph));
        before = Some(glyph);
    }
    pen / EM * size
}

/// A TrueType font with no more than the glyphs of `characters`, without hints: a twentieth of the whole one for what a chart says.
///
/// # Errors
/// The font inside the binary is damaged.
pub(super) fn subset(characters: impl Iterator<Item = char>) -> Result<Vec<u8>> {
    let font = read_fonts::FontRef::new(BYTES).map_err(|_| damaged())?;
    let mut scripts = IntSet::empty();
    scripts.invert();
    // Its name and its licence stay in it.
    let mut names = IntSet::empty();
    names.insert_range(NameId::from(0)..=NameId::from(6));
    names.insert_range(NameId::from(13)..=NameId::from(14));
    let plan = skera::Plan::new(
        &IntSet::empty(),
        &characters.map(u32::from).collect(),
        &font,
        skera::SubsetFlags::SUBSET_FLAGS_NO_HINTING,
        &skera::DEFAULT_DROP_TABLES.iter().copied().collect(),
        &scripts,
        &skera::DEFAULT_LAYOUT_FEATURES.iter().copied().collect(),
        &names,
        // English, United States.
        &[0x0409].into_iter().collect(),
    );
    skera::subset_font(&font, &plan).map_err(|_| damaged())
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
        let face = FontRef::try_from_slice(BYTES).unwrap();
        for sign in "×−±µ…·–ΔσÉßЖ".chars() {
            assert!(face.glyph_id(sign).0 != 0, "{sign}");
        }
    }

    #[test]
    fn a_subset_is_small_and_measures_the_same() {
        let text = "Throughput (tokens/s) 0123456789×−";
        let bytes = subset(text.chars()).unwrap();
        assert!(bytes.len() < BYTES.len() / 10, "{} bytes", bytes.len());
        let (whole, part) = (FontRef::try_from_slice(BYTES).unwrap(), FontRef::try_from_slice(&bytes).unwrap());
        for character in text.chars() {
            let advance = |face: &FontRef<'_>| face.h_advance_unscaled(face.glyph_id(character));
            assert!(part.glyph_id(character).0 != 0 && advance(&whole) == advance(&part), "{character}");
        }
        assert_eq!(part.glyph_id('Z').0, 0);
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
