//! Numbers and tables as text. Everything that formats begins with `format`, so that it is found by completing one word.

use super::charts::api as charts;
use super::failure::Answer;
use super::values::{count, described};
use crate::error::{Error, Result};
use crate::limits;
use rhai::plugin::*;
use rhai::{INT, Map};

/// Python's format specification: `[[fill]align][sign][0][width][,][.precision][type]`.
///
/// Source: <https://docs.python.org/3/library/string.html#formatspec>
struct Spec {
    fill: char,
    /// `<`, `>`, `^`, or `=` for zeros between sign and digits.
    align: Option<char>,
    plus: Option<char>,
    width: usize,
    grouped: bool,
    precision: Option<usize>,
    kind: Option<char>,
}

/// Digits that a float has a use for.
const MAX_PRECISION: usize = 100;

impl Spec {
    fn parse(text: &str) -> Result<Spec> {
        let wrong = || {
            Error::new(format!("the format `{text}` cannot be read"))
                .remedy("as in Python: \".3f\", \">8.2f\", \"+.1%\", \",\", \".3g\", \"05d\", \"<10\"")
        };
        let mut rest = text.chars().peekable();
        let mut spec = Spec { fill: ' ', align: None, plus: None, width: 0, grouped: false, precision: None, kind: None };
        let first_two: Vec<char> = text.chars().take(2).collect();
        if first_two.get(1).is_some_and(|letter| "<>^=".contains(*letter)) {
            (spec.fill, spec.align) = (first_two[0], Some(first_two[1]));
            rest.nth(1);
        } else if let Some(&letter) = rest.peek().filter(|letter| "<>^=".contains(**letter)) {
            spec.align = Some(letter);
            rest.next();
        }
        spec.plus = rest.next_if(|letter| "+- ".contains(*letter));
        if rest.next_if_eq(&'0').is_some() {
            (spec.fill, spec.align) = if spec.align.is_some() { (spec.fill, spec.align) } else { ('0', Some('=')) };
        }
        let number = |rest: &mut std::iter::Peekable<std::str::Chars>| -> Result<Option<usize>> {
            let mut digits = String::new();
            while let Some(digit) = rest.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            if digits.is_empty() { Ok(None) } else { digits.parse().map(Some).map_err(|_| wrong()) }
        };
        spec.width = number(&mut rest)?.unwrap_or(0);
        spec.grouped = rest.next_if(|letter| ",_".contains(*letter)).is_some();
        if rest.next_if_eq(&'.').is_some() {
            spec.precision = Some(number(&mut rest)?.filter(|digits| *digits <= MAX_PRECISION).ok_or_else(wrong)?);
        }
        spec.kind = rest.next();
        if rest.next().is_some() || spec.kind.is_some_and(|kind| !"fFeEgGd%sxXob".contains(kind)) {
            return Err(wrong());
        }
        Ok(spec)
    }

    fn text(&self, value: &Dynamic) -> Result<String> {
        let (integer, float) = (value.as_int().ok(), value.as_float().ok());
        let number = float.or(integer.map(|value| value as f64));
        let kind = self.kind.unwrap_or(match (integer, float, self.precision) {
            (Some(_), ..) => 'd',
            (None, Some(_), Some(_)) => 'g',
            _ => 's',
        });
        let unfit = || {
            let error = Error::new(format!("{} does not fit the format `{kind}`", described(value)));
            error.remedy(match value.as_immutable_string_ref().is_ok_and(|text| text.contains('{')) {
                true => "`${value}` in backticks puts values into a text; value.format(\".2f\") makes text of a number",
                false => "numbers fit f, e, g, d and %, texts s",
            })
        };
        let digits = match kind {
            's' if self.precision.is_none() => value.to_string(),
            's' => value.to_string().chars().take(self.precision.unwrap_or(0)).collect(),
            'd' => integer.ok_or_else(unfit)?.unsigned_abs().to_string(),
            'x' => format!("{:x}", integer.ok_or_else(unfit)?.unsigned_abs()),
            'X' => format!("{:X}", integer.ok_or_else(unfit)?.unsigned_abs()),
            'o' => format!("{:o}", integer.ok_or_else(unfit)?.unsigned_abs()),
            'b' => format!("{:b}", integer.ok_or_else(unfit)?.unsigned_abs()),
            kind => self.float(number.ok_or_else(unfit)?.abs(), kind),
        };
        let negative = number.is_some_and(|number| number.is_sign_negative() && !number.is_nan()) && kind != 's';
        let sign = match (negative, self.plus) {
            (true, _) => "-",
            (false, Some('+')) => "+",
            (false, Some(' ')) => " ",
            _ => "",
        };
        let digits = if self.grouped { grouped(&digits) } else { digits };
        Ok(self.padded(if kind == 's' { "" } else { sign }, &digits, number.is_some() && kind != 's'))
    }

