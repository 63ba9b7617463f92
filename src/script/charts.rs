//! Charts and tables: described by maps, drawn and typeset by `artifact`.

use super::described::described;
use super::directory::Run;
use super::failure::Answer;
use super::host::Host;
use crate::artifact::{Chart, Heatmap, Histogram, LineChart, Panels, Table, html, latex, number};
use crate::error::{Error, Result};
use crate::terminal;
use rhai::plugin::*;
use rhai::{Array, FLOAT, INT, Map};
use serde::de::DeserializeOwned;

/// Draws what a map describes into files of the run directory.
fn draw<T: Chart + DeserializeOwned>(run: &Run, name: &str, chart: Map) -> Answer<()> {
    let chart: T = described(name, &chart.into())?;
    chart.write(&run.file(name)?)?;
    Ok(())
}

/// Whether a map describes the chart that this function draws.
///
/// # Errors
/// What is wrong with it.
pub(super) fn fits(function: &str, chart: Map) -> Result<()> {
    let map = chart.into();
    match function {
        "line_chart" => described::<LineChart>(function, &map).map(drop),
        "histogram" => described::<Histogram>(function, &map).map(drop),
        "heatmap" => described::<Heatmap>(function, &map).map(drop),
        _ => Ok(()),
    }
}

/// Where the first NaN of a description is: `panels[0].bars[1].value`.
fn not_a_number(place: &str, value: &Dynamic) -> Option<String> {
    if let Ok(number) = value.as_float() {
        return number.is_nan().then(|| place.trim_start_matches('.').to_owned());
    }
    if let Ok(array) = value.as_array_ref() {
        return array.iter().enumerate().find_map(|(index, value)| not_a_number(&format!("{place}[{index}]"), value));
    }
    value.as_map_ref().ok()?.iter().find_map(|(name, value)| not_a_number(&format!("{place}.{name}"), value))
}

fn number_of(value: &Dynamic) -> Result<f64> {
    let number = value.as_float().ok().or_else(|| value.as_int().ok().map(|value| value as FLOAT));
    number.ok_or_else(|| Error::new(format!("expected a number, and got {}", super::values::described(value))))
}

