//! Where a value lies on an axis, and where its ticks are.

use super::{Axis, Scale};
use crate::artifact::number;
use crate::error::{Error, Result};
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged};
use std::ops::Range;

/// An axis with its range: places a value between 0 (its low end) and 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mapping {
    scale: Scale,
    low: f64,
    high: f64,
    /// Between ticks, where the range was made to end at them.
    step: Option<f64>,
    pub(super) ticks: Vec<Tick>,
    /// Shorter marks without a label, on a logarithmic axis.
    pub(super) minor: Vec<f64>,
    /// All labels are in units of 10 to the power of this.
    pub(super) exponent: i32,
}

/// A mark with its label.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    pub(super) value: f64,
    pub(super) label: Label,
}

/// A number, or a power of ten, whose exponent is raised.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Label {
    Plain(String),
    Power(i32),
}

/// What the range is made for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Role {
    /// Points get a little room on both sides.
    Horizontal,
    /// Ends at ticks, from zero if that is near.
    Vertical,
    /// Always from zero, with no tick for an end.
    Bars,
}

impl Mapping {
    /// The mapping for values (those that are not finite do not count) on an axis with room for about `about` ticks.
    pub(super) fn new(name: &str, axis: &Axis, values: impl IntoIterator<Item = f64>, role: Role, about: f64) -> Result<Mapping> {
        let given = axis.ticks.iter().copied().chain(axis.low).chain(axis.high);
        if let Some(wrong) = given.clone().find(|value| !value.is_finite()) {
            return Err(Error::new(format!("{wrong} is no place for a tick or an end of an axis")).at(format!("axis {name}")));
        }
        let values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        if axis.scale != Scale::Linear
            && let Some(wrong) = values.iter().copied().chain(given).find(|value| *value <= 0.0)
        {
            return Err(Error::new(format!("{wrong} has no place on a logarithmic axis"))
                .at(format!("axis {name}"))
                .remedy("leave the value out, or use `scale: \"linear\"`"));
        }
        let covered = || values.iter().chain(&axis.ticks).copied();
        let least = covered().fold(f64::INFINITY, f64::min);
        let most = covered().fold(f64::NEG_INFINITY, f64::max);
        let (least, most) = if least <= most { (least, most) } else { (1.0, 1.0) };
        let mut mapping = match axis.scale {
            Scale::Linear => linear(axis, least, most, role, about),
            Scale::Log2 | Scale::Log10 => logarithmic(axis, least, most, role),
        };
        if axis.low.is_some() || axis.high.is_some() {
            mapping.step = None;
        }
        mapping.low = axis.low.unwrap_or(mapping.low);
        mapping.high = axis.high.unwrap_or(mapping.high);
        if mapping.low >= mapping.high {
            return Err(Error::new(format!("the range from {} to {} is empty", mapping.low, mapping.high)).at(format!("axis {name}")));
        }
        if role == Role::Horizontal && least == most && axis.ticks.is_empty() && !values.is_empty() {
            // What is measured at one place only has no scale.
            (mapping.ticks, mapping.exponent) = plain_labels(&[least], None);
        } else {
            mapping.find_ticks(axis, about);
        }
        Ok(mapping)
    }

    /// Where a value is: 0 at the low end, 1 at the high end, beyond them outside.
    pub(super) fn place(&self, value: f64) -> f64 {
        let (low, high, value) = match self.scale {
            Scale::Linear => (self.low, self.high, value),
            Scale::Log2 | Scale::Log10 => (self.low.ln(), self.high.ln(), value.ln()),
        };
        // Halved, because the width of a range may be more than a float holds.
        (value / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0)
    }

