//! Statistics of repeated measurements: of packed numbers, and of arrays.

use super::failure::Answer;
use super::numbers::Numbers;
use super::values::{Options, count, floats};
use crate::error::{Result, unknown};
use crate::statistics::{self, Correlation, Interval, Resampling, Statistic, TTest};
use rhai::plugin::*;
use rhai::{FLOAT, INT, Map};

fn interval_map(interval: Interval) -> Map {
    Map::from_iter([("low".into(), interval.low.into()), ("high".into(), interval.high.into()), ("level".into(), interval.level.into())])
}

fn optional(interval: Option<Interval>) -> Dynamic {
    interval.map_or(Dynamic::UNIT, |interval| interval_map(interval).into())
}

fn resampling(options: &mut Options) -> Result<Resampling> {
    let plain = Resampling::default();
    Ok(Resampling {
        level: options.float("level")?.unwrap_or(plain.level),
        resamples: options.count("resamples")?.unwrap_or(plain.resamples),
        seed: options.integer("seed")?.map_or(plain.seed, |seed| seed as u64),
    })
}

fn t_map(found: TTest) -> Map {
    Map::from_iter([
        ("difference".into(), found.difference.into()),
        ("interval".into(), interval_map(found.interval).into()),
        ("t".into(), found.t.into()),
        ("df".into(), found.freedom.into()),
        ("p".into(), found.p.into()),
    ])
}

fn correlation_map(found: Correlation) -> Map {
    Map::from_iter([
        ("r".into(), found.r.into()),
        ("p".into(), found.p.into()),
        ("interval".into(), optional(found.interval)),
        ("pairs".into(), (found.pairs as INT).into()),
    ])
}

fn histogram_of(values: &[f64], edges: &[f64]) -> Answer<Map> {
    let counts = statistics::histogram(values, edges)?.into_iter().map(|count| Dynamic::from(count as INT)).collect();
    Ok(Map::from_iter([("counts".into(), Dynamic::from_array(counts)), ("edges".into(), Dynamic::from(Numbers::from(edges.to_vec())))]))
}

#[export_module]
pub(super) mod api {
    /// The arithmetic mean.
    #[rhai_fn(name = "mean", return_raw)]
    pub fn mean(values: Dynamic) -> Answer<FLOAT> {
        Ok(statistics::mean(&floats(&values)?)?)
    }

    /// The mean of `values`, each counting as often as its weight says: losses of blocks by their tokens.
    ///
    /// # Example
    /// ```rhai
    /// assert(weighted_mean([2.0, 4.0], [3, 1]) == 2.5, "three to one");
    /// ```
    #[rhai_fn(name = "weighted_mean", return_raw)]
    pub fn weighted_mean(values: Dynamic, weights: Dynamic) -> Answer<FLOAT> {
        Ok(statistics::weighted_mean(&floats(&values)?, &floats(&weights)?)?)
    }

    /// The standard deviation of the sample (divisor `n - 1`): two values at least.
    #[rhai_fn(name = "std", return_raw)]
    pub fn std(values: Dynamic) -> Answer<FLOAT> {
        Ok(statistics::standard_deviation(&floats(&values)?)?)
    }

    /// The middle value, or the mean of the two in the middle.
    #[rhai_fn(name = "median", return_raw)]
    pub fn median(values: Dynamic) -> Answer<FLOAT> {
        Ok(statistics::median(&floats(&values)?)?)
    }

    /// The value below which a proportion (0 to 1) of the values lies, as NumPy and R have it.
    ///
    /// # Example
    /// ```rhai
    /// assert([5, 1, 3].quantile(0.5) == 3.0, "the median");
    /// ```
    #[rhai_fn(name = "quantile", return_raw)]
    pub fn quantile(values: Dynamic, proportion: FLOAT) -> Answer<FLOAT> {
        Ok(statistics::quantile(&floats(&values)?, proportion)?)
    }

    /// What a table says of repeated measurements: `count`, `mean`, `std`, `min`, `max`, `median`, `p90`, `p99`, and `interval` (`low`,
    /// `high`, `level`), which is Student's of the mean at 95 %. A single value has no spread: its `std` and `interval` are `()`.
    ///
    /// # Example
    /// ```rhai
    /// let times = summary([5.1, 5.3, 5.0]);
    /// assert(times.count == 3 && times.median == 5.1, "of three");
    /// ```
    #[rhai_fn(name = "summary", return_raw)]
    pub fn summary(values: Dynamic) -> Answer<Map> {
        let summary = statistics::summary(&floats(&values)?)?;
        Ok(Map::from_iter([
            ("count".into(), (summary.count as INT).into()),
            ("mean".into(), summary.mean.into()),
            ("std".into(), summary.std.map_or(Dynamic::UNIT, Dynamic::from)),
            ("min".into(), summary.min.into()),
            ("max".into(), summary.max.into()),
            ("median".into(), summary.median.into()),
            ("p90".into(), summary.p90.into()),
            ("p99".into(), summary.p99.into()),
            ("interval".into(), optional(summary.interval)),
        ]))
    }

