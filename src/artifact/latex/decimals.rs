//! The cells of a column, padded so that their decimal points stand below one another: with invisible digits, which need no package.

use super::escape::escape;
use crate::artifact::number::{self, MISSING};
use crate::artifact::table::Shown;

/// A cell in LaTeX, in the parts that are aligned.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    /// Stands where it is put.
    Plain(String),
    Number(Number),
}

/// `12.76`, `−10.7 \%`, `12.76 ± 0.21`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Number {
    /// Up to the decimal point, with its sign, in LaTeX.
    whole: String,
    /// The digits after it; `None` is a number without a point.
    fraction: Option<String>,
    /// What stands after the number, in LaTeX: a unit, an interval.
    tail: String,
    /// How far it may be off: digits before and after its point.
    error: Option<(String, Option<String>)>,
}

impl Piece {
    /// The cell that `shown` is.
    pub(super) fn new(shown: Shown) -> Piece {
        match shown {
            Shown::Text(text) => text_piece(&text),
            Shown::Number(value) => number_piece(&value, String::new()),
            Shown::PlusMinus(value, error) => match number_piece(&value, String::new()) {
                Piece::Number(number) if !error.contains('e') => {
                    let (whole, fraction) = split(&error);
                    Piece::Number(Number { error: Some((whole.to_owned(), fraction.map(str::to_owned))), ..number })
                }
                piece => Piece::Plain(format!("{} $\\pm$ {}", piece.latex(), numeral(&error))),
            },
            Shown::Interval(value, low, high) => number_piece(&value, format!(" {{[}}{}, {}{{]}}", numeral(&low), numeral(&high))),
        }
    }

    /// As it stands alone.
    pub(super) fn latex(&self) -> String {
        match self {
            Piece::Plain(text) => text.clone(),
            Piece::Number(number) => number.padded(&Widest::default()),
        }
    }

    fn number(&self) -> Option<&Number> {
        match self {
            Piece::Plain(_) => None,
            Piece::Number(number) => Some(number),
        }
    }
}

/// The longest parts of a column.
#[derive(Debug, Default)]
struct Widest {
    /// Digits after the point.
    fraction: Option<usize>,
    tail: String,
    /// Digits of the errors, before and after their points.
    error: Option<(usize, Option<usize>)>,
}

/// The cells of a right-aligned column, their decimal points below one another. What is no number stays as it is.
pub(super) fn aligned(pieces: &[Piece]) -> Vec<String> {
    let numbers = || pieces.iter().filter_map(Piece::number);
    let errors = || numbers().filter_map(|number| number.error.as_ref());
    let widest = Widest {
        fraction: numbers().filter_map(|number| number.fraction.as_ref()).map(String::len).max(),
        tail: numbers().map(|number| number.tail.clone()).max_by_key(String::len).unwrap_or_default(),
        error: errors()
            .map(|(whole, _)| whole.len())
            .max()
            .map(|whole| (whole, errors().filter_map(|(_, fraction)| fraction.as_ref()).map(String::len).max())),
    };
    let show = |piece: &Piece| piece.number().map_or_else(|| piece.latex(), |number| number.padded(&widest));
    pieces.iter().map(show).collect()
}

impl Number {
    /// With invisible signs where others of its column have some.
    fn padded(&self, widest: &Widest) -> String {
        let (point, missing) = fraction(self.fraction.as_deref(), widest.fraction);
        let number = format!("{}{point}", self.whole);
        match &self.error {
            Some((whole, digits)) => {
                let (most_whole, most_digits) = widest.error.unwrap_or((whole.len(), None));
                // Digits of the error that are missing before its point stand between the sign and it.
                let before = phantom(&"0".repeat(most_whole.saturating_sub(whole.len())));
                let (point, unseen) = fraction(digits.as_deref(), most_digits);
                format!("{number}{} $\\pm$ {before}{whole}{point}{}", phantom(&missing), phantom(&unseen))
            }
            // A unit stands next to its number, and what is missing behind it: the point is where it is either way.
            None if !self.tail.is_empty() => {
                let rest = widest.tail.strip_prefix(&self.tail).unwrap_or_default();
                format!("{number}{}{}", self.tail, phantom(&format!("{missing}{rest}")))
            }
            None => format!("{number}{}", phantom(&format!("{missing}{}", widest.after()))),
        }
    }
}

impl Widest {
    /// The longest that follows a number.
    fn after(&self) -> String {
        let error = self.error.map(|(whole, digits)| format!(" $\\pm$ {}{}", "0".repeat(whole), fraction(None, digits).1));
        error.filter(|error| error.len() > self.tail.len()).unwrap_or_else(|| self.tail.clone())
    }
}

/// The point and the digits after it, and what is missing of so many.
fn fraction(digits: Option<&str>, most: Option<usize>) -> (String, String) {
    match (digits, most) {
        (Some(digits), most) => (format!(".{digits}"), "0".repeat(most.unwrap_or(0).saturating_sub(digits.len()))),
        (None, Some(most)) => (String::new(), format!(".{}", "0".repeat(most))),
        (None, None) => (String::new(), String::new()),
    }
}

fn phantom(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("\\phantom{{{text}}}") }
}

fn split(number: &str) -> (&str, Option<&str>) {
    number.split_once('.').map_or((number, None), |(whole, fraction)| (whole, Some(fraction)))
}

fn number_piece(value: &str, tail: String) -> Piece {
    let (sign, size) = value.strip_prefix('-').map_or(("", value), |size| ("$-$", size));
    if value == MISSING || size == "inf" || size.contains('e') {
        return Piece::Plain(format!("{}{tail}", numeral(value)));
    }
    let (whole, fraction) = split(size);
    Piece::Number(Number { whole: format!("{sign}{whole}"), fraction: fraction.map(str::to_owned), tail, error: None })
}