    fn float(&self, value: f64, kind: char) -> String {
        let precision = self.precision.unwrap_or(6);
        if !value.is_finite() {
            return if value.is_nan() { "nan".to_owned() } else { "inf".to_owned() };
        }
        match kind.to_ascii_lowercase() {
            'f' => format!("{value:.precision$}"),
            '%' => format!("{:.precision$}%", value * 100.0),
            'e' => exponent(&format!("{value:.precision$e}")),
            _ => {
                // As many digits as asked for, without zeros at the end; an exponent where the number is very large or small.
                let precision = precision.max(1);
                let rounded = format!("{value:.*e}", precision - 1);
                let power: i32 = rounded.split_once('e').and_then(|(_, power)| power.parse().ok()).unwrap_or(0);
                let trim = |text: &str| {
                    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text.to_owned() }
                };
                if (-4..precision as i32).contains(&power) {
                    trim(&format!("{value:.*}", (precision as i32 - 1 - power).max(0) as usize))
                } else {
                    let (digits, power) = rounded.split_once('e').unwrap_or((&rounded, "0"));
                    exponent(&format!("{}e{power}", trim(digits)))
                }
            }
        }
    }

    fn padded(&self, sign: &str, digits: &str, is_number: bool) -> String {
        let missing = self.width.saturating_sub(sign.chars().count() + digits.chars().count());
        let fill = |count: usize| self.fill.to_string().repeat(count);
        match self.align.unwrap_or(if is_number { '>' } else { '<' }) {
            '<' => format!("{sign}{digits}{}", fill(missing)),
            '^' => format!("{}{sign}{digits}{}", fill(missing / 2), fill(missing - missing / 2)),
            '=' => format!("{sign}{}{digits}", fill(missing)),
            _ => format!("{}{sign}{digits}", fill(missing)),
        }
    }
}

