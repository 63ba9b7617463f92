//! Charts and tables: described by maps, drawn and typeset by `artifact`.

use super::directory::Run;
use super::failure::Answer;
use super::host::Host;
use super::values::to_data;
use crate::artifact::{BarPanels, LineChart, Table, latex, number};
use crate::error::{At, Error, Result};
use rhai::plugin::*;
use rhai::{Array, FLOAT, INT, Map};
use serde::de::DeserializeOwned;

/// What a map describes.
fn described<T: DeserializeOwned>(what: &str, map: &Dynamic) -> Result<T> {
    let data = to_data(map).at(what)?;
    serde_yaml::from_value(data).map_err(|error| Error::new(error.to_string()).at(what))
}

fn number_of(value: &Dynamic) -> Result<f64> {
    let number = value.as_float().ok().or_else(|| value.as_int().ok().map(|value| value as FLOAT));
    number.ok_or_else(|| Error::new(format!("expected a number, and got {}", super::values::described(value))))
}

#[export_module]
pub(super) mod api {
    /// Draws lines into a PNG of the run directory. The map: `x` and `y` (each `label`, and optionally `scale` of `"linear"`, `"log2"`,
    /// `"log10"`, `ticks`, `low`, `high`, `from_zero`), `series` (each `name`, `points` of `[x, y]` or `[x, y, low, high]` or maps, and
    /// optionally `line`, `markers`, `band`, `color`, `marker`, `dash`), optionally `title` and `size`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let run = run_directory("example");
    /// run.line_chart("speed.png", #{
    ///     x: #{ label: "Prompt length (tokens)", scale: "log2" },
    ///     y: #{ label: "Throughput (tokens/s)" },
    ///     series: [#{ name: "student", points: [[128, 24.1], [512, 22.8, 22.0, 23.5]] }],
    /// });
    /// ```
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn line_chart(run: &mut Run, name: &str, chart: Map) -> Answer<()> {
        let chart: LineChart = described(name, &chart.into())?;
        Ok(chart.write(&run.file(name)?)?)
    }

    /// Draws panels of bars into a PNG of the run directory. The map: `panels` (each `title`, `note`, `label`, and `bars` of `name`, `value`
    /// and optionally `low`, `high`, `text`, `color`), optionally `title`, `columns` and `size`.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn bar_chart(run: &mut Run, name: &str, chart: Map) -> Answer<()> {
        let chart: BarPanels = described(name, &chart.into())?;
        Ok(chart.write(&run.file(name)?)?)
    }

    /// Writes tables as LaTeX (booktabs), one file for all. Each is a map: `columns` (names, or maps with `name`, `align`, `digits`), `rows`
    /// (cells: text, numbers, `()`, or maps with `value`, `error`, `low`, `high`, `digits`, `bold`), optionally `caption`, `label`, `note`,
    /// `wide`, `groups`.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn latex_tables(run: &mut Run, name: &str, tables: Array) -> Answer<()> {
        let tables = tables.iter().map(|table| described::<Table>(name, table)).collect::<Result<Vec<_>>>()?;
        Ok(latex::write(&run.file(name)?, &tables)?)
    }

    /// Prints a table, in the shape that `latex_tables` takes.
    ///
    /// # Example
    /// ```rhai
    /// print_table(#{ columns: ["Kind", "MB"], rows: [["fp16", 22.5], ["q8", 11.95]] });
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn print_table(context: NativeCallContext, table: Map) -> Answer<()> {
        let table: Table = described("the table", &table.into())?;
        Host::of(&context)?.print(&table.show()?);
        Ok(())
    }

    /// A table as plain text.
    #[rhai_fn(return_raw)]
    pub fn table_text(table: Map) -> Answer<String> {
        let table: Table = described("the table", &table.into())?;
        Ok(table.text(None)?)
    }

    /// With so many significant digits, grouped by thousands: `1.27`, `12,346`.
    ///
    /// # Example
    /// ```rhai
    /// assert(digits(12345.6, 3) == "12,346" && digits(0.0123456, 3) == "0.0123", "three digits");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn digits(value: Dynamic, count: INT) -> Answer<String> {
        let count = super::super::values::count("digits", count)?.clamp(1, 17);
        Ok(match value.as_int() {
            Ok(value) => number::integer(value),
            Err(_) => number::significant(number_of(&value)?, count),
        })
    }

    /// With so many decimals, grouped by thousands.
    ///
    /// # Example
    /// ```rhai
    /// assert(fixed(2.0 / 3.0, 2) == "0.67", "two decimals");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn fixed(value: Dynamic, decimals: INT) -> Answer<String> {
        let decimals = super::super::values::count("decimals", decimals)?.min(17);
        Ok(number::fixed(number_of(&value)?, decimals))
    }

    /// A ratio as text: `1.27x`.
    #[rhai_fn(return_raw)]
    pub fn ratio_text(ratio: Dynamic) -> Answer<String> {
        Ok(number::ratio(number_of(&ratio)?))
    }

    /// A ratio as a change: 1.27 is `+27.0 %`.
    #[rhai_fn(return_raw)]
    pub fn change_text(ratio: Dynamic) -> Answer<String> {
        Ok(number::change(number_of(&ratio)?))
    }

    /// Bytes in the unit that suits: `12.3 MB`. KB, MB and GB are 2^10, 2^20 and 2^30 bytes.
    #[rhai_fn(return_raw)]
    pub fn bytes_text(count: Dynamic) -> Answer<String> {
        Ok(number::bytes(number_of(&count)?))
    }

    /// Milliseconds in the unit that suits: `12.3 ms`, `1.50 s`.
    #[rhai_fn(return_raw)]
    pub fn ms_text(ms: Dynamic) -> Answer<String> {
        Ok(number::milliseconds(number_of(&ms)?))
    }

    /// A value and how far it may be off: `12.36 ± 0.56`.
    #[rhai_fn(return_raw)]
    pub fn plus_minus(value: Dynamic, error: Dynamic) -> Answer<String> {
        Ok(number::plus_minus(number_of(&value)?, number_of(&error)?))
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