    fn find_ticks(&mut self, axis: &Axis, about: f64) {
        let inside = |value: &f64| (-1e-9..=1.0 + 1e-9).contains(&self.place(*value));
        if !axis.ticks.is_empty() {
            let mut values: Vec<f64> = axis.ticks.iter().copied().filter(inside).collect();
            values.sort_by(f64::total_cmp);
            values.dedup();
            let (labels, exponent) = plain_labels(&values, None);
            (self.ticks, self.exponent) = (labels, exponent);
            return;
        }
        match self.scale {
            Scale::Linear => {
                let step = self.step.unwrap_or_else(|| step(self.low, self.high, about));
                let values: Vec<f64> = multiples(step, self.low, self.high).filter(inside).collect();
                (self.ticks, self.exponent) = plain_labels(&values, Some(step));
            }
            Scale::Log2 | Scale::Log10 => {
                let base: f64 = if self.scale == Scale::Log2 { 2.0 } else { 10.0 };
                let first = (self.low.ln() / base.ln() - 1e-9).ceil() as i32;
                let last = (self.high.ln() / base.ln() + 1e-9).floor() as i32;
                let every = (f64::from(last - first + 1) / about.max(2.0)).ceil().max(1.0) as i32;
                let powers: Vec<i32> = (first..=last).filter(|power| power.rem_euclid(every) == 0).collect();
                if powers.len() >= 2 {
                    let raised = self.scale == Scale::Log10 && powers.iter().any(|power| !(-3..=4).contains(power));
                    let label = |power: i32| if raised { Label::Power(power) } else { Label::Plain(exact(base.powi(power))) };
                    let minor: Vec<f64> = match self.scale {
                        _ if every > 1 => (first..=last).map(|power| base.powi(power)).collect(),
                        Scale::Log10 => decade_parts(first - 1, last).filter(inside).collect(),
                        _ => Vec::new(),
                    };
                    self.minor = minor;
                    self.ticks = powers.into_iter().map(|power| Tick { value: base.powi(power), label: label(power) }).collect();
                    return;
                }
                // Too little of the axis for powers: 1, 2 and 5, and round numbers if that is not enough either.
                let digits = (first - 1..=last).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * base.powi(power)));
                let mut values: Vec<f64> = if self.scale == Scale::Log10 { digits.filter(inside).collect() } else { Vec::new() };
                let mut width = None;
                if values.len() < 3 {
                    let step = step(self.low, self.high, about);
                    values = multiples(step, self.low, self.high).filter(inside).collect();
                    width = Some(step);
                }
                (self.ticks, self.exponent) = plain_labels(&values, width);
            }
        }
    }
}

/// An axis of `plotters`: its key points are the ticks.
impl Ranged for Mapping {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        // What is off the page by far stays a number that fits; NaN becomes 0.
        (f64::from(from) + self.place(*value) * (f64::from(to) - f64::from(from))).round().clamp(-1e8, 1e8) as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        self.ticks.iter().map(|tick| tick.value).take(hint.max_num_points()).collect()
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

fn linear(axis: &Axis, least: f64, most: f64, role: Role, about: f64) -> Mapping {
    let zero = match (role, axis.from_zero) {
        (Role::Bars, _) | (_, Some(true)) => true,
        (_, Some(false)) | (Role::Horizontal, None) => false,
        (Role::Vertical, None) => least == most || (least >= 0.0 && least < most / 2.0) || (most <= 0.0 && most > least / 2.0),
    };
    let (mut low, mut high) = if zero { (least.min(0.0), most.max(0.0)) } else { (least, most) };
    // One value alone, or values that differ by less than a label could show.
    if high / 2.0 - low / 2.0 <= high.abs().max(low.abs()) * 1e-12 {
        match high.abs() / 10.0 {
            0.0 => high = 1.0,
            room if room.is_normal() => (low, high) = (low - room, high + room),
            room => (low, high) = (low - room - f64::MIN_POSITIVE, high + room + f64::MIN_POSITIVE),
        }
    }
    let mut between = None;
    match role {
        Role::Horizontal => {
            let room = high / 30.0 - low / 30.0;
            // A length is never negative: no room is made below zero.
            low = if low > 0.0 { (low - room).max(0.0) } else { low - room };
            high += room;
        }
        Role::Vertical => {
            let step = step(low, high, about);
            (low, high) = (((low / step + 1e-9).floor() * step).min(low), ((high / step - 1e-9).ceil() * step).max(high));
            between = Some(step);
        }
        Role::Bars => {}
    }
    Mapping { step: between, ..Mapping::bare(axis.scale, low.max(f64::MIN), high.min(f64::MAX)) }
}

fn logarithmic(axis: &Axis, least: f64, most: f64, role: Role) -> Mapping {
    let (low, high) = (least.ln(), most.ln());
    let room = match (high - low, role) {
        (0.0, _) => std::f64::consts::LN_2,
        (span, _) => span * 0.05,
    };
    // The ends stay floats that a logarithm can be taken of, and rounding never leaves an end inside.
    let below = if (low - room).exp() > 0.0 { (low - room).exp() } else { least };
    Mapping::bare(axis.scale, below.min(least), (high + room).exp().clamp(most, f64::MAX))
}

impl Mapping {
    fn bare(scale: Scale, low: f64, high: f64) -> Mapping {
        Mapping { scale, low, high, step: None, ticks: Vec::new(), minor: Vec::new(), exponent: 0 }
    }
}

/// A round step (1, 2, 2.5 or 5 times a power of ten) that makes about `about` intervals.
pub(super) fn step(low: f64, high: f64, about: f64) -> f64 {
    let rough = (high / about - low / about).max(f64::MIN_POSITIVE);
    let power = 10f64.powi(rough.log10().floor() as i32);
    // Below the smallest power of ten there is nothing round.
    if !power.is_normal() {
        return rough;
    }
    let digit = rough / power;
    let round = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|round| digit <= round * 1.0001).unwrap_or(10.0);
    if (round * power).is_finite() { round * power } else { rough }
}

