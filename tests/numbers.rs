//! A number is the same number wherever a run has it: in its CSV file, on the terminal, in LaTeX, in charts, on the page, in the report.

mod common;

use common::cli::{artifacts, report, rows};
use common::runs::{directory, manifest, number, run};
use resvg::usvg::roxmltree;
use serde_json::Value;
use std::path::Path;

const BENCHMARKS: &str = "benchmarks:
- {id: p, config: {type: perplexity, dataset: models/austen/heldout.npy, block_size: 64, num_batches: 8, cache_kinds: [fp16, q4]}, models: [teacher, student]}
- {id: m, config: {type: memory, sequence_lengths: [32, 64], quantization_modes: [fp16, q8]}, models: [teacher, student]}
- {id: l, config: {type: latency, prompt_lengths: [16, 32], generation_lengths: [4], timed_runs: 3, max_runs: 3, warmup_runs: 1}, models: [teacher, student]}
- {id: own, config: {type: own}, models: [teacher, student]}
thresholds: [\"student.perplexity < 1000\"]";

const OWN: &str = "const PARAMETERS = #{ depths: [0.1, 0.5] };
fn cells(config) { grid(#{ depth: config.depths }) }
fn measure(model, cell, config) { #{ found: cell.depth / 3.0 * model.layers } }
";

/// A cell without what typesets it: `24.15\\phantom{0}` and `24.15`, `0.98$\\times$` and `0.98×` are the same.
fn plain(cell: &str) -> String {
    let (mut text, mut unseen) = (String::new(), 0);
    let mut rest = cell;
    while let Some(character) = rest.chars().next() {
        let step = match (unseen, character) {
            (0, '\\') if rest.starts_with("\\phantom{") => {
                unseen = 1;
                "\\phantom{".len()
            }
            (0, _) => {
                text.push(character);
                character.len_utf8()
            }
            (_, '{' | '}') => {
                unseen = if character == '{' { unseen + 1 } else { unseen - 1 };
                1
            }
            _ => character.len_utf8(),
        };
        rest = &rest[step..];
    }
    for (sign, meant) in [
        ("$\\times$", "x"),
        ("×", "x"),
        ("$\\pm$", "±"),
        ("$-$", "-"),
        ("−", "-"),
        ("$\\downarrow$", "↓"),
        ("$\\uparrow$", "↑"),
        ("{[}", "["),
        ("{]}", "]"),
    ] {
        text = text.replace(sign, meant);
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The rows of the table with this label, of `tables.tex`.
fn of_latex(tables: &str, label: &str) -> Vec<Vec<String>> {
    let table = tables.split(&format!("\\label{{{label}}}")).nth(1).unwrap_or_else(|| panic!("{label}: {tables}"));
    let body = table.split("\\bottomrule").next().unwrap();
    let rows = body.lines().filter_map(|line| line.trim().strip_suffix("\\\\")).filter(|line| !line.contains("\\textbf"));
    rows.map(|line| line.split(" & ").map(plain).collect()).collect()
}

/// The rows of the page's table below this heading: the text of each cell, and the number that it is sorted by.
fn of_page(page: &str, heading: &str) -> Vec<Vec<(String, Option<f64>)>> {
    let section = page.split(&format!(">{heading}</h2>")).nth(1);
    let body = section.and_then(|part| part.split("</table>").next()).unwrap_or_else(|| panic!("no table below {heading}"));
    let cell = |cell: &str| {
        let (attributes, text) = cell.split_once('>').unwrap();
        let value = attributes.split("data-value=\"").nth(1).and_then(|value| value.split('"').next()).map(|value| value.parse().unwrap());
        (plain(text.split("</td>").next().unwrap()), value)
    };
    let rows = body.lines().filter(|line| line.starts_with("<tr") && line.contains("<td"));
    rows.map(|line| line.split("<td").skip(1).map(cell).collect()).collect()
}

/// The marks of a chart, as an SVG file or a page has them: the values of these attributes.
fn marks(svg: &str, names: &[&str]) -> Vec<Vec<String>> {
    let document = roxmltree::Document::parse(svg).unwrap();
    let values =
        |node: roxmltree::Node<'_, '_>| names.iter().map(|name| node.attribute(*name).map(str::to_owned)).collect::<Option<Vec<_>>>();
    document.descendants().filter_map(values).collect()
}

/// The chart of the page whose text for who cannot see it has these words.
fn chart_of(page: &str, words: &str) -> String {
    let found = page.split("<svg").skip(1).find(|part| part.split('>').next().unwrap().contains(words)).unwrap();
    format!("<svg{}</svg>", found.split("</svg>").next().unwrap())
}

/// Whether a text shows a number: it is that number to the last digit that it has.
fn shows(text: &str, value: f64) -> bool {
    let number = text.split(['x', ' ']).next().unwrap().replace(',', "");
    let decimals = number.split_once('.').map_or(0, |(_, digits)| digits.len());
    let shown: f64 = number.parse().unwrap_or_else(|_| panic!("{text} is no number"));
    (shown - value).abs() <= 0.5000001 * 0.1f64.powi(decimals as i32)
}

fn float(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn text(run: &Path, file: &str) -> String {
    std::fs::read_to_string(run.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn each_number_is_the_same_everywhere() {
    let directory = directory(&[("m.yml", &manifest(BENCHMARKS)), ("own.rhai", OWN)]);
    let (code, told) = run(directory.path(), &["m.yml"]);
    assert_eq!(code, 0, "{told}");
    let run = artifacts(directory.path(), "m");
    let (report, tables, page) = (report(&run), text(&run, "tables.tex"), text(&run, "report.html"));

    // Headlines: report, terminal, LaTeX, page and the summary chart.
    let headlines = report["summary"]["headlines"].as_array().unwrap();
    assert!(headlines.len() >= 6, "{headlines:?}");
    let (latex, html) = (of_latex(&tables, "tab:summary"), of_page(&page, "Headlines"));
    assert_eq!((latex.len(), html.len()), (headlines.len(), headlines.len()));
    let bars = marks(&text(&run, "summary.svg"), &["data-name", "data-value"]);
    let ratios = marks(&text(&run, "summary.svg"), &["data-name", "data-ratio", "data-low", "data-high"]);
    let mut drawn = 0;
    for ((headline, latex), html) in headlines.iter().zip(&latex).zip(&html) {
        let title = headline["title"].as_str().unwrap();
        let line = told.lines().find(|line| line.starts_with(title)).unwrap_or_else(|| panic!("{title}: {told}"));
        let terminal: Vec<String> = line.split("  ").map(plain).filter(|cell| !cell.is_empty()).collect();
        let of_html: Vec<&String> = html.iter().map(|(text, _)| text).collect();
        assert_eq!(terminal[..4].iter().collect::<Vec<_>>(), of_html[..4], "{title}");
        // Words may go on in the next line.
        assert!(of_html[4].starts_with(&terminal[4]), "{title}: {} and {}", terminal[4], of_html[4]);
        assert_eq!(&terminal[..4], &latex[..], "{title}");
        for (cell, model) in terminal[1..3].iter().zip(["teacher", "student"]) {
            let value = float(&headline["values"][model]["value"]);
            assert!(shows(cell, value), "{title} of {model}: {cell} is not {value}");
            drawn += bars.iter().filter(|bar| bar[0] == model && bar[1].parse::<f64>().unwrap() == value).count();
        }
        let comparison = &headline["comparisons"]["student"];
        let ratio = float(&comparison["ratio"]);
        // What is counted is said as the reduction.
        let reduced = ["KV-Cache (MB)", "Peak memory (MB)", "KV-Cache (bytes/tok)"].contains(&title);
        assert!(shows(&terminal[3], if reduced { 1.0 / ratio } else { ratio }), "{title}: {} is not {ratio}", terminal[3]);
        if comparison["low"].is_number() && !ratios.is_empty() {
            let found = ratios.iter().filter(|mark| {
                let numbers: Vec<f64> = mark[1..].iter().map(|number| number.parse().unwrap()).collect();
                numbers == [ratio, float(&comparison["low"]), float(&comparison["high"])]
            });
            assert_eq!(found.count(), 1, "{title}: {ratios:?}");
        }
    }
    // Each bar of the summary is some headline's, and none is drawn twice.
    assert!(bars.len() >= 6 && drawn >= bars.len(), "{bars:?}");

    // Rows: CSV, report, LaTeX, page and the charts.
    for (id, file, label, columns) in [
        ("p", "perplexity.csv", "tab:p", &[("cache_kind", ""), ("perplexity", ""), ("cross_entropy", ""), ("tokens", "")][..]),
        (
            "m",
            "memory.csv",
            "tab:m",
            &[
                ("quantization", ""),
                ("seq_len", ""),
                ("batch_size", ""),
                ("bytes_per_token", ""),
                ("kvcache_mb", "memory_scaling"),
                ("peak_mb", "peak_memory"),
            ],
        ),
        (
            "l",
            "latency.csv",
            "tab:l",
            &[
                ("cache_kind", ""),
                ("prompt_len", ""),
                ("gen_len", ""),
                ("batch_size", ""),
                ("prefill_ms", ""),
                ("decode_ms", ""),
                ("tokens_per_sec", "latency_vs_context"),
            ],
        ),
        ("own", "own.csv", "tab:own", &[("depth", ""), ("found", "own")]),
    ] {
        let csv = rows(&run, file);
        let records = report["benchmarks"].as_array().unwrap().iter().filter(|record| record["id"] == id);
        let reported: Vec<&Value> = records.flat_map(|record| record["rows"].as_array().unwrap()).collect();
        let latex = of_latex(&tables, label);
        assert!(
            csv.len() == reported.len() && csv.len() == latex.len() * if id == "own" { 2 } else { 1 } && csv.len() >= 4,
            "{id}: {csv:?} {latex:?}"
        );
        for row in &csv {
            let same = |other: &&&Value| {
                ["model", columns[0].0, columns[1].0].iter().all(|key| match &other[*key] {
                    Value::String(text) => *text == row[*key],
                    number => number.as_f64() == row[*key].parse().ok(),
                })
            };
            let mine = reported.iter().find(same).unwrap_or_else(|| panic!("{id}: {row:?} is not in the report"));
            // One value of two models stands side by side.
            let line = latex.iter().find(|line| {
                if id == "own" {
                    let place = if row["model"] == "teacher" { 1 } else { 2 };
                    return line[0] == row["depth"] && shows(&line[place], number(row, "found"));
                }
                line[0] == row["model"]
                    && columns.iter().zip(&line[1..]).all(|((column, _), cell)| match row[*column].parse::<f64>() {
                        Ok(value) => shows(cell, value),
                        Err(_) => *cell == row[*column],
                    })
            });
            assert!(line.is_some(), "{id}: {row:?} is not in LaTeX: {latex:?}");
            for (column, chart) in columns {
                let Ok(value) = row[*column].parse::<f64>() else { continue };
                assert_eq!(mine[*column].as_f64(), Some(value), "{id}: {column}");
                if !chart.is_empty() {
                    let svg = text(&run, &format!("{chart}.svg"));
                    let has = |svg: &str| {
                        marks(svg, &["data-series", "data-x", "data-y"])
                            .iter()
                            .any(|mark| mark[0].starts_with(&row["model"]) && mark[2].parse::<f64>().unwrap() == value)
                    };
                    assert!(has(&svg), "{id}: {column} {value} is not in {chart}.svg");
                    let label = svg.split("aria-label=\"").nth(1).unwrap().split('"').next().unwrap();
                    assert!(has(&chart_of(&page, label)), "{id}: {column} {value} is not on the page");
                }
            }
        }
    }
}
