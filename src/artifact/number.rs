//! Numbers as people read them: three significant digits, a unit, thousands apart. Terminal tables, charts and LaTeX share them.

/// What stands where there is no number.
pub const MISSING: &str = "n/a";

/// `value` with `digits` significant digits: `1.27`, `0.00123`, `12.3`. Digits before the decimal point are never rounded away, and are
/// grouped by thousands from ten thousand on: `12,346`, `1,234,568`. Beyond 15 digits or below 1e-4: `1.23e-9`.
///
/// # Example
/// ```
/// use caramba::artifact::number::significant;
/// assert_eq!(significant(1.2345, 3), "1.23");
/// assert_eq!(significant(12345.6, 3), "12,346");
/// ```
pub fn significant(value: f64, digits: usize) -> String {
    let digits = digits.clamp(1, 17);
    if value.is_nan() {
        return MISSING.to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".to_owned() } else { "-inf".to_owned() };
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    // Rounding may carry into the next power of ten (9.996 is 10.0), so the exponent is read from the rounded number.
    let scientific = format!("{value:.*e}", digits - 1);
    let exponent: i32 = scientific.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
    if !(-4..15).contains(&exponent) {
        return scientific;
    }
    let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
    fixed(value, decimals)
}

/// For a reader of one value: whole numbers as they are, others with four digits.
pub(super) fn plain(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e9 { integer(value as i64) } else { significant(value, 4) }
}

/// `value` with so many decimals, grouped by thousands from ten thousand on: `12,345.60`.
pub fn fixed(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return significant(value, 3);
    }
    let text = format!("{value:.decimals$}");
    // -0.00 is no number people know.
    let text = match text.strip_prefix('-') {
        Some(rest) if rest.chars().all(|c| matches!(c, '0' | '.')) => rest,
        _ => &text,
    };
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, fraction) = rest.split_once('.').unwrap_or((rest, ""));
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{}{point}{fraction}", thousands(whole))
}

/// A whole number, grouped: `49,152`, and `1024` as it is.
pub fn integer(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    format!("{}{}", if value < 0 { "-" } else { "" }, thousands(&digits))
}