    /// Student's t interval of the mean: `low`, `high`, `level`.
    #[rhai_fn(name = "mean_interval", return_raw)]
    pub fn mean_interval(values: Dynamic, level: FLOAT) -> Answer<Map> {
        Ok(interval_map(statistics::mean_interval(&floats(&values)?, level)?))
    }

    /// The bootstrap interval (BCa) of the mean: `low`, `high`, `level`.
    #[rhai_fn(name = "bootstrap", return_raw)]
    pub fn bootstrap_mean(values: Dynamic) -> Answer<Map> {
        bootstrap(values, Map::new())
    }

    /// The bootstrap interval (BCa). Options: `of` (`"mean"`, `"median"`, or a quantile's proportion), `level` (0.95), `resamples` (10000),
    /// `seed` (0).
    ///
    /// # Example
    /// ```rhai
    /// let interval = [5.1, 5.3, 5.0, 5.2, 5.4].bootstrap(#{ of: "median", seed: 1 });
    /// assert(interval.low <= 5.2 && 5.2 <= interval.high, "around the median");
    /// ```
    #[rhai_fn(name = "bootstrap", return_raw)]
    pub fn bootstrap(values: Dynamic, options: Map) -> Answer<Map> {
        let mut options = Options::new("bootstrap option", options);
        let statistic = match options.take("of") {
            None => Statistic::Mean,
            Some(of) => match (of.as_float(), of.into_immutable_string()) {
                (Ok(proportion), _) => Statistic::Quantile(proportion),
                (_, Ok(name)) => match name.as_str() {
                    "mean" => Statistic::Mean,
                    "median" => Statistic::Quantile(0.5),
                    other => return Err(unknown("statistic", other, ["mean", "median"]).into()),
                },
                _ => return Err(crate::Error::new("`of` is a statistic's name or a proportion").into()),
            },
        };
        let resampling = resampling(&mut options)?;
        options.finish()?;
        Ok(interval_map(statistics::bootstrap(&floats(&values)?, statistic, &resampling)?))
    }

    /// How much larger A is than B, where run `i` of both was measured under the same conditions: `ratio` (the geometric mean of
    /// `a[i] / b[i]`), `interval` (95 %; `()` for one pair), `pairs`, and `differs` (the interval leaves 1 out).
    ///
    /// # Example
    /// ```rhai
    /// let speedup = paired_ratio([10.2, 11.1, 9.9], [5.0, 5.6, 5.0]);
    /// assert(speedup.differs && (speedup.ratio - 2.0).abs() < 0.02, "twice");
    /// ```
    #[rhai_fn(name = "paired_ratio", return_raw)]
    pub fn paired_ratio(a: Dynamic, b: Dynamic) -> Answer<Map> {
        let found = statistics::paired_ratio(&floats(&a)?, &floats(&b)?, 0.95)?;
        Ok(Map::from_iter([
            ("ratio".into(), found.ratio.into()),
            ("interval".into(), optional(found.interval)),
            ("pairs".into(), (found.pairs as INT).into()),
            ("differs".into(), found.differs().into()),
        ]))
    }

    /// How much larger A is than B, measured in the same rounds: `ratio` (the median of `a[i] / b[i]`), `interval` (95 %, bootstrapped over rounds;
    /// Student's for fewer than ten rounds; `()` for one), `pairs` and `differs` (the interval leaves 1 out).
    ///
    /// # Example
    /// ```rhai
    /// let slower = round_ratio([11.0, 22.1, 33.2], [10.0, 20.0, 30.0]);
    /// assert(slower.differs && slower.ratio > 1.09 && slower.ratio < 1.12, "a tenth, in every round");
    /// ```
    #[rhai_fn(name = "round_ratio", return_raw)]
    pub fn round_ratio(a: Dynamic, b: Dynamic) -> Answer<Map> {
        round_ratio_with(a, b, Map::new())
    }

    /// As `round_ratio(a, b)`; options as those of `bootstrap`: `level`, `resamples`, `seed`.
    #[rhai_fn(name = "round_ratio", return_raw)]
    pub fn round_ratio_with(a: Dynamic, b: Dynamic, options: Map) -> Answer<Map> {
        let mut options = Options::new("round_ratio option", options);
        let resampling = resampling(&mut options)?;
        options.finish()?;
        let found = statistics::round_ratio(&floats(&a)?, &floats(&b)?, &resampling)?;
        Ok(Map::from_iter([
            ("ratio".into(), found.ratio.into()),
            ("interval".into(), optional(found.interval)),
            ("pairs".into(), (found.pairs as INT).into()),
            ("differs".into(), found.differs().into()),
        ]))
    }