/// 2 to 9 times each power of ten.
fn decade_parts(first: i32, last: i32) -> impl Iterator<Item = f64> {
    (first..=last).flat_map(|power| (2..10).map(move |digit| f64::from(digit) * 10f64.powi(power)))
}

/// The multiples of `step` from `low` to `high`; never more than a chart could show.
fn multiples(step: f64, low: f64, high: f64) -> impl Iterator<Item = f64> {
    let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
    // `+ 0.0` turns -0 into 0.
    (0..100)
        .map(move |index| first + f64::from(index))
        .take_while(move |multiple| *multiple <= last)
        .map(move |multiple| multiple * step + 0.0)
}

/// Labels of one number of decimals; in units of a power of ten where they would be long.
fn plain_labels(values: &[f64], step: Option<f64>) -> (Vec<Tick>, i32) {
    let most = values.iter().fold(0.0f64, |most, value| most.max(value.abs()));
    let exponent = if most == 0.0 || (1e-3..1e6).contains(&most) { 0 } else { (most.log10() + 1e-9).floor() as i32 };
    let scaled = |value: f64| in_powers(value, exponent);
    let label = |value: f64| match step {
        Some(step) => number::fixed(scaled(value), decimals(scaled(step))),
        None => exact(scaled(value)),
    };
    (values.iter().map(|&value| Tick { value, label: Label::Plain(minus(&label(value))) }).collect(), exponent)
}

/// A value in units of ten to the power of `exponent`.
pub(super) fn in_powers(value: f64, exponent: i32) -> f64 {
    // In two halves: neither 10^308 nor its inverse times a small number may overflow on the way.
    value / 10f64.powi(exponent / 2) / 10f64.powi(exponent - exponent / 2)
}

/// How many decimals tell multiples of `step` apart.
fn decimals(step: f64) -> usize {
    (0..12)
        .find(|&decimals| {
            let scaled = step * 10f64.powi(decimals as i32);
            scaled.round() >= 1.0 && (scaled - scaled.round()).abs() < 1e-6 * scaled
        })
        .unwrap_or(12)
}

