//! Figures, tables and the page of a script, as files of its run.

mod common;

use common::cli::{artifacts, caramba_in, shown};

const SCRIPT: &str = r##"
let run = run_directory("figures");
let x = #{ label: "Prompt length (tokens)", scale: "log2" };
let pairs = [];
for group in ["teacher", "student"] {
    for (kind, number) in ["fp16", "q8", "q4"] {
        pairs.push(#{ group: group, kind: kind, points: [[128, 24.0 - number], [512, 22.5 - number, 21.9 - number, 23 - number], [1024, ()]] });
    }
}
run.line_chart("lines.png", #{ x: x, y: #{ label: "Tokens/s" }, series: pairs });
run.scatter_chart("scatter.svg", #{ x: x, y: #{ scale: "log10" }, series: [#{ name: "a", points: [#{ x: 1, y: 1e-3, label: "small" }, [2, 1000]] }] });
run.bar_chart("bars.pdf", #{ panels: [#{
    label: "Tokens/s", bars: [#{ name: "teacher", value: 74 }, #{ name: "student", value: 82.5 }],
    ratio: #{ label: "Student / teacher", points: [#{ name: "student", value: 1.115, low: 1.1, high: 1.13 }] },
}] });
run.box_chart("boxes.svg", #{ panels: [#{ label: "ms", boxes: [#{ name: "teacher", values: numbers([13.5, 13.1, 13.9, 13.6, 14.8]) }] }] });
run.histogram("histogram.svg", #{ x: #{ label: "Loss" }, series: [#{ values: [1, 2.5, 2, ()] }] });
run.heatmap("heatmap.svg", #{ x: #{ label: "Head" }, y: #{ names: [0, 11] }, label: "Entropy", values: [[1, 2], [3, ()]] });
run.latex_tables("tables.tex", [#{ columns: ["Metric", "Change"], rows: [["Perplexity \u2193", "0.51x"], ["Loss", #{ value: 3.25, error: 0.125 }]] }]);
run.html("report.html", #{ title: "Figures", sections: [
    #{ kind: "chart", file: "lines.svg", caption: "Throughput." },
    #{ kind: "list", items: ["one", #{ text: "the tables", file: "tables.tex" }, #{ text: "faster", passed: true }] },
] });
run.finish();
"##;

#[test]
fn a_script_draws_every_kind_of_chart() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("figures.rhai"), SCRIPT).unwrap();
    let output = caramba_in(directory.path(), &["script", "figures.rhai"]);
    assert!(output.status.success(), "{}", shown(&output));
    let run = artifacts(directory.path(), "figures");
    let mut files: Vec<String> = std::fs::read_dir(&run).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    let wanted = [
        "bars.pdf",
        "boxes.svg",
        "heatmap.svg",
        "histogram.svg",
        "lines.pdf",
        "lines.png",
        "lines.svg",
        "report.html",
        "scatter.svg",
        "tables.tex",
    ];
    assert_eq!(files, wanted);
    for (file, start) in [("lines.png", &b"\x89PNG"[..]), ("lines.pdf", b"%PDF"), ("bars.pdf", b"%PDF"), ("lines.svg", b"<svg")] {
        assert!(std::fs::read(run.join(file)).unwrap().starts_with(start), "{file}");
    }
    let text = |file: &str| std::fs::read_to_string(run.join(file)).unwrap();
    for (file, part) in [
        ("lines.svg", "data-series=\"student, q8\" data-x=\"512.0\" data-y=\"21.5\" data-low=\"20.9\" data-high=\"22.0\""),
        ("scatter.svg", ">small</text>"),
        ("boxes.svg", "data-median=\"13.6\""),
        ("histogram.svg", "data-value=\"1.0\""),
        ("heatmap.svg", "data-row=\"11\" data-column=\"0\" data-value=\"3.0\""),
        ("tables.tex", "\\textbf{Change}"),
        ("tables.tex", "Perplexity $\\downarrow$ & 0.51$\\times$"),
        ("report.html", "<a href=\"tables.tex\">the tables</a>"),
        ("report.html", "data-series=\"student, q8\""),
    ] {
        assert!(text(file).contains(part), "{part} is missing in {file}:\n{}", text(file));
    }
}

#[test]
fn a_chart_of_another_format_is_refused_and_nothing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let script = "let run = run_directory(\"figures\");\nrun.histogram(\"a.jpg\", #{ x: #{}, series: [#{ values: [1] }] });\n";
    std::fs::write(directory.path().join("figures.rhai"), script).unwrap();
    let output = caramba_in(directory.path(), &["script", "figures.rhai"]);
    let told = shown(&output);
    assert!(!output.status.success() && told.contains("a.jpg: the name of a chart ends in `.png`, `.pdf` or `.svg`"), "{told}");
    assert!(told.contains("figures.rhai:2:"), "{told}");
}
