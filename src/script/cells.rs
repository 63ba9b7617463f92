//! What a run consists of: its cells, in which order they are measured, by whom, and what is known of the place where they are.

use super::failure::Answer;
use super::host::{Host, Sink};
use super::values::{described, to_data};
use super::{Purpose, Shard};
use crate::artifact::json;
use crate::error::{At, Error, Result, unknown};
use crate::statistics::SplitMix64;
use rhai::plugin::*;
use rhai::{Array, FLOAT, INT, Map};
use sha2::{Digest, Sha256};

/// Digits of a cell's name: of a million cells two have the same with a probability of one in a billion billion.
const NAME_DIGITS: usize = 32;

/// How many runnable programs the machine had on average in the last minute, where the system says it.
fn load_average() -> Option<FLOAT> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split(' ').next()?.parse().ok()
}

fn host_name() -> Option<String> {
    let given = ["HOSTNAME", "COMPUTERNAME"].iter().find_map(|name| std::env::var(name).ok());
    let told = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    told().or(given).map(|name| name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// A row's value in a column, as text that tells values apart.
fn value_of(row: &Dynamic, column: &str) -> Option<String> {
    row.as_map_ref().ok().and_then(|row| row.get(column).map(ToString::to_string))
}

fn extreme(rows: &Array, column: &str, sign: FLOAT) -> Answer<Array> {
    let number = |row: &Dynamic| -> Result<FLOAT> {
        let value = row.as_map_ref().ok().and_then(|row| row.get(column).cloned()).unwrap_or_default();
        let number = value.as_float().ok().or_else(|| value.as_int().ok().map(|value| value as FLOAT));
        number.ok_or_else(|| Error::new(format!("the column `{column}` of a row is {}: expected a number", described(&value))))
    };
    let values = rows.iter().map(number).collect::<Result<Vec<_>>>()?;
    let most = values.iter().map(|value| value * sign).fold(FLOAT::NEG_INFINITY, FLOAT::max);
    Ok(rows.iter().zip(&values).filter(|(_, value)| **value * sign == most).map(|(row, _)| row.clone()).collect())
}

/// What a chart's options may be.
const CHART_OPTIONS: [&str; 11] = ["x", "y", "file", "title", "series", "low", "high", "x_label", "y_label", "x_scale", "y_scale"];

fn chart(kind: &str, rows: Array, options: Map) -> Answer<Map> {
    if let Some(name) = options.keys().find(|name| !CHART_OPTIONS.contains(&name.as_str())) {
        return Err(unknown("chart option", name, CHART_OPTIONS).into());
    }
    if let Some(missing) = ["x", "y"].iter().find(|name| !options.contains_key(**name)) {
        return Err(Error::new(format!("a chart has no `{missing}`")).remedy("give the columns that x and y are").into());
    }
    let mut chart = options;
    chart.insert("chart".into(), kind.to_owned().into());
    chart.insert("rows".into(), rows.into());
    Ok(chart)
}

#[export_module]
pub(super) mod api {
    /// Every combination of the values of a map of lists, the first name's changing slowest.
    ///
    /// # Example
    /// ```rhai
    /// let cells = grid(#{ depth: [0.1, 0.9], kind: ["fp16", "q8"] });
    /// assert(cells.len == 4 && cells[1] == #{ depth: 0.1, kind: "q8" }, "two times two");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn grid(axes: Map) -> Answer<Array> {
        let mut cells = vec![Map::new()];
        for (name, values) in axes {
            let Ok(values) = values.as_array_ref() else {
                let error = Error::new(format!("the axis `{name}` of a grid is {}: expected a list of its values", described(&values)));
                return Err(error.remedy(format!("write {name}: [value]")).into());
            };
            let with = |cell: &Map, value: &Dynamic| {
                let mut cell = cell.clone();
                cell.insert(name.clone(), value.clone());
                cell
            };
            cells = cells.iter().flat_map(|cell| values.iter().map(move |value| with(cell, value))).collect();
        }
        Ok(cells.into_iter().map(Dynamic::from_map).collect())
    }

    /// The rows whose `column` is that of the first row.
    ///
    /// # Example
    /// ```rhai
    /// let rows = [#{ kind: "fp16", length: 1 }, #{ kind: "q8", length: 1 }, #{ kind: "fp16", length: 2 }];
    /// assert(rows.with_first("kind").with_most("length") == [#{ kind: "fp16", length: 2 }], "one of three");
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn with_first(rows: &mut Array, column: &str) -> Answer<Array> {
        let Some(first) = rows.first().map(|row| value_of(row, column)) else { return Ok(Array::new()) };
        Ok(rows.iter().filter(|row| value_of(row, column) == first).cloned().collect())
    }

    /// The rows whose `column` is largest.
    #[rhai_fn(pure, return_raw)]
    pub fn with_most(rows: &mut Array, column: &str) -> Answer<Array> {
        extreme(rows, column, 1.0)
    }

    /// The rows whose `column` is smallest.
    #[rhai_fn(pure, return_raw)]
    pub fn with_least(rows: &mut Array, column: &str) -> Answer<Array> {
        extreme(rows, column, -1.0)
    }

    /// A chart of rows for a benchmark's `charts(rows)`: a line for each model and each value of the `series` columns. Options: `x` and `y`
    /// (columns), `file` (a name without its ending), `x_label`, `y_label`, `series` (a column, or a list of them), `low` and `high` (columns
    /// with the ends of an interval), `x_scale` and `y_scale` (`"linear"`, `"log2"`, `"log10"`), `title`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// fn charts(rows) { [line_chart(rows, #{ x: "depth", y: "found", series: "cache_kind" })] }
    /// ```
    #[rhai_fn(name = "line_chart", return_raw)]
    pub fn line_chart(rows: Array, options: Map) -> Answer<Map> {
        chart("line", rows, options)
    }

    /// As `line_chart`, but with a bar for each row: `y` is its height, `x` (a column, or a list of them) its name.
    #[rhai_fn(name = "bar_chart", return_raw)]
    pub fn bar_chart(rows: Array, options: Map) -> Answer<Map> {
        chart("bar", rows, options)
    }

    /// The status that caramba ends with when the script has ended: 3 says that something was held against a threshold and failed, 4 that
    /// something could not be measured. The largest one counts.
    #[rhai_fn(return_raw, volatile)]
    pub fn end_with(context: NativeCallContext, status: INT) -> Answer<()> {
        let host = Host::of(&context)?;
        host.status.set(host.status.get().max(u8::try_from(status).unwrap_or(1)));
        Ok(())
    }

    /// A list in another order, which the seed decides.
    ///
    /// # Example
    /// ```rhai
    /// let order = [1, 2, 3, 4].shuffled(7);
    /// assert(order.len == 4 && order == [1, 2, 3, 4].shuffled(7), "the same seed, the same order");
    /// ```
    #[rhai_fn(name = "shuffled", pure)]
    pub fn shuffled(list: &mut Array, seed: INT) -> Array {
        let (mut list, mut random) = (list.clone(), SplitMix64(seed as u64));
        // Fisher and Yates, as Durstenfeld has it.
        for last in (1..list.len()).rev() {
            list.swap(last, random.below(last + 1));
        }
        list
    }

    /// A name for what a value says: two values have the same one only if they are the same.
    ///
    /// # Example
    /// ```rhai
    /// assert(fingerprint(#{ a: 1, b: 2 }) == fingerprint(#{ b: 2, a: 1 }) && fingerprint(1) != fingerprint(2), "what they say");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn fingerprint(value: Dynamic) -> Answer<String> {
        let text = json::text(&to_data(&value).at("fingerprint")?)?;
        let mut hash = super::super::tokens::hex(&Sha256::digest(text.as_bytes()));
        hash.truncate(NAME_DIGITS);
        Ok(hash)
    }

    /// What the script is run for: `"run"`; `"check"`, to find mistakes without measuring anything; `"cells"` or `"cells as json"`, to list what
    /// would be measured.
    #[rhai_fn(return_raw, volatile)]
    pub fn purpose(context: NativeCallContext) -> Answer<String> {
        Ok(match Host::of(&context)?.options.purpose {
            Purpose::Run => "run",
            Purpose::Check => "check",
            Purpose::Cells { json: false } => "cells",
            Purpose::Cells { json: true } => "cells as json",
        }
        .to_owned())
    }

    /// The share of the cells that `--shard` asks for: `#{ index, of }`, or `()`.
    #[rhai_fn(return_raw, volatile)]
    pub fn shard(context: NativeCallContext) -> Answer<Dynamic> {
        let share = |Shard { index, of }: Shard| {
            Dynamic::from_map(Map::from_iter([("index".into(), (index as INT).into()), ("of".into(), (of as INT).into())]))
        };
        Ok(Host::of(&context)?.options.shard.map_or(Dynamic::UNIT, share))
    }

    /// The directory that `--resume` gave, or `""`.
    #[rhai_fn(return_raw, volatile)]
    pub fn resumed(context: NativeCallContext) -> Answer<String> {
        Ok(Host::of(&context)?.options.resume.as_ref().map_or_else(String::new, |path| path.display().to_string()))
    }

    /// The command line, as it can be typed again.
    #[rhai_fn(return_raw, volatile)]
    pub fn command_line(context: NativeCallContext) -> Answer<String> {
        Ok(Host::of(&context)?.command())
    }

    /// Where measurements are taken: `host` (its name, or `()`), `load` (programs that ran on average in the last minute, or `()`) and `time`
    /// (`2026-11-24T17:15:02Z`).
    #[rhai_fn(volatile)]
    pub fn machine() -> Map {
        Map::from_iter([
            ("host".into(), super::host_name().map_or(Dynamic::UNIT, Into::into)),
            ("load".into(), super::load_average().map_or(Dynamic::UNIT, Into::into)),
            ("time".into(), crate::artifact::now().into()),
        ])
    }

    /// The datasets and files of data that were opened since this was last called: `path` and `sha256` of each.
    #[rhai_fn(return_raw, volatile)]
    pub fn take_opened(context: NativeCallContext) -> Answer<Array> {
        let host = Host::of(&context)?;
        let entry = |path: std::path::PathBuf| -> Result<Dynamic> {
            let hash = host.file_hash(&path).at(path.display())?;
            let path = path.display().to_string();
            Ok(Dynamic::from_map(Map::from_iter([("path".into(), path.into()), ("sha256".into(), hash.into())])))
        };
        Ok(host.take_opened().into_iter().map(entry).collect::<Result<Array>>()?)
    }

    /// In `run(model, config)`: hands a row over, so that it is on the disk before the next one is measured.
    ///
    /// # Example
    /// ```rhai,no_run
    /// fn run(model, config) {
    ///     for depth in [0.1, 0.5, 0.9] { emit(#{ depth: depth, found: true }); }
    ///     #{ benchmark_id: "needle", metrics: #{ score: 1.0 } }
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn emit(context: NativeCallContext, row: Map) -> Answer<()> {
        Ok(Host::of(&context)?.emit(row)?)
    }

    /// What `emit` gets from here on goes to the journal of a run, as rows of the cell `key`, each with the values of `about` (`id`, `model`,
    /// `repeat`), and to a CSV file that has `columns` at first.
    #[rhai_fn(name = "receive", pure, return_raw, volatile)]
    pub fn receive(
        context: NativeCallContext,
        run: &mut super::super::directory::Run,
        key: &str,
        about: Map,
        file: &str,
        columns: Array,
    ) -> Answer<()> {
        let columns = super::super::directory::columns_of(&columns)?;
        let sink = Sink { run: run.0.clone(), key: key.to_owned(), about, file: file.to_owned(), columns, rows: Vec::new() };
        Host::of(&context)?.receive(Some(sink));
        Ok(())
    }

    /// The rows that were emitted since `receive`, which ends.
    #[rhai_fn(name = "received", pure, return_raw, volatile)]
    pub fn received(context: NativeCallContext, run: &mut super::super::directory::Run) -> Answer<Array> {
        let _ = run;
        let rows = Host::of(&context)?.receive(None);
        Ok(rows.into_iter().map(Dynamic::from_map).collect())
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
