use super::*;
use crate::artifact::{Chart, LineChart};
use serde_json::{Value as Json, json};

fn page(value: Json) -> Page {
    serde_json::from_value(value).unwrap()
}

fn chart(directory: &Path, name: &str, label: &str) {
    let chart: LineChart = serde_json::from_value(json!({
        "x": { "label": "Prompt length (tokens)" }, "y": { "label": label },
        "series": [{ "name": "teacher <&> student", "points": [[128, 21.5, 20.9, 22.3], [512, 19.2]] }]
    }))
    .unwrap();
    chart.write(&directory.join(name)).unwrap();
}

fn whole() -> Json {
    json!({
        "title": "A student <and> its teacher", "lead": "Faster.\n\nAnd \"smaller\".", "footer": "Made by caramba.",
        "sections": [
            { "kind": "list", "title": "Checklist", "items": [
                { "text": "loss within 5 %", "passed": true }, { "text": "faster", "passed": false }, { "text": "smaller", "passed": null }
            ] },
            { "kind": "chart", "title": "Speed", "file": "speed.svg", "caption": "Throughput." },
            { "kind": "chart", "title": "Memory", "file": "memory.svg", "caption": "Memory.", "alt": "Memory grows." },
            { "kind": "table", "title": "Numbers", "table": {
                "caption": "All of them.", "note": "MB = 2^20 bytes.", "columns": ["Model", "Tokens/s", "Change"],
                "rows": [["b", 9.5, "1.06x"], ["a", 74.05, "-10.7 %"], ["c", null, "n/a"]], "groups": [2]
            } },
            { "kind": "details", "title": "How to reproduce it", "sections": [
                { "kind": "text", "title": "Where", "text": "On this device." }, { "kind": "code", "text": "caramba run paper.yml --set a=<b>" },
                { "kind": "list", "title": "Files", "items": ["nothing", { "text": "all rows", "file": "a b.csv" }] }
            ] }
        ]
    })
}

/// The whole page; where `CARAMBA_HTML_GALLERY` names a directory, it is left there, to be looked at.
fn made() -> String {
    let directory = tempfile::tempdir().unwrap();
    chart(directory.path(), "speed.svg", "Throughput (tokens/s)");
    chart(directory.path(), "memory.svg", "Memory (MB) ×10");
    let page = page(whole());
    page.write(directory.path(), "report.html").unwrap();
    if let Some(gallery) = std::env::var_os("CARAMBA_HTML_GALLERY") {
        std::fs::copy(directory.path().join("report.html"), Path::new(&gallery).join("report.html")).unwrap();
    }
    std::fs::read_to_string(directory.path().join("report.html")).unwrap()
}

#[test]
fn one_file_that_asks_nothing_of_anyone() {
    let html = made();
    for asking in ["http://", "https://", "src=\"", "url(http", "@import", "<link rel=\"stylesheet\""] {
        let html = html.replace("http://www.w3.org/2000/svg", "");
        assert!(!html.contains(asking), "{asking}");
    }
    assert_eq!(html.matches("@font-face").count(), 1);
    assert_eq!(html.matches("<svg").count(), 2);
}

#[test]
fn everything_given_is_there_and_escaped() {
    let html = made();
    for part in [
        "<title>A student &lt;and&gt; its teacher</title>",
        "<p class=\"lead\">And &quot;smaller&quot;.</p>",
        "<span class=\"mark pass\">✓ passed</span>loss within 5 %",
        "<span class=\"mark fail\">✗ failed</span>faster",
        "<span class=\"mark unknown\">? not known</span>smaller",
        "<td class=\"right\" data-value=\"74.05\">74.0</td>",
        "<td class=\"right\" data-value=\"1.06\">1.06×</td>",
        "<td class=\"right\" data-value=\"-10.7\">−10.7 %</td>",
        "<td class=\"right\">n/a</td>",
        "<tr class=\"group\"><td>c</td>",
        "aria-label=\"Memory grows.\"",
        "aria-label=\"Throughput (tokens/s) over Prompt length (tokens): teacher &lt;&amp;&gt; student\"",
        "data-y=\"21.5\"",
        "<code>caramba run paper.yml --set a=&lt;b&gt;</code>",
        "<a href=\"a%20b.csv\">all rows</a>",
        "<a href=\"#section-4\">How to reproduce it</a>",
        "<h3>Where</h3>",
    ] {
        assert!(html.contains(part), "{part} is missing in {}", html.replace(|c: char| !c.is_ascii() && c != '✓', ""));
    }
    // The font is that of all charts together.
    let data = html.split("base64,").nth(1).unwrap().split(')').next().unwrap();
    let font = base64::engine::general_purpose::STANDARD.decode(data).unwrap();
    let face = ab_glyph::FontRef::try_from_slice(&font).unwrap();
    assert!("Throughput×".chars().all(|c| ab_glyph::Font::glyph_id(&face, c).0 != 0));
}