#[export_module]
pub(super) mod api {
    /// Draws lines into a file of the run directory: `name.png` also writes name.pdf and name.svg beside it, a name that ends in `.pdf` or
    /// `.svg` that one. The map: `x` and `y` (each `label`, and optionally `scale` of `"linear"`, `"log2"`, `"log10"`, `ticks`, `low`, `high`,
    /// `from_zero`), `series` (each `name`, `points` of `[x, y]` or `[x, y, low, high]` or maps with `x`, `y`, `low`, `high`, `label`, and
    /// optionally `line`, `markers`, `band`, `color`, `marker`, `dash`), optionally `title` and `size` (`width` and `height` in inches,
    /// `dpi`). A missing `y` (`()`, NaN) is a gap.
    ///
    /// A series that is a pair of two things says so with `group` and `kind`: groups have colours, kinds dashes and markers, and the legend
    /// is as long as both rather than as all pairs. More than eight such pairs stand in a panel for each kind, a page wide (`panels`: `true` or `false` decides).
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
        draw::<LineChart>(run, name, chart)
    }

    /// Draws points, not joined: the map is that of `line_chart`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let run = run_directory("example");
    /// run.scatter_chart("tradeoff.png", #{
    ///     x: #{ label: "KV cache (bytes/token)", scale: "log2" },
    ///     y: #{ label: "Perplexity" },
    ///     series: [
    ///         #{ name: "teacher", points: [#{ x: 23040, y: 12.76, label: "fp16" }, #{ x: 12240, y: 12.77, label: "q8" }] },
    ///         #{ name: "student", points: [#{ x: 14400, y: 13.53, low: 13.3, high: 13.8, label: "fp16" }] },
    ///     ],
    /// });
    /// ```
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn scatter_chart(run: &mut Run, name: &str, chart: Map) -> Answer<()> {
        let chart: LineChart = described(name, &chart.into())?;
        chart.scattered().write(&run.file(name)?)?;
        Ok(())
    }

    /// Draws panels of bars into files of the run directory (see `line_chart` for the names). The map: `panels` (each `title`, `note`, `label`,
    /// and `bars` of `name`, `value` and optionally `low`, `high`, `text`, `color`), optionally `title`, `columns` and `size`.
    ///
    /// A panel may have `ratio` as well: `label` and `points` like bars, which stand beside the bars on an axis of their own, with the
    /// intervals of paired measurements. With `scale` of `"log2"` or `"log10"` the values are points on stems.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let run = run_directory("example");
    /// run.bar_chart("speed.png", #{ panels: [#{
    ///     title: "Throughput", note: "higher is better", label: "Tokens/s",
    ///     bars: [#{ name: "teacher", value: 74.1, low: 70.2, high: 78.0 }, #{ name: "student", value: 82.0, low: 77.5, high: 86.3 }],
    ///     ratio: #{ label: "Student / teacher", points: [#{ name: "student", value: 1.107, low: 1.09, high: 1.12 }] },
    /// }] });
    /// ```
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn bar_chart(run: &mut Run, name: &str, chart: Map) -> Answer<()> {
        if let Some(place) = not_a_number("", &Dynamic::from(chart.clone())) {
            terminal::note(&format!("{name}: `{place}` is NaN, and stands as n/a in the chart"));
        }
        draw::<Panels>(run, name, chart)
    }

    /// Draws panels of boxes, which show how samples are spread. The map is that of `bar_chart`, with `boxes` of `name` and `values` (numbers)
    /// for `bars`; panels of bars may stand beside them.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let run = run_directory("example");
    /// run.box_chart("decode.png", #{ panels: [#{ label: "Decode (ms/token)", boxes: [
    ///     #{ name: "teacher", values: [13.5, 13.1, 13.9, 13.6, 14.8] },
    ///     #{ name: "student", values: [12.2, 12.1, 12.4, 12.0, 12.9] },
    /// ] }] });
    /// ```
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn box_chart(run: &mut Run, name: &str, chart: Map) -> Answer<()> {
        draw::<Panels>(run, name, chart)
    }

    /// Draws how often values fall where. The map: `x` (an axis, as in `line_chart`), `series` (each `values` and optionally `name`, `color`),
    /// optionally `label` of the vertical axis, `bins` (how many), `share` (of each series' values, rather than how many), `title`, `size`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let run = run_directory("example");
    /// run.histogram("losses.png", #{
    ///     x: #{ label: "Loss of a token (nats)" },
    ///     series: [#{ name: "teacher", values: [0.1, 2.2, 1.4, 0.3, 5.1, 0.9] }, #{ name: "student", values: [0.2, 2.4, 1.5, 0.3, 5.5, 1.1] }],
    /// });
    /// ```
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn histogram(run: &mut Run, name: &str, chart: Map) -> Answer<()> {
        draw::<Histogram>(run, name, chart)
    }

    /// Draws a grid of colours. The map: `x` and `y` (each optionally `label`, and `names` of the columns and rows), `values` (a list for each
    /// row, from the top), `label` of the colours, optionally `scale`, `low`, `high`, `show` (the values in their cells), `digits`, `title`,
    /// `size`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let run = run_directory("example");
    /// run.heatmap("entropy.png", #{
    ///     x: #{ label: "Head" }, y: #{ label: "Layer" }, label: "Entropy of attention (nats)",
    ///     values: [[0.1, 2.5, 1.7], [3.1, 0.9, 0.4]],
    /// });
    /// ```
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn heatmap(run: &mut Run, name: &str, chart: Map) -> Answer<()> {
        draw::<Heatmap>(run, name, chart)
    }

    /// Writes tables as LaTeX (booktabs), one file for all. Each is a map: `columns` (names, or maps with `name`, `align`, `digits`), `rows`
    /// (cells: text, numbers, `()`, or maps with `value`, `error`, `low`, `high`, `digits`, `bold`), optionally `caption`, `label`, `note`,
    /// `wide`, `groups`.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn latex_tables(run: &mut Run, name: &str, tables: Array) -> Answer<()> {
        let tables = tables.iter().map(|table| described::<Table>(name, table)).collect::<Result<Vec<_>>>()?;
        Ok(latex::write(&run.file(name)?, &tables)?)
    }

    /// Writes a page for a person: one HTML file with everything in it. The map: `title`, optionally `lead` (the headline, in words) and
    /// `footer`, and `sections`, each with its `kind` and optionally a `title`: `"text"` (`text`: paragraphs), `"code"` (`text`), `"table"`
    /// (`table`, in the shape that `latex_tables` takes), `"chart"` (`file`: an SVG of this directory, `caption`, `alt`), `"list"` (`items`:
    /// text, or maps with `text`, `file` that it leads to, `passed`), `"details"` (`sections` that are folded in).
    ///
    /// # Example
    /// ```rhai,no_run
    /// let run = run_directory("example");
    /// run.line_chart("speed.png", #{ x: #{}, y: #{ label: "Tokens/s" }, series: [#{ name: "student", points: [[128, 24.1], [512, 22.8]] }] });
    /// run.html("report.html", #{
    ///     title: "A student and its teacher",
    ///     lead: "The student is faster, and needs a fifth of the memory.",
    ///     sections: [
    ///         #{ kind: "list", title: "Checklist", items: [#{ text: "faster than its teacher", passed: true }] },
    ///         #{ kind: "chart", title: "Speed", file: "speed.svg", caption: "Throughput over the length of the prompt." },
    ///         #{ kind: "table", title: "In numbers", table: #{ columns: ["Prompt", "Tokens/s"], rows: [[128, 24.1], [512, 22.8]] } },
    ///         #{ kind: "details", title: "How to reproduce it", sections: [#{ kind: "code", text: "caramba script speed.rhai" }] },
    ///     ],
    /// });
    /// ```
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn html(run: &mut Run, name: &str, page: Map) -> Answer<()> {
        let page: html::Page = described(name, &page.into())?;
        let path = run.file(name)?;
        Ok(page.write(path.parent().unwrap_or(&path), name)?)
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

    /// A table as plain text that is at most so many characters wide: text is broken into lines where it has to give way, numbers never are.
    ///
    /// # Example
    /// ```rhai
    /// assert(table_text(#{ columns: ["Kind", "MB"], rows: [["fp16", 22.5]] }, 80).contains("fp16  22.5"), "it fits");
    /// ```
    #[rhai_fn(name = "table_text", return_raw)]
    pub fn table_text_within(table: Map, width: INT) -> Answer<String> {
        let table: Table = described("the table", &table.into())?;
        let width = super::super::values::count("width", width)?.min(usize::from(u16::MAX));
        Ok(table.within(width as u16)?.trim_end().to_owned())
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