    /// How much larger A is than B on the same samples: `difference` (the mean of `a[i] - b[i]`), `interval` (95 %, bootstrapped over the samples;
    /// `()` for one), `pairs` and `differs` (the interval leaves 0 out). Options: `group` (1: so many neighbours are drawn together, since
    /// samples that overlap are no independent witnesses), and those of `bootstrap`.
    ///
    /// # Example
    /// ```rhai
    /// let found = paired_difference([3.02, 4.03, 5.01, 2.02], [3.0, 4.0, 5.0, 2.0], #{ seed: 1 });
    /// assert(found.differs && (found.difference - 0.02).abs() < 1e-9, "little, but always");
    /// ```
    #[rhai_fn(name = "paired_difference", return_raw)]
    pub fn paired_difference(a: Dynamic, b: Dynamic, options: Map) -> Answer<Map> {
        let mut options = Options::new("paired_difference option", options);
        let group = options.count("group")?.unwrap_or(1);
        let resampling = resampling(&mut options)?;
        options.finish()?;
        let found = statistics::paired_difference(&floats(&a)?, &floats(&b)?, group, &resampling)?;
        Ok(Map::from_iter([
            ("difference".into(), found.difference.into()),
            ("interval".into(), optional(found.interval)),
            ("pairs".into(), (found.pairs as INT).into()),
            ("differs".into(), found.differs().into()),
        ]))
    }

    /// Two ways of answering the same questions, right or wrong: `difference` (the share that A has right, less B's), `interval` (95 %), `p`
    /// (McNemar's exact test), `only_a`, `only_b` and `pairs`.
    ///
    /// # Example
    /// ```rhai
    /// let found = mcnemar([true, true, true, false], [true, false, false, false]);
    /// assert(found.difference == 0.5 && found.only_a == 2 && found.p > 0.49, "two of four, which says little");
    /// ```
    #[rhai_fn(name = "mcnemar", return_raw)]
    pub fn mcnemar(a: rhai::Array, b: rhai::Array) -> Answer<Map> {
        let truths = |values: &rhai::Array| -> Answer<Vec<bool>> {
            let truth = |value: &Dynamic| match value.as_bool() {
                Ok(truth) => Ok(truth),
                Err(_) => {
                    Err(crate::Error::new(format!("an answer is {}: expected true or false", super::super::values::described(value)))
                        .into())
                }
            };
            values.iter().map(truth).collect()
        };
        let found = statistics::mcnemar(&truths(&a)?, &truths(&b)?, 0.95)?;
        let count = |value: usize| Dynamic::from(value as INT);
        Ok(Map::from_iter([
            ("difference".into(), found.difference.into()),
            ("interval".into(), interval_map(found.interval).into()),
            ("p".into(), found.p.into()),
            ("only_a".into(), count(found.only[0])),
            ("only_b".into(), count(found.only[1])),
            ("pairs".into(), count(found.pairs)),
        ]))
    }

    /// The indices of values that are far from the median (modified Z-score): another program was busy.
    #[rhai_fn(name = "outliers", return_raw)]
    pub fn outliers(values: Dynamic) -> Answer<rhai::Array> {
        Ok(statistics::outliers(&floats(&values)?)?.into_iter().map(|index| (index as INT).into()).collect())
    }

    /// A sentence for the user when measurements are disturbed, `()` when all is well. `what` names them: `"decode times"`.
    #[rhai_fn(name = "outlier_warning", return_raw)]
    pub fn outlier_warning(values: Dynamic, what: &str) -> Answer<Dynamic> {
        Ok(statistics::outlier_warning(what, &floats(&values)?)?.map_or(Dynamic::UNIT, Into::into))
    }

    /// Welch's t-test of two groups, which may differ in number and spread: `difference` (of the means), `interval` (95 %), `t`, `df`, `p` (two-sided).
    ///
    /// # Example
    /// ```rhai
    /// let found = t_test([12.1, 11.8, 12.6, 13.9], [12.9, 13.2, 13.1, 13.6, 12.8]);
    /// assert(found.p > 0.1 && found.difference < 0.0, "not beyond chance");
    /// ```
    #[rhai_fn(name = "t_test", return_raw)]
    pub fn t_test(a: Dynamic, b: Dynamic) -> Answer<Map> {
        Ok(t_map(statistics::t_test(&floats(&a)?, &floats(&b)?, 0.95)?))
    }

    /// Student's t-test of pairs: value `i` of both was measured under the same conditions. Returns what `t_test` does.
    ///
    /// # Example
    /// ```rhai
    /// assert(paired_t_test([10.1, 11.2, 12.1], [10.0, 11.0, 12.0]).p < 0.1, "little, but always");
    /// ```
    #[rhai_fn(name = "paired_t_test", return_raw)]
    pub fn paired_t_test(a: Dynamic, b: Dynamic) -> Answer<Map> {
        Ok(t_map(statistics::paired_t_test(&floats(&a)?, &floats(&b)?, 0.95)?))
    }

