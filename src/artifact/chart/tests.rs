mod gallery;

use super::*;
use gallery::*;
use plotters::style::RGBColor;
use resvg::tiny_skia::Pixmap;
use resvg::usvg::roxmltree;
use serde_json::{Value, json};

/// Where `CARAMBA_CHART_GALLERY` names a directory, every chart of these tests is left there, to be looked at.
fn keep(name: &str, figure: &Figure) {
    if let Some(directory) = std::env::var_os("CARAMBA_CHART_GALLERY") {
        figure.write(&Path::new(&directory).join(format!("{name}.png"))).unwrap();
    }
}

#[test]
fn everything_is_drawn() {
    for (name, figure) in gallery() {
        keep(name, &figure);
        let document = figure.document("");
        roxmltree::Document::parse(&document).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!document.contains("NaN") && !document.contains("inf\""), "{name}");
    }
}

/// Width, height and pixels per metre of a PNG file.
fn read_png(bytes: &[u8]) -> (u32, u32, u32) {
    let reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
    let info = reader.info();
    (info.width, info.height, info.pixel_dims.unwrap().xppu)
}

fn png(chart: &dyn Chart) -> Vec<u8> {
    chart.figure().unwrap().png().unwrap()
}

#[test]
fn images_are_as_large_as_a_paper_wants() {
    let (width, _, per_meter) = read_png(&png(&line_chart(latency())));
    assert_eq!((width, per_meter), (1005, 11_811));
    assert_eq!(read_png(&png(&panels(summary()))).0, 2100);
    let mut small = latency();
    small["size"] = json!({ "width": 2, "height": 1.5, "dpi": 150 });
    assert_eq!(read_png(&png(&line_chart(small))), (300, 225, 5906));
}

#[test]
fn the_legend_never_covers_the_plot() {
    for (name, chart) in line_charts().into_iter().chain(more_line_charts()) {
        let frame = lines::frame(&line_chart(chart)).unwrap();
        let (left, top) = frame.legend_at;
        for (entry, rect) in &frame.legend.entries {
            let placed = Rect { left: left + rect.left, top: top + rect.top, right: left + rect.right, bottom: top + rect.bottom };
            assert_eq!(placed.overlap(&frame.area), 0.0, "{name}: {entry:?}");
            assert!(placed.left >= 0.0 && placed.right <= frame.width && placed.top >= 0.0, "{name}: {entry:?} at {placed:?}");
        }
        assert!(frame.area.bottom < frame.height && frame.area.right < frame.width, "{name}");
    }
}

#[test]
fn panels_are_apart_and_inside() {
    for (name, chart) in bar_charts().into_iter().chain(more_bar_charts()) {
        let layout = panels::layout(&panels(chart)).unwrap();
        for (index, panel) in layout.panels.iter().enumerate() {
            assert!(panel.area.right < layout.width && panel.area.bottom < layout.height && panel.area.left > 0.0, "{name}");
            assert!(layout.panels[..index].iter().all(|other| other.area.overlap(&panel.area) == 0.0), "{name}");
        }
    }
}

/// Fifteen series that are pairs stand in a panel for each kind: plots of one size on one pair of axes, apart, below one legend, and all numbers are there.
#[test]
fn many_pairs_stand_in_panels() {
    for (name, chart) in [("five", five_models("linear")), ("log", five_models("log10"))] {
        let chart = line_chart(chart);
        let facets = facets::of(&chart).unwrap();
        let plots = facets.place(&chart).unwrap().plots();
        assert_eq!(plots.len(), 3, "{name}");
        for (index, plot) in plots.iter().enumerate() {
            assert!((plot.width() - plots[0].width()).abs() < 0.5 && (plot.height() - plots[0].height()).abs() < 0.5, "{name}: {plots:?}");
            assert!(plots[..index].iter().all(|other| other.overlap(plot) == 0.0), "{name}: {plots:?}");
        }
        let document = chart.figure().unwrap().document("");
        assert_eq!(read(&document, "data-series", &["data-x", "data-y"]).len(), 75, "{name}");
        for kind in ["fp16", "q8", "q4"] {
            assert_eq!(
                document.matches(&format!(">{kind}</text>")).count(),
                1,
                "{name}: {kind} names one panel, and no line of the legend"
            );
        }
    }
    // What fits into one plot stays there, and so does what says so.
    assert!(facets::of(&line_chart(hidden())).is_none());
    let mut together = five_models("linear");
    together["panels"] = json!(false);
    assert!(facets::of(&line_chart(together)).is_none());
    let mut apart = hidden();
    apart["panels"] = json!(true);
    assert_eq!(facets::of(&line_chart(apart.clone())).unwrap().place(&line_chart(apart)).unwrap().plots().len(), 3);
}