/// On a phone no table is scrolled sideways: a long first cell stands above its row, and rows of many cells become lists.
#[test]
fn tables_that_are_too_wide_for_a_phone_are_told() {
    let table = |columns: Json, rows: Json| {
        let sections = json!([{ "kind": "table", "table": { "columns": columns, "rows": rows } }]);
        page(json!({ "title": "t", "sections": sections })).html(Path::new(".")).unwrap()
    };
    let long = "SmolLM2-135M-Instruct-finetuned: q8 cache / fp16 cache";
    let html = table(
        json!(["Compared", "Metric", "Ratio"]),
        json!([[long, "Perplexity", "1.01x"], [long, "KV-Cache (MB)", "0.53x"], ["other", "Perplexity", "1.00x"]]),
    );
    assert!(html.contains("<table class=\"stack\" style=\"--beside:2\">"), "{html}");
    assert_eq!(html.matches(&format!("<td class=\"long\">{long}</td>")).count(), 1);
    assert_eq!(html.matches(&format!("<td class=\"long again\">{long}</td>")).count(), 1);
    let html = table(json!(["Model", "Path", "File", "SHA-256"]), json!([["a", "models/a", "a.gguf", "0".repeat(64)]]));
    assert!(html.contains("<table class=\"cards\">") && html.contains("<td data-label=\"Path\">models/a</td>"), "{html}");
    let html = table(json!(["Metric", "a", "b"]), json!([["Perplexity", 1, 2]]));
    assert!(html.contains("\n<table>\n"), "{html}");
}

#[test]
fn mistakes_say_where() {
    let directory = tempfile::tempdir().unwrap();
    let error = |section: Json| match serde_json::from_value::<Page>(json!({ "title": "t", "sections": [section] })) {
        Ok(page) => page.html(directory.path()).unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    let chart = |file: &str| error(json!({ "kind": "chart", "file": file }));
    assert!(chart("none.svg").starts_with("sections[0]: none.svg: cannot read the chart"), "{}", chart("none.svg"));
    assert!(chart("../a.svg").contains("\"../a.svg\" is no file of the run directory"), "{}", chart("../a.svg"));
    std::fs::write(directory.path().join("active.svg"), "<svg xmlns=\"http://www.w3.org/2000/svg\"><g onload=\"x()\"/></svg>").unwrap();
    assert!(chart("active.svg").contains("<g> may run a script"), "{}", chart("active.svg"));
    std::fs::write(directory.path().join("page.svg"), "<html/>").unwrap();
    assert!(chart("page.svg").contains("it is <html>"), "{}", chart("page.svg"));
    let unknown = error(json!({ "kind": "graph" }));
    assert!(unknown.starts_with("sections[0]: unknown variant `graph`"), "{unknown}");
    let item = error(json!({ "kind": "list", "items": ["a", 3] }));
    assert!(item.contains("items[1]: invalid type: integer `3`, expected an item"), "{item}");
}

#[test]
fn texts_sort_by_the_number_they_begin_with() {
    assert_eq!((leading_number("1.06x"), leading_number("−10.7 %"), leading_number("23,040")), (Some(1.06), Some(-10.7), Some(23040.0)));
    assert_eq!((leading_number("135M"), leading_number("n/a"), leading_number("2024-11-26")), (None, None, None));
}