/// A number as `number` writes it: with a minus sign, and powers of ten raised.
pub(super) fn numeral(text: &str) -> String {
    if text == MISSING {
        return "--".to_owned();
    }
    let (sign, size) = text.strip_prefix('-').map_or(("", text), |size| ("$-$", size));
    match size.split_once('e') {
        _ if size == "inf" => format!("{sign}$\\infty$"),
        Some((digits, power)) => format!("{sign}${digits} \\times 10^{{{power}}}$"),
        None => format!("{sign}{size}"),
    }
}

/// Text that begins with a number (`0.51x`, `-10.7 %`, `1.07x [1.05, 1.09]`) is one with a tail.
fn text_piece(text: &str) -> Piece {
    let trimmed = text.trim();
    let (sign, size) = match trimmed.chars().next() {
        Some('-' | '−') => ("$-$", trimmed.trim_start_matches(['-', '−'])),
        Some('+') => ("$+$", &trimmed[1..]),
        _ => ("", trimmed),
    };
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    // Groups of thousands: a comma that three digits follow.
    let mut end = digits(size);
    while end > 0 && size[end..].starts_with(',') && digits(&size[end + 1..]) == 3 {
        end += 4;
    }
    let (whole, rest) = size.split_at(end);
    let fraction = rest.strip_prefix('.').map_or(0, digits);
    let (fraction, tail) = if fraction > 0 { (Some(&rest[1..=fraction]), &rest[1 + fraction..]) } else { (None, rest) };
    // `135M` and `2024-11-26` are no numbers with a tail.
    let tail_of_a_number = tail.is_empty() || tail.starts_with([' ', '%', '×', '±', '[']) || factor(tail).is_some();
    // Nor is a phrase, such as `0 of 2 failed`: units are one word.
    let unit = factor(tail).unwrap_or(tail);
    let phrase = unit.contains(char::is_alphabetic) && !unit.contains('[') && unit.split_whitespace().count() > 1;
    if whole.is_empty() || !tail_of_a_number || phrase || (sign.is_empty() && tail.trim_start().starts_with('-')) {
        return Piece::Plain(escape(text));
    }
    // The digit that an `x` follows is the number's last.
    let tail = escape(number::times(&format!("0{tail}")).trim_start_matches('0'));
    Piece::Number(Number { whole: format!("{sign}{whole}"), fraction: fraction.map(str::to_owned), tail, error: None })
}

/// What follows the `x` of a factor.
fn factor(tail: &str) -> Option<&str> {
    tail.strip_prefix('x').filter(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(cells: &[Shown]) -> Vec<String> {
        let again = |cell: &Shown| match cell {
            Shown::Text(text) => Shown::Text(text.clone()),
            Shown::Number(value) => Shown::Number(value.clone()),
            Shown::PlusMinus(value, error) => Shown::PlusMinus(value.clone(), error.clone()),
            Shown::Interval(value, low, high) => Shown::Interval(value.clone(), low.clone(), high.clone()),
        };
        aligned(&cells.iter().map(|cell| Piece::new(again(cell))).collect::<Vec<_>>())
    }

    fn texts(cells: &[&str]) -> Vec<String> {
        column(&cells.iter().map(|cell| Shown::Text((*cell).into())).collect::<Vec<_>>())
    }

    #[test]
    fn points_stand_below_one_another() {
        let number = |text: &str| Shown::Number(text.into());
        assert_eq!(
            column(&[number("12.76"), number("-74.1"), number("23,040"), number("n/a")]),
            ["12.76", r"$-$74.1\phantom{0}", r"23,040\phantom{.00}", "--"]
        );
    }

    #[test]
    fn errors_are_aligned_too() {
        let with = |value: &str, error: &str| Shown::PlusMinus(value.into(), error.into());
        assert_eq!(
            column(&[with("12.76", "0.21"), with("1,234", "12"), Shown::Number("7.5".into())]),
            [r"12.76 $\pm$ \phantom{0}0.21", r"1,234\phantom{.00} $\pm$ 12\phantom{.00}", r"7.5\phantom{0 $\pm$ 00.00}"]
        );
    }

    #[test]
    fn an_x_after_a_number_is_a_times_sign() {
        assert_eq!(texts(&["0.51x", "5.333x", "n/a"]), [r"0.51$\times$\phantom{0}", r"5.333$\times$", "n/a"]);
        let interval = r" {[}1.05$\times$, 1.09$\times${]}";
        assert_eq!(
            texts(&["1.07x [1.05x, 1.09x]", "1.5x"]),
            [format!(r"1.07$\times${interval}"), format!(r"1.5$\times$\phantom{{0{interval}}}")]
        );
        assert_eq!(texts(&["0.9858x ± 0.0075", "1.13x ± 0.16"]), [r"0.9858$\times$ $\pm$ 0.0075", r"1.13$\times$ $\pm$ 0.16\phantom{00}"]);
        assert_eq!(texts(&["-10.7 %", "+250 %"]), [r"$-$10.7 \%", r"$+$250 \%\phantom{.0}"]);
    }

    #[test]
    fn what_only_begins_with_a_digit_is_text() {
        for name in ["2x2 blocks", "135M", "2024-11-26", "4-bit", "fp16", "0x1F", "", "1,23", "0 of 2 failed"] {
            assert_eq!(texts(&[name]), [escape(name)], "{name}");
        }
    }
}