#[test]
fn nothing_is_cut_off_at_the_edge() {
    for (name, figure) in gallery() {
        let image = Pixmap::decode_png(&figure.png().unwrap()).unwrap();
        let (width, height) = (image.width(), image.height());
        let inked = |x: u32, y: u32| image.pixel(x, y).is_some_and(|pixel| (pixel.red(), pixel.green(), pixel.blue()) != (255, 255, 255));
        for (side, found) in [
            ("left", (0..height).any(|y| inked(0, y))),
            ("right", (0..height).any(|y| inked(width - 1, y))),
            ("top", (0..width).any(|x| inked(x, 0))),
            ("bottom", (0..width).any(|x| inked(x, height - 1))),
        ] {
            assert!(!found, "{name} runs out at the {side}");
        }
    }
}

/// What elements with a key say: the values of some of their attributes.
fn read(document: &str, key: &str, attributes: &[&str]) -> Vec<Vec<String>> {
    let document = roxmltree::Document::parse(document).unwrap();
    let elements = document.descendants().filter(|node| node.has_attribute(key));
    elements.map(|node| attributes.iter().map(|name| node.attribute(*name).unwrap_or_default().to_owned()).collect()).collect()
}

#[test]
fn numbers_in_the_file_are_those_of_the_data() {
    let document = line_chart(latency()).figure().unwrap().document("");
    let points = read(&document, "data-series", &["data-series", "data-x", "data-y", "data-low", "data-high"]);
    assert_eq!(
        (points.len(), points[0].join(" "), points[5].join(" ")),
        (6, "teacher 128.0 21.5 20.9 22.3".into(), "student 1024.0 20.9 20.1 21.2".into())
    );
    let bars =
        read(&panels(with_ratio()).figure().unwrap().document(""), "data-name", &["data-name", "data-value", "data-ratio", "data-low"]);
    assert_eq!((bars.len(), bars[0].join(" "), bars[2].join(" ")), (9, "teacher 12.76  12.5".into(), "student  1.06 1.01".into()));
}

#[test]
fn bars_are_as_high_as_their_values() {
    let chart = panels(one_panel(json!([{ "name": "a", "value": 10 }, { "name": "b", "value": 5 }])));
    let document = chart.figure().unwrap().document("");
    let document = roxmltree::Document::parse(&document).unwrap();
    let bars: Vec<f64> = document
        .descendants()
        .filter(|node| node.has_attribute("data-value"))
        .map(|bar| bar.children().find_map(|shape| shape.attribute("height")).unwrap().parse().unwrap())
        .collect();
    assert!((bars[0] / bars[1] - 2.0).abs() < 1e-3, "{bars:?}");
}

/// All places of the image with a colour.
fn colored(image: &Pixmap, color: RGBColor) -> usize {
    image.pixels().iter().filter(|pixel| (pixel.red(), pixel.green(), pixel.blue()) == (color.0, color.1, color.2)).count()
}

#[test]
fn lines_that_lie_on_each_other_are_both_seen() {
    let series = |name: &str| json!({ "name": name, "points": [[1, 5], [2, 5], [3, 5]], "markers": false, "dash": 0 });
    let chart = json!({ "x": {}, "y": {}, "series": [series("a"), series("b")], "size": { "dpi": 600 } });
    let image = Pixmap::decode_png(&png(&line_chart(chart))).unwrap();
    let (first, second) = (colored(&image, style::color(0)), colored(&image, style::color(1)));
    assert!(first * 10 > second * 8 && second * 10 > first * 8, "{first} and {second} pixels");
}

#[test]
fn a_series_without_data_has_no_entry_but_is_named() {
    let mut chart = latency();
    chart["series"][1]["points"] = json!([[128, null]]);
    let figure = line_chart(chart.clone()).figure().unwrap();
    assert_eq!(lines::frame(&line_chart(chart)).unwrap().legend.entries.len(), 1);
    assert!(figure.document("").contains(">no data: student</text>"));
}

