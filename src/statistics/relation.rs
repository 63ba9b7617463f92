//! How one quantity goes with another: correlation, and the straight line through points.

use super::hypothesis::ranks;
use super::{Interval, check, check_level, mean, sum};
use crate::error::{Error, Result};
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// A correlation, and whether it is more than chance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Correlation {
    /// From -1 to 1.
    pub r: f64,
    /// Two-sided, of no correlation.
    pub p: f64,
    /// Fisher's; `None` for three pairs and fewer, and for ranks.
    pub interval: Option<Interval>,
    pub pairs: usize,
}

/// `y = slope * x + intercept`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    pub slope: f64,
    pub intercept: f64,
    /// The share of the variance of `y` that the line explains.
    pub r_squared: f64,
    /// Standard errors; `None` for two points.
    pub slope_error: Option<f64>,
    pub intercept_error: Option<f64>,
    /// Two-sided, of no slope.
    pub p: Option<f64>,
}

/// Deviations from the means: the sums of their squares and products.
struct Sums {
    count: f64,
    means: [f64; 2],
    squares: [f64; 2],
    product: f64,
}

fn sums(x: &[f64], y: &[f64]) -> Result<Sums> {
    if x.len() != y.len() {
        return Err(Error::new(format!("{} values and {}: expected pairs", x.len(), y.len())));
    }
    check(x)?;
    check(y)?;
    let means = [mean(x)?, mean(y)?];
    let square = |values: &[f64], mean: f64| sum(values.iter().map(|value| (value - mean).powi(2)));
    let squares = [square(x, means[0]), square(y, means[1])];
    let product = sum(x.iter().zip(y).map(|(x, y)| (x - means[0]) * (y - means[1])));
    Ok(Sums { count: x.len() as f64, means, squares, product })
}

/// Pearson's correlation.
///
/// Source: K. Pearson, 1895; the interval by R. A. Fisher's transformation, "On the probable error of a coefficient of correlation", Metron 1 (1921).
///
/// # Errors
/// Lists of different lengths or of fewer than two values, one whose values are all equal, values that are not finite.
pub fn correlation(x: &[f64], y: &[f64], level: f64) -> Result<Correlation> {
    check_level(level)?;
    let Sums { count, squares, product, .. } = sums(x, y)?;
    if squares.contains(&0.0) {
        return Err(Error::new("a correlation with values that are all equal").remedy("give two values at least that differ"));
    }
    let r = (product / (squares[0] * squares[1]).sqrt()).clamp(-1.0, 1.0);
    let freedom = count - 2.0;
    let p = match StudentsT::new(0.0, 1.0, freedom) {
        Ok(_) if r.abs() == 1.0 => 0.0,
        Ok(student) => 2.0 * student.cdf(-(r * (freedom / (1.0 - r * r)).sqrt()).abs()),
        // Two points always lie on a line.
        Err(_) => 1.0,
    };
    let half = Normal::standard().inverse_cdf(0.5 + level / 2.0) / (count - 3.0).sqrt();
    let interval = (count > 3.0).then(|| Interval { low: (r.atanh() - half).tanh(), high: (r.atanh() + half).tanh(), level });
    Ok(Correlation { r, p, interval, pairs: x.len() })
}

/// Spearman's correlation: that of the ranks.
///
/// # Errors
/// As [`correlation`].
pub fn rank_correlation(x: &[f64], y: &[f64]) -> Result<Correlation> {
    check(x)?;
    check(y)?;
    Ok(Correlation { interval: None, ..correlation(&ranks(x), &ranks(y), 0.95)? })
}

/// The line of least squares.
///
/// # Errors
/// As [`correlation`], but that the values of `y` may be equal.
pub fn linear_fit(x: &[f64], y: &[f64]) -> Result<Line> {
    let Sums { count, means, squares, product } = sums(x, y)?;
    if squares[0] == 0.0 {
        return Err(Error::new("a line through points that all have the same x").remedy("give two values of x at least that differ"));
    }
    let slope = product / squares[0];
    let intercept = means[1] - slope * means[0];
    let r_squared = if squares[1] == 0.0 { 1.0 } else { product * product / (squares[0] * squares[1]) };
    let freedom = count - 2.0;
    let rest = (squares[1] - slope * product).max(0.0);
    let slope_error = (freedom > 0.0).then(|| (rest / freedom / squares[0]).sqrt());
    let intercept_error = slope_error.map(|error| error * (squares[0] / count + means[0].powi(2)).sqrt());
    let p = slope_error.and_then(|error| {
        let student = StudentsT::new(0.0, 1.0, freedom).ok()?;
        Some(if error == 0.0 { 0.0 } else { 2.0 * student.cdf(-(slope / error).abs()) })
    });
    Ok(Line { slope, intercept, r_squared, slope_error, intercept_error, p })
}