/// Groups of three from five digits on; four stand together, as typographers have it.
fn thousands(digits: &str) -> String {
    if digits.len() < 5 {
        return digits.to_owned();
    }
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A ratio: `1.27x`.
pub fn ratio(value: f64) -> String {
    if value.is_nan() { MISSING.to_owned() } else { format!("{}x", significant(value, 3)) }
}

/// Text with a times sign for the `x` of a factor: `1.07x [1.05x, 1.09x]` is `1.07× [1.05×, 1.09×]`. The `x` of a word stays.
pub(super) fn times(text: &str) -> String {
    let mut signs = String::with_capacity(text.len() + 4);
    let mut characters = text.chars().peekable();
    let mut before = None;
    while let Some(character) = characters.next() {
        let factor = character == 'x'
            && before.is_some_and(|before: char| before.is_ascii_digit())
            && characters.peek().is_none_or(|next| !next.is_alphanumeric());
        signs.push(if factor { '×' } else { character });
        before = Some(character);
    }
    signs
}

/// A ratio as a change: 1.27 is `+27.0 %`, 0.625 is `-37.5 %`.
pub fn change(ratio: f64) -> String {
    if ratio.is_nan() {
        return MISSING.to_owned();
    }
    let percent = (ratio - 1.0) * 100.0;
    // Three digits, but never more than two decimals: what a change of a thousandth of a percent says is "none".
    let decimals = match percent.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    let text = fixed(percent, decimals);
    let sign = if text.starts_with('-') || text.chars().all(|c| matches!(c, '0' | '.')) { "" } else { "+" };
    format!("{sign}{text} %")
}

/// Bytes in the unit that suits: `512 B`, `1.50 KB`, `12.3 MB`, `4.20 GB`; KB, MB and GB are 2^10, 2^20 and 2^30 bytes.
pub fn bytes(count: f64) -> String {
    let (unit, name) = match count.abs() {
        size if size >= 1_073_741_824.0 => (1_073_741_824.0, "GB"),
        size if size >= 1_048_576.0 => (1_048_576.0, "MB"),
        size if size >= 1024.0 => (1024.0, "KB"),
        _ => (1.0, "B"),
    };
    if count.is_nan() { MISSING.to_owned() } else { format!("{} {name}", significant(count / unit, 3)) }
}

/// Milliseconds in the unit that suits: `830 us`, `12.3 ms`, `1.50 s`, `2 min 5 s`.
pub fn milliseconds(value: f64) -> String {
    match value.abs() {
        size if size.is_nan() => MISSING.to_owned(),
        size if (120_000.0..1e15).contains(&size) => {
            let seconds = (value / 1000.0).round() as i64;
            format!("{} min {} s", integer(seconds / 60), seconds.abs() % 60)
        }
        size if size >= 1000.0 => format!("{} s", significant(value / 1000.0, 3)),
        size if size >= 1.0 || size == 0.0 => format!("{} ms", significant(value, 3)),
        _ => format!("{} us", significant(value * 1000.0, 3)),
    }
}

/// A value and how far it may be off: `12.36 ± 0.56`, both with the decimals that two significant digits of the error leave.
pub fn plus_minus(value: f64, error: f64) -> String {
    let (value, error) = plus_minus_parts(value, error);
    match error {
        Some(error) => format!("{value} ± {error}"),
        None => value,
    }
}

/// The two numbers of [`plus_minus`]; no error where it is unknown or zero.
pub(super) fn plus_minus_parts(value: f64, error: f64) -> (String, Option<String>) {
    if !error.is_finite() || error == 0.0 || !value.is_finite() {
        return (significant(value, 4), None);
    }
    let error = error.abs();
    let magnitude = format!("{error:.1e}").split_once('e').and_then(|(_, exponent)| exponent.parse::<i32>().ok()).unwrap_or(0);
    // An error far larger or smaller than ordinary: scientific notation keeps it short.
    if !(-9..12).contains(&magnitude) || value.abs() >= 1e15 {
        return (significant(value, 4), Some(significant(error, 2)));
    }
    let decimals = (1 - magnitude).max(0) as usize;
    (fixed(value, decimals), Some(fixed(error, decimals)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_thousands() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.2345, "1.23"),
            (9.996, "10.0"),
            (0.9996, "1.00"),
            (99.96, "100"),
            (999.9, "1000"),
            (9999.4, "9999"),
            (9999.6, "10,000"),
            (-12345.6, "-12,346"),
            (1_234_567.8, "1,234,568"),
            (0.001234, "0.00123"),
            (0.00012345, "0.000123"),
            (0.000012345, "1.23e-5"),
            (1.5e15, "1.50e15"),
            (5e-324, "4.94e-324"),
            (f64::NAN, "n/a"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(significant(value, 3), text, "{value:e}");
        }
        assert_eq!(fixed(-0.001, 2), "0.00");
        assert_eq!((fixed(12345.678, 1).as_str(), fixed(0.5, 0).as_str()), ("12,345.7", "0"));
        assert_eq!((integer(i64::MIN).as_str(), integer(1024).as_str()), ("-9,223,372,036,854,775,808", "1024"));
    }

    #[test]
    fn with_units() {
        assert_eq!([ratio(1.2738), ratio(0.625), ratio(f64::NAN)], ["1.27x", "0.625x", "n/a"]);
        let changes = [change(1.27), change(0.625), change(1.0), change(1.00001), change(3.5), change(0.999), change(f64::NAN)];
        assert_eq!(changes, ["+27.0 %", "-37.5 %", "0.00 %", "0.00 %", "+250 %", "-0.10 %", "n/a"]);
        let sizes = [bytes(0.0), bytes(512.0), bytes(1536.0), bytes(12.3 * 1048576.0), bytes(4.2 * 1073741824.0), bytes(f64::NAN)];
        assert_eq!(sizes, ["0 B", "512 B", "1.50 KB", "12.3 MB", "4.20 GB", "n/a"]);
        let times = [0.0, 0.83, 12.34, 1500.0, 125_000.0, f64::NAN].map(milliseconds);
        assert_eq!(times, ["0 ms", "830 us", "12.3 ms", "1.50 s", "2 min 5 s", "n/a"]);
    }

    #[test]
    fn only_factors_have_a_times_sign() {
        assert_eq!(times("1.07x [1.05x, 1.09x], 2x2 max, 0x1F, x"), "1.07× [1.05×, 1.09×], 2x2 max, 0x1F, x");
    }

    #[test]
    fn an_error_decides_the_decimals() {
        for (value, error, text) in [
            (12.3625, 0.5634, "12.36 ± 0.56"),
            (12345.6, 123.4, "12,346 ± 123"),
            (0.00123456, 0.0000123, "0.001235 ± 0.000012"),
            (1.5, 0.0, "1.500"),
            (1.5, f64::NAN, "1.500"),
            (f64::NAN, 0.1, "n/a"),
            (1e20, 1e18, "1.000e20 ± 1.0e18"),
            (1.0, 0.0996, "1.00 ± 0.10"),
        ] {
            assert_eq!(plus_minus(value, error), text);
        }
    }
}