#[test]
fn repeats_at_one_place_make_no_vertical_stroke() {
    for chart in more_line_charts().into_iter().filter(|(name, _)| ["line-repeats", "line-sweeps"].contains(name)) {
        let document = line_chart(chart.1).figure().unwrap().document("");
        let document = roxmltree::Document::parse(&document).unwrap();
        let lines: Vec<&str> = document
            .descendants()
            .filter(|node| node.has_attribute("data-line"))
            .flat_map(|line| line.children())
            .filter_map(|shape| shape.attribute("points"))
            .collect();
        for line in &lines {
            let across: Vec<i32> = line.split_whitespace().map(|point| point.split_once(',').unwrap().0.parse().unwrap()).collect();
            assert!(across.len() == 3 && across.is_sorted_by(|a, b| a < b), "{}: {line}", chart.0);
        }
        assert_eq!(lines.len(), if chart.0 == "line-repeats" { 1 } else { 2 }, "{}", chart.0);
    }
}

/// One of each kind, and what is hard: one model, five with long names, one point, gaps, six decades, lines that hide each other.
const GOLDEN: [&str; 14] = [
    "bars-five-ratios",
    "bars-one",
    "bars-ratio",
    "bars-six-decades",
    "boxes",
    "heatmap-named",
    "histogram",
    "line-five-models",
    "line-gaps",
    "line-hidden",
    "line-latency",
    "line-one-point",
    "line-six-decades",
    "scatter",
];

/// The SVG files of a few charts, without the font: what changes here changes in every paper.
#[test]
fn golden_files() {
    for (name, figure) in gallery() {
        if GOLDEN.contains(&name) {
            insta::assert_snapshot!(name, figure.document(""));
        }
    }
}

#[test]
fn a_pdf_has_its_font_and_a_vector_page_of_the_right_size() {
    let pdf = line_chart(latency()).figure().unwrap().pdf().unwrap();
    let text = String::from_utf8_lossy(&pdf);
    assert!(
        text.starts_with("%PDF") && text.contains("/FontFile2") && text.contains("LiberationSans") && !text.contains("/Subtype /Image")
    );
    let media = text.split("/MediaBox [").nth(1).and_then(|rest| rest.split(']').next()).unwrap();
    let width: f64 = media.split_whitespace().nth(2).unwrap().parse().unwrap();
    assert!((width - COLUMN * 72.0).abs() < 0.01, "{media}");
}

#[test]
fn an_svg_has_the_glyphs_of_its_text() {
    let mut chart = latency();
    chart["y"]["label"] = json!("Tokens & \"seconds\" <1>");
    let svg = line_chart(chart).figure().unwrap().svg().unwrap();
    let document = roxmltree::Document::parse(&svg).unwrap();
    let style = document.descendants().find(|node| node.has_tag_name("style")).unwrap().text().unwrap();
    let data = style.split("base64,").nth(1).unwrap().trim_end_matches(")}");
    let font = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, data).unwrap();
    let face = ab_glyph::FontRef::try_from_slice(&font).unwrap();
    for text in document.descendants().filter(|node| node.has_tag_name("text")).filter_map(|node| node.text()) {
        assert!(text.chars().all(|c| ab_glyph::Font::glyph_id(&face, c).0 != 0), "{text}");
    }
    assert!(svg.len() < 60_000, "{} bytes", svg.len());
}

#[test]
fn values_may_be_whole_or_missing() {
    // What a script's map becomes on its way here: whole numbers, floats and nothing, and no way to say which of them is wanted.
    let map = r#"{ x: { label: n, scale: log2, ticks: [128, 512.0] }, y: {}, size: { width: 3 },
                   series: [{ name: a, points: [[128, 3], [512.0, null], { x: 1024, y: 2.5, low: 2, high: .nan }] }] }"#;
    let chart: LineChart = serde_yaml::from_str(map).unwrap();
    assert_eq!(chart.series[0].points[0], Point { x: 128.0, y: 3.0, low: None, high: None, label: None });
    assert!(chart.series[0].points[1].y.is_nan());
    assert_eq!((chart.series[0].points[2].low, chart.series[0].points[2].high), (Some(2.0), None));
    png(&chart);
}