/// How many values are in each of the bins between `edges`; the last one holds its upper edge too, as NumPy has it. Values outside count nowhere.
///
/// # Errors
/// Fewer than two edges, or edges that don't rise; values that are not finite.
pub fn histogram(values: &[f64], edges: &[f64]) -> Result<Vec<usize>> {
    check(values)?;
    if edges.len() < 2 || edges.windows(2).any(|pair| pair[0] >= pair[1] || !pair[1].is_finite()) {
        return Err(Error::new("the edges of bins are two numbers or more, each larger than the one before"));
    }
    let mut counts = vec![0; edges.len() - 1];
    let last = edges[edges.len() - 1];
    for &value in values.iter().filter(|value| **value >= edges[0] && **value <= last) {
        let bin = edges.partition_point(|edge| *edge <= value);
        counts[bin.clamp(1, edges.len() - 1) - 1] += 1;
    }
    Ok(counts)
}

/// The edges of so many bins of one width over all values; half a unit to either side of values that are all equal, as NumPy has it.
///
/// # Errors
/// No bins; values that are not finite.
pub fn bin_edges(values: &[f64], bins: usize) -> Result<Vec<f64>> {
    check(values)?;
    if bins == 0 {
        return Err(Error::new("a histogram of no bins: expected 1 or more"));
    }
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (low, high) = if low == high { (low - 0.5, high + 0.5) } else { (low, high) };
    let edge = |index: usize| if index == bins { high } else { low + (high - low) * index as f64 / bins as f64 };
    Ok((0..=bins).map(edge).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: [f64; 9] = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30];
    const Y: [f64; 9] = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.15, 1.29];

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found}, scipy says {expected}");
    }

    #[test]
    fn correlations_agree_with_scipy() {
        // scipy.stats.pearsonr(X, Y), its confidence_interval(0.95); scipy.stats.spearmanr(X, Y)
        let found = correlation(&X, &Y, 0.95).unwrap();
        near(found.r, 0.8477186520128115);
        near(found.p, 0.003896620366368763);
        near(found.interval.unwrap().low, 0.42011911552900555);
        near(found.interval.unwrap().high, 0.9672755086232774);
        let found = rank_correlation(&X, &Y).unwrap();
        near(found.r, 0.6470816712483338);
        near(found.p, 0.05959221388500858);
        assert!(correlation(&X, &[1.0; 9], 0.95).unwrap_err().to_string().contains("all equal"));
    }

    #[test]
    fn lines_agree_with_scipy() {
        // scipy.stats.linregress(x, y)
        let found = linear_fit(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2.1, 3.9, 6.2, 7.8, 10.1, 12.2]).unwrap();
        near(found.slope, 2.02);
        near(found.intercept, -0.02);
        near(found.r_squared, 0.9991049324808179f64.powi(2));
        near(found.p.unwrap(), 1.2013602560217847e-06);
        near(found.slope_error.unwrap(), 0.04276179870599006);
        near(found.intercept_error.unwrap(), 0.16653327995729902);
        assert_eq!(linear_fit(&[1.0, 2.0], &[3.0, 5.0]).unwrap().p, None);
    }

    #[test]
    fn histograms_agree_with_numpy() {
        let values = [1.0, 2.0, 2.5, 3.0, 4.0, 10.0];
        let edges = bin_edges(&values, 3).unwrap();
        assert_eq!((edges.as_slice(), histogram(&values, &edges).unwrap()), (&[1.0, 4.0, 7.0, 10.0][..], vec![4, 1, 1]));
        assert_eq!(histogram(&values, &[0.0, 2.0, 4.0, 5.0]).unwrap(), [1, 3, 1]);
        assert_eq!(bin_edges(&[2.0, 2.0], 1).unwrap(), [1.5, 2.5]);
        assert!(histogram(&values, &[2.0, 1.0]).is_err());
    }
}