    /// Wilcoxon's signed-rank test of pairs, which need not be normal: `statistic`, `p` (two-sided, exact up to 50 pairs), `pairs` (those that differ).
    ///
    /// # Example
    /// ```rhai
    /// assert(wilcoxon([1.83, 0.50, 1.62, 2.48], [0.878, 0.647, 0.598, 2.05]).p == 0.25, "four pairs say little");
    /// ```
    #[rhai_fn(name = "wilcoxon", return_raw)]
    pub fn wilcoxon(a: Dynamic, b: Dynamic) -> Answer<Map> {
        let found = statistics::wilcoxon(&floats(&a)?, &floats(&b)?)?;
        Ok(Map::from_iter([
            ("statistic".into(), found.statistic.into()),
            ("p".into(), found.p.into()),
            ("pairs".into(), (found.pairs as INT).into()),
        ]))
    }

    /// Pearson's correlation: `r`, `p` (two-sided), `interval` (95 %; `()` for fewer than four pairs), `pairs`.
    ///
    /// # Example
    /// ```rhai
    /// assert(correlation([1, 2, 3, 4], [2, 4, 6, 9]).r > 0.98, "together");
    /// ```
    #[rhai_fn(name = "correlation", name = "corrcoef", return_raw)]
    pub fn correlation(x: Dynamic, y: Dynamic) -> Answer<Map> {
        Ok(correlation_map(statistics::correlation(&floats(&x)?, &floats(&y)?, 0.95)?))
    }

    /// Spearman's correlation, that of the ranks: `r`, `p`, `pairs`; `interval` is `()`.
    ///
    /// # Example
    /// ```rhai
    /// assert(rank_correlation([1, 2, 3], [1, 10, 100]).r == 1.0, "always larger");
    /// ```
    #[rhai_fn(name = "rank_correlation", name = "spearman", return_raw)]
    pub fn rank_correlation(x: Dynamic, y: Dynamic) -> Answer<Map> {
        Ok(correlation_map(statistics::rank_correlation(&floats(&x)?, &floats(&y)?)?))
    }

    /// The line of least squares, `y = slope * x + intercept`: `slope`, `intercept`, `r_squared`, `slope_error`, `intercept_error` and `p` (of no slope).
    ///
    /// # Example
    /// ```rhai
    /// let line = linear_fit([1, 2, 3], [3.0, 5.0, 7.0]);
    /// assert((line.slope - 2.0).abs() < 1e-12 && (line.intercept - 1.0).abs() < 1e-12, "2 x + 1");
    /// ```
    #[rhai_fn(name = "linear_fit", name = "linregress", return_raw)]
    pub fn linear_fit(x: Dynamic, y: Dynamic) -> Answer<Map> {
        let line = statistics::linear_fit(&floats(&x)?, &floats(&y)?)?;
        let optional = |value: Option<f64>| value.map_or(Dynamic::UNIT, Dynamic::from);
        Ok(Map::from_iter([
            ("slope".into(), line.slope.into()),
            ("intercept".into(), line.intercept.into()),
            ("r_squared".into(), line.r_squared.into()),
            ("slope_error".into(), optional(line.slope_error)),
            ("intercept_error".into(), optional(line.intercept_error)),
            ("p".into(), optional(line.p)),
        ]))
    }

    /// How many values lie in each of `bins` bins of one width: `counts` and `edges`, one more than bins. (`run.histogram` draws one.)
    ///
    /// # Example
    /// ```rhai
    /// assert(histogram([1, 2, 2.5, 3, 4, 10], 3).counts == [4, 1, 1], "as NumPy has it");
    /// ```
    #[rhai_fn(name = "histogram", return_raw)]
    pub fn histogram(values: Dynamic, bins: INT) -> Answer<Map> {
        let values = floats(&values)?;
        let bins = count("the number of bins", bins)?;
        crate::limits::room("the histogram", bins as u64 * 32)?;
        histogram_of(values.as_slice(), &statistics::bin_edges(&values, bins)?)
    }

    /// As above, of bins between these edges; values outside of them count nowhere.
    ///
    /// # Example
    /// ```rhai
    /// assert(histogram([1, 2, 2.5, 3, 4, 10], [0, 2, 4, 5]).counts == [1, 3, 1], "ten is outside");
    /// ```
    #[rhai_fn(name = "histogram", return_raw)]
    pub fn histogram_between(values: Dynamic, edges: rhai::Array) -> Answer<Map> {
        histogram_of(&floats(&values)?, &floats(&Dynamic::from_array(edges))?)
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