#[test]
fn mistakes_say_where() {
    let line = |change: fn(&mut Value)| {
        let mut value = latency();
        change(&mut value);
        match serde_json::from_value::<LineChart>(value) {
            Ok(chart) => chart.figure().and_then(|figure| figure.png()).unwrap_err().to_string(),
            Err(error) => error.to_string(),
        }
    };
    insta::assert_snapshot!(line(|chart| chart["serie"] = json!([])), @"unknown field `serie`, expected one of `title`, `x`, `y`, `series`, `size`, `panels`");
    insta::assert_snapshot!(line(|chart| chart["series"][1]["colour"] = json!(1)), @"series[1]: unknown field `colour`, expected one of `name`, `group`, `kind`, `points`, `line`, `markers`, `band`, `color`, `marker`, `dash`");
    insta::assert_snapshot!(line(|chart| chart["series"][1]["points"][2] = json!([1, 2, 3])), @"series[1]: points[2]: invalid length 3, expected a point: [x, y], [x, y, low, high], or a map with x, y and, if there is an interval, low and high");
    insta::assert_snapshot!(line(|chart| chart["series"][0]["points"][0] = json!({ "x": 1, "y": "fast" })), @r#"series[0]: points[0]: invalid type: string "fast", expected a number, or nothing where it is missing"#);
    insta::assert_snapshot!(line(|chart| chart["x"]["scale"] = json!("log")), @"unknown variant `log`, expected one of `linear`, `log2`, `log10`");
    insta::assert_snapshot!(line(|chart| chart["series"] = json!([])), @r"
        a line chart needs at least one series
          help: `series: [#{ name: ..., points: [[x, y], ...] }]`
        ");
    insta::assert_snapshot!(line(|chart| chart["series"][0]["points"][0] = json!([0, 1])), @r#"
        axis x: 0 has no place on a logarithmic axis
          help: leave the value out, or use `scale: "linear"`
        "#);
    insta::assert_snapshot!(line(|chart| chart["size"] = json!({ "height": 1 })), @r"
        24 points of the height are left for the plot: expected 36 or more
          help: raise `size.height`, or leave it out
        ");
    insta::assert_snapshot!(line(|chart| chart["size"] = json!({ "width": 300 })), @r"
        `size.width` is 300 inches: expected 1 to 40
          help: a column of a paper is 3.35 inches wide, a page 7
        ");
    insta::assert_snapshot!(line(|chart| chart["size"] = json!({ "width": 30, "height": 40, "dpi": 1200 })), @r"
        the image would have 36000 x 48000 pixels
          help: ask for a smaller `size` or `dpi`
        ");
    let bars = |value: Value| match serde_json::from_value::<Panels>(value) {
        Ok(chart) => chart.figure().and_then(|figure| figure.png()).unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    insta::assert_snapshot!(bars(json!({ "panels": [] })), @"no panels: expected at least one");
    insta::assert_snapshot!(bars(one_panel(json!([]))), @"panels[0]: no bars: expected at least one");
    insta::assert_snapshot!(bars(one_panel(json!([{ "name": "a" }]))), @"panels[0]: bars[0]: missing field `value`");
}

#[test]
fn written_as_a_whole_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let written = || {
        let mut names: Vec<String> =
            std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let broken = LineChart { series: Vec::new(), ..line_chart(latency()) };
    let error = broken.write(&directory.path().join("b.png")).unwrap_err().to_string();
    assert!(error.contains("b.png: a line chart needs at least one series"), "{error}");
    let error = line_chart(latency()).write(&directory.path().join("b.jpg")).unwrap_err().to_string();
    assert!(error.contains("b.jpg: the name of a chart ends in `.png`, `.pdf` or `.svg`"), "{error}");
    assert_eq!(written(), [""; 0]);
    line_chart(latency()).write(&directory.path().join("one.svg")).unwrap();
    line_chart(latency()).write(&directory.path().join("two.pdf")).unwrap();
    let files = line_chart(latency()).write(&directory.path().join("latency_vs_context.png")).unwrap();
    assert_eq!(written(), ["latency_vs_context.pdf", "latency_vs_context.png", "latency_vs_context.svg", "one.svg", "two.pdf"]);
    assert_eq!(files.len(), 3);
    let figure = line_chart(latency()).figure().unwrap();
    let read = |name: &str| std::fs::read(directory.path().join(name)).unwrap();
    assert_eq!(read("latency_vs_context.png"), figure.png().unwrap());
    assert_eq!((read("one.svg"), read("two.pdf")), (figure.svg().unwrap().into_bytes(), figure.pdf().unwrap()));
}
