//! Box plots: how samples are spread.

use super::page::{Group, Page, units};
use super::style::Color;
use super::{Distribution, Rect, axis, scale::Mapping};
use crate::artifact::number;
use crate::error::Result;
use plotters::element::{Circle, PathElement, Rectangle};
use plotters::style::Color as _;

/// Fewer samples than these have no quartiles worth a box: they are shown one by one.
const FEWEST: usize = 5;
const OUTLIER: f64 = 1.3;
const LINE: f64 = 0.8;
const MEDIAN: f64 = 1.5;

/// What a box shows of its samples.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Box {
    /// In order, those that are finite.
    sorted: Vec<f64>,
    first: f64,
    median: f64,
    third: f64,
    /// The whiskers' ends: the farthest samples within 1.5 times the box's height (J. W. Tukey, "Exploratory Data Analysis", 1977).
    low: f64,
    high: f64,
}

impl Box {
    /// `None` without samples.
    pub(super) fn new(distribution: &Distribution) -> Option<Box> {
        let mut sorted: Vec<f64> = distribution.values.iter().copied().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let [first, median, third] = [0.25, 0.5, 0.75].map(|share| quantile(&sorted, share));
        let reach = 1.5 * (third - first);
        let low = sorted.iter().copied().find(|value| *value >= first - reach).unwrap_or(least);
        let high = sorted.iter().rev().copied().find(|value| *value <= third + reach).unwrap_or(most);
        Some(Box { first, median, third, low, high, sorted })
    }

    fn outliers(&self) -> impl Iterator<Item = f64> {
        let all = self.sorted.len() < FEWEST;
        self.sorted.iter().copied().filter(move |value| all || *value < self.low || *value > self.high)
    }

    /// Draws it around `x`, so wide to both sides.
    pub(super) fn draw(
        &self,
        page: &mut Page,
        (area, mapping): (Rect, &Mapping),
        (x, half): (f64, f64),
        color: Color,
        name: &str,
    ) -> Result<()> {
        let y = |value: f64| units(axis::height_of(area, mapping, value));
        let across = |reach: f64| (units(x - reach), units(x + reach));
        let digits = number::plain;
        let [first, median, third] = [self.first, self.median, self.third].map(digits);
        let said = format!("{name}: median {median}, quartiles {first} and {third}, {} samples", self.sorted.len());
        let mut group = Group::default().titled(said).with("data-name", name);
        let numbers = [("low", self.low), ("first", self.first), ("median", self.median), ("third", self.third), ("high", self.high)];
        for (key, value) in numbers {
            group = group.with(&format!("data-{key}"), format!("{value:?}"));
        }
        let stroke = |width: f64| super::page::stroke(color, width);
        page.draw(&group, |page| {
            if self.sorted.len() >= FEWEST {
                let (left, right) = across(half);
                for (from, to) in [(self.third, self.high), (self.first, self.low)] {
                    page.draw(&PathElement::new([(units(x), y(from)), (units(x), y(to))], stroke(LINE)))?;
                    let (left, right) = across(half * 0.5);
                    page.draw(&PathElement::new([(left, y(to)), (right, y(to))], stroke(LINE)))?;
                }
                let corners = [(left, y(self.third)), (right, y(self.first))];
                page.draw(&Rectangle::new(corners, super::style::WHITE.filled()))?;
                page.draw(&Rectangle::new(corners, color.mix(0.25).filled()))?;
                let outline = [corners[0], (right, corners[0].1), corners[1], (left, corners[1].1), corners[0]];
                page.draw(&PathElement::new(outline, stroke(LINE)))?;
                page.draw(&PathElement::new([(left, y(self.median)), (right, y(self.median))], stroke(MEDIAN)))?;
            }
            self.outliers().try_for_each(|value| page.draw(&Circle::new((units(x), y(value)), units(OUTLIER), color.filled())))
        })
    }
}

/// By linear interpolation between samples in order (R. J. Hyndman and Y. Fan, "Sample Quantiles in Statistical Packages", 1996, type 7).
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_and_whiskers() {
        let of = |values: &[f64]| Box::new(&Distribution { name: String::new(), values: values.to_vec(), color: None });
        let found = of(&[9.0, 1.0, 2.0, 3.0, f64::NAN, 4.0, 5.0, 100.0, 6.0, 7.0, 8.0]).unwrap();
        assert_eq!((found.first, found.median, found.third), (3.25, 5.5, 7.75));
        assert_eq!((found.low, found.high, found.outliers().collect::<Vec<_>>()), (1.0, 9.0, vec![100.0]));
        assert_eq!(of(&[f64::NAN]), None);
        assert_eq!(of(&[2.0, 1.0]).unwrap().outliers().count(), 2);
    }
}