/// `1.5e7` as Python writes it: `1.5e+07`.
fn exponent(text: &str) -> String {
    let (digits, power) = text.split_once('e').unwrap_or((text, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    format!("{digits}e{}{:02}", if power < 0 { '-' } else { '+' }, power.abs())
}

/// With a comma between thousands.
fn grouped(digits: &str) -> String {
    let end = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
    let whole: Vec<char> = digits[..end].chars().collect();
    let mut text = String::new();
    for (index, digit) in whole.iter().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(*digit);
    }
    text + &digits[end..]
}

#[export_module]
pub(super) mod api {
    /// A number with so many decimals: for texts in backquotes.
    ///
    /// # Example
    /// ```rhai
    /// let loss = 2.0 / 3.0;
    /// assert(`loss ${loss.format(3)}` == "loss 0.667", "three decimals");
    /// ```
    #[rhai_fn(name = "format", return_raw)]
    pub fn format_decimals(value: Dynamic, decimals: INT) -> Answer<String> {
        let decimals = count("decimals", decimals)?;
        format(value, &format!(".{decimals}f"))
    }

    /// A value in a format as of Python's f-strings: `".3f"`, `">8.2f"`, `"+.1%"`, `","`, `".3g"`, `"05d"`, `"<10"`.
    ///
    /// # Example
    /// ```rhai
    /// assert(0.1234.format(".1%") == "12.3%" && 1234567.format(",") == "1,234,567" && "ab".format(">4") == "  ab", "as in Python");
    /// ```
    #[rhai_fn(name = "format", return_raw)]
    pub fn format(value: Dynamic, spec: &str) -> Answer<String> {
        let spec = Spec::parse(spec)?;
        limits::room("the text", spec.width as u64 * 4)?;
        Ok(spec.text(&value)?)
    }

    /// With so many decimals, grouped by thousands: `12,345.68`. As `fixed`.
    ///
    /// # Example
    /// ```rhai
    /// assert(format_fixed(12345.678, 2) == "12,345.68", "two decimals");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn format_fixed(value: Dynamic, decimals: INT) -> Answer<String> {
        charts::fixed(value, decimals)
    }

    /// With so many significant digits, grouped by thousands: `0.0123`. As `digits`.
    ///
    /// # Example
    /// ```rhai
    /// assert(format_significant(0.0123456, 3) == "0.0123", "three digits");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn format_significant(value: Dynamic, digits: INT) -> Answer<String> {
        charts::digits(value, digits)
    }

    /// Milliseconds in the unit that suits: `12.3 ms`, `1.50 s`. As `ms_text`.
    ///
    /// # Example
    /// ```rhai
    /// assert(format_ms(1500.0) == "1.50 s", format_ms(1500.0));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn format_ms(ms: Dynamic) -> Answer<String> {
        charts::ms_text(ms)
    }

    /// Bytes in the unit that suits: `12.3 MB`. As `bytes_text`.
    ///
    /// # Example
    /// ```rhai
    /// assert(format_bytes(3 * 1024 * 1024).contains("MB"), "megabytes");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn format_bytes(count: Dynamic) -> Answer<String> {
        charts::bytes_text(count)
    }

    /// A ratio: `1.27x`. As `ratio_text`.
    ///
    /// # Example
    /// ```rhai
    /// assert(format_ratio(1.27) == "1.27x", "a ratio");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn format_ratio(ratio: Dynamic) -> Answer<String> {
        charts::ratio_text(ratio)
    }

    /// A ratio as a change: 1.27 is `+27.0 %`. As `change_text`.
    ///
    /// # Example
    /// ```rhai
    /// assert(format_change(1.27) == "+27.0 %", "a change");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn format_change(ratio: Dynamic) -> Answer<String> {
        charts::change_text(ratio)
    }

    /// A value and how far it may be off: `12.36 ± 0.56`. As `plus_minus`.
    ///
    /// # Example
    /// ```rhai
    /// assert(format_plus_minus(12.36, 0.56) == "12.36 ± 0.56", "with its error");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn format_plus_minus(value: Dynamic, error: Dynamic) -> Answer<String> {
        charts::plus_minus(value, error)
    }

    /// A table as plain text. As `table_text`.
    ///
    /// # Example
    /// ```rhai
    /// assert(format_table(#{ columns: ["a"], rows: [[1]] }).contains("a"), "its column");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn format_table(table: Map) -> Answer<String> {
        charts::table_text(table)
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_pythons() {
        let told = |value: Dynamic, spec: &str| api::format(value, spec).unwrap();
        // format(value, spec)
        for (value, spec, expected) in [
            (2.5, ".0f", "2"),
            (1234.5678, ",.2f", "1,234.57"),
            (-3.17159, "+8.2f", "   -3.17"),
            (3.17159, "+.2f", "+3.17"),
            (0.000123, ".2e", "1.23e-04"),
            (123456789.0, ".3g", "1.23e+08"),
            (0.0001, ".3g", "0.0001"),
            (1000.0, ".3g", "1e+03"),
            (0.5, ".1%", "50.0%"),
            (-2.0, "08.1f", "-00002.0"),
            (f64::NAN, ".1f", "nan"),
            (1.25, "*^8.2f", "**1.25**"),
        ] {
            assert_eq!(told(value.into(), spec), expected, "{value} {spec}");
        }
        for (value, spec, expected) in
            [(42, "05d", "00042"), (1234567, ",", "1,234,567"), (255, "x", "ff"), (7, ".2f", "7.00"), (-5, "=+4d", "-  5")]
        {
            assert_eq!(told((value as INT).into(), spec), expected, "{value} {spec}");
        }
        assert_eq!(
            (told("ab".into(), "^6"), told("abc".into(), ".2"), told(true.into(), "")),
            ("  ab  ".into(), "ab".into(), "true".into())
        );
        for (value, spec) in [
            (Dynamic::from("ab"), ".2f"),
            (Dynamic::from(1.5), "d"),
            (1.5.into(), "q"),
            (1.5.into(), ".f"),
            (1.5.into(), "999999999999999999999d"),
        ] {
            assert!(api::format(value, spec).is_err(), "{spec}");
        }
    }
}