/// A number with the digits it has, up to six.
fn exact(value: f64) -> String {
    let text = number::significant(value, 6);
    if text.contains('e') || !text.contains('.') { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
}

/// A minus sign rather than a hyphen.
pub(super) fn minus(text: &str) -> String {
    text.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(mapping: &Mapping) -> Vec<String> {
        mapping
            .ticks
            .iter()
            .map(|tick| match &tick.label {
                Label::Plain(text) => text.clone(),
                Label::Power(power) => format!("10^{power}"),
            })
            .collect()
    }

    fn vertical(values: &[f64]) -> Mapping {
        Mapping::new("y", &Axis::default(), values.iter().copied(), Role::Vertical, 5.0).unwrap()
    }

    fn log(scale: Scale, values: &[f64]) -> Mapping {
        Mapping::new("x", &Axis { scale, ..Axis::default() }, values.iter().copied(), Role::Horizontal, 6.0).unwrap()
    }

    #[test]
    fn round_ticks() {
        assert_eq!(labels(&vertical(&[3.0, 21.5, 19.2])), ["0", "5", "10", "15", "20", "25"]);
        assert_eq!(labels(&vertical(&[13.51, 13.52])), ["13.510", "13.512", "13.514", "13.516", "13.518", "13.520"]);
        assert_eq!(labels(&vertical(&[-3.0, 8.0])), ["−5.0", "−2.5", "0.0", "2.5", "5.0", "7.5", "10.0"]);
        assert_eq!(labels(&vertical(&[7.0])), ["0", "2", "4", "6", "8"]);
        assert_eq!(labels(&vertical(&[0.0, 0.0])).first().unwrap(), "0.0");
        assert_eq!(labels(&vertical(&[0.0, 24_000.0])), ["0", "5000", "10,000", "15,000", "20,000", "25,000"]);
    }

    #[test]
    fn long_labels_are_in_units_of_a_power_of_ten() {
        let large = vertical(&[0.0, 3.1e9]);
        assert_eq!((labels(&large), large.exponent), (["0", "1", "2", "3", "4"].map(String::from).to_vec(), 9));
        let small = vertical(&[0.0, 4.4e-7]);
        assert_eq!((labels(&small), small.exponent), (["0", "1", "2", "3", "4", "5"].map(String::from).to_vec(), -7));
    }

    #[test]
    fn nothing_is_too_large_or_too_small() {
        for values in [
            vec![f64::MIN, f64::MAX],
            vec![f64::MAX],
            vec![5e-324],
            vec![5e-324, 1e-323],
            vec![-f64::MIN_POSITIVE],
            vec![1.0, 1.0 + f64::EPSILON],
            vec![1e15, 1e15 + 0.125],
            vec![f64::NAN, f64::INFINITY],
            vec![],
        ] {
            for role in [Role::Horizontal, Role::Vertical, Role::Bars] {
                let mapping = Mapping::new("y", &Axis::default(), values.iter().copied(), role, 5.0).unwrap();
                assert!(mapping.low.is_finite() && mapping.high.is_finite() && mapping.low < mapping.high, "{values:?} {mapping:?}");
                assert!(mapping.ticks.len() < 20, "{values:?} {role:?} {mapping:?}");
                for value in values.iter().filter(|value| value.is_finite()) {
                    let place = mapping.place(*value);
                    assert!((-1e-6..=1.0 + 1e-6).contains(&place), "{values:?} {role:?}: {value} at {place} of {mapping:?}");
                }
            }
            let positive: Vec<f64> = values.iter().map(|value| value.abs()).collect();
            for scale in [Scale::Log2, Scale::Log10] {
                let mapping = log(scale, &positive);
                assert!(mapping.low < mapping.high && mapping.high.is_finite() && mapping.ticks.len() < 30, "{positive:?} {mapping:?}");
            }
        }
    }

    #[test]
    fn powers_on_logarithmic_axes() {
        assert_eq!(labels(&log(Scale::Log2, &[128.0, 2048.0])), ["128", "256", "512", "1024", "2048"]);
        assert_eq!(labels(&log(Scale::Log2, &[100.0, 130.0])).len(), 4);
        let wide = log(Scale::Log2, &[128.0, 131_072.0]);
        assert_eq!((labels(&wide), wide.minor.len()), (["256", "1024", "4096", "16,384", "65,536"].map(String::from).to_vec(), 11));
        assert_eq!(labels(&log(Scale::Log10, &[0.5, 300.0])), ["1", "10", "100"]);
        assert_eq!(labels(&log(Scale::Log10, &[1e3, 1e6])), ["10^3", "10^4", "10^5", "10^6"]);
        assert_eq!(labels(&log(Scale::Log10, &[20.0, 70.0])), ["20", "30", "40", "50", "60", "70"]);
    }

    #[test]
    fn given_ticks_are_kept() {
        let axis = Axis { scale: Scale::Log2, ticks: vec![1024.0, 128.0, 512.0, 512.0], ..Axis::default() };
        let mapping = Mapping::new("x", &axis, [200.0], Role::Horizontal, 2.0).unwrap();
        assert_eq!(labels(&mapping), ["128", "512", "1024"]);
        assert!(mapping.place(128.0) > 0.0 && mapping.place(1024.0) < 1.0);
        let ends = Axis { low: Some(0.0), high: Some(50.0), ticks: vec![10.0, 60.0], ..Axis::default() };
        assert_eq!(labels(&Mapping::new("x", &ends, [200.0], Role::Vertical, 5.0).unwrap()), ["10"]);
    }

    #[test]
    fn places() {
        let mapping = log(Scale::Log2, &[128.0, 2048.0]);
        let middle = mapping.place(512.0);
        assert!((middle - 0.5).abs() < 1e-9);
        let linear =
            Mapping::new("x", &Axis { low: Some(0.0), high: Some(10.0), ..Axis::default() }, [3.0], Role::Horizontal, 5.0).unwrap();
        assert!((linear.place(2.5) - 0.25).abs() < 1e-12 && linear.place(12.0) > 1.0);
    }

    #[test]
    fn refusals_name_the_axis() {
        let axis = Axis { scale: Scale::Log10, ..Axis::default() };
        let error = Mapping::new("y", &axis, [1.0, 0.0], Role::Vertical, 5.0).unwrap_err().to_string();
        assert!(error.starts_with("axis y: 0 has no place on a logarithmic axis"), "{error}");
        let empty = Axis { low: Some(3.0), high: Some(3.0), ..Axis::default() };
        assert!(Mapping::new("x", &empty, [1.0], Role::Vertical, 5.0).unwrap_err().to_string().contains("from 3 to 3 is empty"));
        let odd = Axis { ticks: vec![f64::NAN], ..Axis::default() };
        assert!(Mapping::new("x", &odd, [1.0], Role::Vertical, 5.0).is_err());
    }
}
