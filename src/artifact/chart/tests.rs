use super::*;
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

fn line_chart(value: Value) -> LineChart {
    serde_json::from_value(value).unwrap()
}

fn panels(value: Value) -> Panels {
    serde_json::from_value(value).unwrap()
}

fn latency() -> Value {
    json!({
        "x": { "label": "Prompt length (tokens)", "scale": "log2", "ticks": [128, 512, 1024] },
        "y": { "label": "Throughput (tokens/s)" },
        "series": [
            { "name": "teacher", "points": [[128, 21.5, 20.9, 22.3], [512, 19.2, 18.8, 19.9], [1024, 16.0, 15.1, 16.6]] },
            { "name": "student", "points": [[128, 24.1, 23.5, 24.8], [512, 22.8, 22.1, 23.3], [1024, 20.9, 20.1, 21.2]] }
        ]
    })
}

fn memory(scale: &str) -> Value {
    let lengths = [128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0];
    let mut series = Vec::new();
    for (color, (model, width)) in [("teacher", 23040.0), ("student", 14400.0)].into_iter().enumerate() {
        for (dash, (kind, bytes)) in [("fp16", 2.0), ("q8", 1.0625), ("q4", 0.5625)].into_iter().enumerate() {
            let points: Vec<[f64; 2]> = lengths.iter().map(|length| [*length, length * width * bytes / 1048576.0]).collect();
            series.push(json!({ "name": format!("{model}, {kind}"), "points": points, "color": color, "dash": dash, "marker": dash }));
        }
    }
    json!({ "x": { "label": "Sequence length (tokens)", "scale": "log2" }, "y": { "label": "KV cache (MB)", "scale": scale }, "series": series })
}

/// Curves that are apart, so many of them.
fn many(count: usize) -> Value {
    let series: Vec<Value> = (0..count)
        .map(|number| {
            let points: Vec<[f64; 2]> = (0..6).map(|x| [f64::from(x), (f64::from(x) - 2.0).powi(2) + 2.0 * number as f64]).collect();
            json!({ "name": format!("configuration {number}"), "points": points })
        })
        .collect();
    json!({ "title": "Many lines", "x": { "label": "Layer" }, "y": { "label": "Error (%)" }, "series": series })
}

/// The shape of a roofline: a roof and points that are named.
fn roofline() -> Value {
    let names = ["attention, q8", "attention, fp16", "matrix product", "RMS norm", "softmax", "embedding", "rotary embedding"];
    let points: Vec<Value> = names
        .iter()
        .enumerate()
        .map(|(number, name)| {
            let intensity = 0.25 * 2f64.powi(number as i32);
            json!({ "x": intensity, "y": (intensity * 20.0).min(90.0) * (0.5 + 0.07 * number as f64), "label": name })
        })
        .collect();
    json!({
        "x": { "label": "Arithmetic intensity (FLOP/byte)", "scale": "log10" },
        "y": { "label": "Performance (GFLOP/s)", "scale": "log10" },
        "series": [
            { "name": "roof", "points": [[0.1, 2], [4.5, 90], [100, 90]], "markers": false, "color": 6, "dash": 0 },
            { "name": "kernels", "points": points, "line": false }
        ]
    })
}

fn summary() -> Value {
    json!({ "panels": [
        { "title": "Loss", "note": "lower is better", "label": "Loss",
          "bars": [{ "name": "teacher", "value": 12.76, "low": 12.5, "high": 13.0 }, { "name": "student", "value": 13.53, "low": 13.2, "high": 13.9 }] },
        { "title": "Throughput", "note": "higher is better", "label": "Tokens/s",
          "bars": [{ "name": "teacher", "value": 74.05 }, { "name": "student", "value": 81.95 }] },
        { "title": "KV cache", "note": "lower is better", "label": "Bytes per token",
          "bars": [{ "name": "teacher", "value": 180_224 }, { "name": "student", "value": 112_640 }] }
    ] })
}

fn one_line(points: Value) -> Value {
    json!({ "x": { "label": "Prompt length (tokens)" }, "y": { "label": "Throughput (tokens/s)" }, "series": [{ "name": "student", "points": points }] })
}

fn one_panel(bars: Value) -> Value {
    json!({ "panels": [{ "title": "Throughput", "label": "Tokens/s", "bars": bars }] })
}

fn line_charts() -> Vec<(&'static str, Value)> {
    let long = "SmolLM2-135M-Instruct upcycled jointly, semantic width 72, geometric width 144, distilled for 100 000 steps";
    let mut fixed = one_line(json!([[0, 1], [10, 9], [20, 4], [30, 12]]));
    fixed["y"]["low"] = json!(2);
    fixed["y"]["high"] = json!(8);
    fixed["x"]["low"] = json!(5);
    let mut band = latency();
    band["series"].as_array_mut().unwrap().iter_mut().for_each(|series| series["band"] = json!(true));
    let mut titled = one_line(json!([[128, 3], [256, 2]]));
    titled["title"] = json!(format!("{long}, and what it costs"));
    titled["y"]["label"] = json!("A vertical label that is much longer than the plot is high (and its unit)");
    titled["x"]["label"] = json!(long);
    titled["series"][0]["name"] = json!(long);
    let mut crowded = one_line(json!([[1, 1], [32768, 2]]));
    crowded["x"]["ticks"] = json!([1, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768]);
    let mut small = latency();
    small["size"] = json!({ "width": 2.0, "height": 1.6, "dpi": 150 });
    let mut wide = memory("linear");
    wide["size"] = json!({ "width": 7, "height": 3 });
    vec![
        ("line-latency", latency()),
        ("line-band", band),
        ("line-memory", memory("linear")),
        ("line-memory-log", memory("log2")),
        ("line-roofline", roofline()),
        ("line-many-10", many(10)),
        ("line-many-3", many(3)),
        ("line-one-point", one_line(json!([[512, 19.2, 18.0, 20.1]]))),
        ("line-equal", one_line(json!([[128, 7.5], [512, 7.5], [1024, 7.5]]))),
        ("line-gaps", one_line(json!([[128, 3], [256, 4], [512, null], [1024, 6], [2048, null], [4096, 5], [8192, 5.5]]))),
        ("line-nothing", one_line(json!([[128, null], [256, null]]))),
        ("line-empty", one_line(json!([]))),
        ("line-large", one_line(json!([[1e9, 3e12], [2e9, 4.5e12], [3.5e9, 4e12]]))),
        ("line-tiny", one_line(json!([[1e-6, 3e-9], [2e-6, 4.5e-9]]))),
        ("line-extreme", one_line(json!([[0, f64::MAX], [1, f64::MIN], [2, 0]]))),
        ("line-close", one_line(json!([[128, 13.501], [512, 13.503], [1024, 13.5025]]))),
        ("line-negative", one_line(json!([[-4, -120], [0, 30], [4, 80]]))),
        ("line-fixed-ends", fixed),
        ("line-long-names", titled),
        ("line-crowded-ticks", crowded),
        ("line-small", small),
        ("line-page", wide),
    ]
}

fn bar_charts() -> Vec<(&'static str, Value)> {
    let named = |names: &[&str]| -> Value {
        names
            .iter()
            .enumerate()
            .map(|(number, name)| json!({ "name": name, "value": 10.0 + 7.3 * number as f64 }))
            .collect::<Vec<_>>()
            .into()
    };
    let long = [
        "SmolLM2-135M-Instruct",
        "SmolLM2-135M-upcycled-joint",
        "SmolLM2-135M-upcycled-separate",
        "teacher",
        "a model with a name of several words",
    ];
    let numbered: Vec<String> = (0..12).map(|number| format!("run {number}")).collect();
    let numbered: Vec<&str> = numbered.iter().map(String::as_str).collect();
    let mut titled = summary();
    titled["title"] = json!("SmolLM2-135M and its student");
    let mut two = summary();
    two["panels"].as_array_mut().unwrap().pop();
    let mut four = summary();
    let more = four["panels"][0].clone();
    four["panels"].as_array_mut().unwrap().push(more);
    four["columns"] = json!(2);
    vec![
        ("bars-summary", summary()),
        ("bars-titled", titled),
        ("bars-two", two),
        ("bars-four", four),
        ("bars-one", one_panel(json!([{ "name": "student", "value": 81.95 }]))),
        ("bars-long-names", one_panel(named(&long))),
        (
            "bars-three-long",
            json!({ "panels": [
            { "title": "A", "label": "s", "bars": named(&long[..3]) }, { "title": "B", "label": "s", "bars": named(&long[..2]) }, { "title": "C", "label": "s", "bars": named(&long) }
        ] }),
        ),
        ("bars-twelve", one_panel(named(&numbered))),
        ("bars-missing", one_panel(json!([{ "name": "teacher", "value": null }, { "name": "student", "value": 12.5, "low": 11.0 }]))),
        ("bars-nothing", one_panel(json!([{ "name": "teacher", "value": null }, { "name": "student", "value": null }]))),
        ("bars-zero", one_panel(json!([{ "name": "teacher", "value": 0 }, { "name": "student", "value": 0 }]))),
        (
            "bars-negative",
            one_panel(
                json!([{ "name": "a", "value": -3.2, "low": -3.9, "high": -2.7 }, { "name": "b", "value": 1.7, "low": 1.2, "high": 2.2 }]),
            ),
        ),
        ("bars-all-negative", one_panel(json!([{ "name": "a", "value": -3.2 }, { "name": "b", "value": -1.7 }]))),
        ("bars-large", one_panel(json!([{ "name": "a", "value": 3.2e12 }, { "name": "b", "value": 1.7e11 }]))),
        ("bars-tiny", one_panel(json!([{ "name": "a", "value": 3.2e-7 }, { "name": "b", "value": 1e-9 }]))),
        (
            "bars-extreme",
            one_panel(json!([{ "name": "a", "value": f64::MAX }, { "name": "b", "value": f64::MIN }, { "name": "c", "value": 5e-324 }])),
        ),
        (
            "bars-text",
            one_panel(
                json!([{ "name": "fp16", "value": 1.0, "text": "1x" }, { "name": "q8", "value": 1.88, "text": "1.88x smaller" }, { "name": "q4", "value": 3.56, "text": "3.56x smaller, 4.8 % worse" }]),
            ),
        ),
    ]
}

const LONG: [&str; 5] = [
    "SmolLM2-135M-Instruct",
    "SmolLM2-135M-upcycled-jointly-72",
    "SmolLM2-135M-upcycled-separately-72",
    "SmolLM2-135M-upcycled-jointly-144-distilled",
    "SmolLM2-135M-upcycled-separately-144-distilled",
];

/// Five models with three kinds of cache each.
fn five_models(scale: &str) -> Value {
    let mut series = Vec::new();
    for (color, model) in LONG.iter().enumerate() {
        for (dash, (kind, bytes)) in [("fp16", 2.0), ("q8", 1.0625), ("q4", 0.5625)].into_iter().enumerate() {
            let width = 23040.0 / (1.0 + 0.4 * color as f64);
            let points: Vec<[f64; 2]> =
                [128.0, 512.0, 1024.0, 2048.0, 4096.0].iter().map(|x| [*x, x * width * bytes / 1048576.0]).collect();
            series.push(json!({ "name": format!("{model}, {kind}"), "points": points, "color": color, "dash": dash, "marker": dash }));
        }
    }
    json!({ "x": { "label": "Sequence length (tokens)", "scale": "log2" }, "y": { "label": "KV cache (MB)", "scale": scale }, "series": series })
}

/// Models whose throughput hardly depends on the cache's kind: their lines lie on each other, and their intervals overlap.
fn hidden() -> Value {
    let mut series = Vec::new();
    for (color, (model, speed)) in [("teacher", 74.0), ("student", 82.0)].into_iter().enumerate() {
        for (dash, (kind, factor)) in [("fp16", 1.0), ("q8", 1.004), ("q4", 0.998)].into_iter().enumerate() {
            let point = |x: f64| {
                let y = speed * factor * (1.0 - x / 4000.0);
                [x, y, y * 0.97, y * 1.03]
            };
            let points: Vec<[f64; 4]> = [128.0, 512.0, 1024.0].into_iter().map(point).collect();
            series.push(json!({ "name": format!("{model}, {kind}"), "points": points, "color": color, "dash": dash, "marker": dash }));
        }
    }
    json!({ "x": { "label": "Prompt length (tokens)", "scale": "log2" }, "y": { "label": "Throughput (tokens/s)" }, "series": series })
}

fn with_ratio() -> Value {
    let mut chart = summary();
    for (panel, (value, low, high)) in [(1.06, 1.01, 1.11), (1.107, 1.09, 1.12), (0.625, 0.625, 0.625)].into_iter().enumerate() {
        let point = json!({ "name": "student", "value": value, "low": low, "high": high });
        chart["panels"][panel]["ratio"] = json!({ "label": "Student / teacher", "points": [point] });
    }
    chart
}

fn waves(count: usize, around: f64) -> Vec<f64> {
    (0..count).map(|index| around + (index as f64 * 0.7).sin() + (index as f64 * 0.31).cos() * 0.8).collect()
}

fn more_line_charts() -> Vec<(&'static str, Value)> {
    let decades = json!([[1, 0.0004], [2, 0.06], [3, 0.8, 0.5, 1.3], [4, 22], [5, 340]]);
    let mut six = one_line(decades);
    let linear = six.clone();
    six["y"]["scale"] = json!("log10");
    let mut missing = memory("linear");
    missing["series"][4]["points"] = json!([[128, null], [256, null]]);
    let mut repeats = one_line(json!([[128, 21], [128, 22.5], [512, 19], [512, 19.8], [1024, 16], [1024, 16.4]]));
    repeats["x"]["scale"] = json!("log2");
    let sweeps = one_line(json!([[128, 21], [512, 19], [1024, 16], [128, 24], [512, 22], [1024, 18]]));
    vec![
        ("line-five-models", five_models("linear")),
        ("line-five-models-log", five_models("log10")),
        ("line-hidden", hidden()),
        ("line-six-decades", six),
        ("line-six-decades-linear", linear),
        ("line-missing-series", missing),
        ("line-repeats", repeats),
        ("line-sweeps", sweeps),
    ]
}

fn more_bar_charts() -> Vec<(&'static str, Value)> {
    let mut five = Vec::new();
    for (title, label) in [("Perplexity", "Perplexity"), ("Throughput", "Tokens/s"), ("KV cache", "MB")] {
        let bars: Vec<Value> =
            LONG.iter().zip(1..).map(|(name, number)| json!({ "name": name, "value": 10.0 + f64::from(number) * 1.7 })).collect();
        five.push(json!({ "title": title, "label": label, "bars": bars }));
    }
    five[1]["bars"].as_array_mut().unwrap().truncate(2);
    let decades: Vec<Value> =
        [0.0004, 0.06, 0.8, 22.0, 340.0].iter().zip(LONG).map(|(value, name)| json!({ "name": name, "value": value })).collect();
    let log = json!({ "panels": [
        { "title": "Linear", "label": "s", "bars": decades }, { "title": "Logarithmic", "label": "s", "scale": "log10", "bars": decades }
    ] });
    let boxes = json!({ "panels": [
        { "title": "Decode", "label": "ms/token", "boxes": [
            { "name": "teacher", "values": waves(60, 13.0) }, { "name": "student", "values": [12.1, 12.0, 12.4, 12.2, 12.9, 15.0, 12.3] },
            { "name": "few", "values": [11.0, 12.0, 13.0] }, { "name": "none", "values": [null] } ] },
        { "title": "Throughput", "label": "Tokens/s", "bars": [{ "name": "teacher", "value": 74.05 }, { "name": "student", "value": 81.95 }] }
    ] });
    vec![("bars-five-models", json!({ "panels": five })), ("bars-six-decades", log), ("bars-ratio", with_ratio()), ("boxes", boxes)]
}

fn scatter() -> Value {
    json!({
        "x": { "label": "KV cache (bytes/token)", "scale": "log2" },
        "y": { "label": "Perplexity" },
        "series": [
            { "name": "teacher", "points": [{ "x": 23040, "y": 12.76, "label": "fp16" }, { "x": 12240, "y": 12.77, "label": "q8" }, { "x": 6480, "y": 13.1, "label": "q4" }] },
            { "name": "student", "points": [{ "x": 14400, "y": 13.53, "low": 13.3, "high": 13.8, "label": "fp16" }, { "x": 7650, "y": 13.54, "label": "q8" }] }
        ]
    })
}

fn cloud() -> Value {
    let points: Vec<[f64; 2]> = waves(900, 0.0).into_iter().zip(waves(1200, 1.0).into_iter().skip(300)).map(|(x, y)| [x, y * y]).collect();
    json!({ "x": { "label": "Teacher's loss" }, "y": { "label": "Student's loss" }, "series": [{ "points": points }] })
}

fn histogram(share: bool) -> Value {
    json!({
        "x": { "label": "Loss of a token (nats)" }, "share": share,
        "series": [{ "name": "teacher", "values": waves(400, 3.0) }, { "name": "student", "values": waves(150, 3.6) }]
    })
}

fn heatmap() -> Value {
    let values: Vec<Vec<Value>> = (0..6)
        .map(|row| {
            (0..9)
                .map(
                    |column| {
                        if row == 2 && column == 4 { json!(null) } else { json!(((row * 9 + column) as f64 * 0.37).sin().abs() * 4.0) }
                    },
                )
                .collect()
        })
        .collect();
    json!({ "x": { "label": "Head" }, "y": { "label": "Layer" }, "label": "Entropy of attention (nats)", "values": values })
}

/// Every chart of these tests.
fn gallery() -> Vec<(&'static str, Figure)> {
    let drawn = |name: &str, chart: &dyn Chart| chart.figure().unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut figures: Vec<(&str, Figure)> = Vec::new();
    for (name, chart) in line_charts().into_iter().chain(more_line_charts()) {
        figures.push((name, drawn(name, &line_chart(chart))));
    }
    for (name, chart) in bar_charts().into_iter().chain(more_bar_charts()) {
        figures.push((name, drawn(name, &panels(chart))));
    }
    for (name, chart) in [("scatter", scatter()), ("scatter-cloud", cloud())] {
        figures.push((name, drawn(name, &line_chart(chart).scattered())));
    }
    let mut alone = histogram(false);
    alone["series"].as_array_mut().unwrap().pop();
    alone["x"]["scale"] = json!("log10");
    let none = json!({ "x": {}, "series": [{ "values": [null] }] });
    for (name, chart) in
        [("histogram", histogram(false)), ("histogram-share", histogram(true)), ("histogram-log", alone), ("histogram-nothing", none)]
    {
        figures.push((name, drawn(name, &serde_json::from_value::<Histogram>(chart).unwrap())));
    }
    let wide: Vec<Vec<f64>> = (0..30).map(|row| (0..64).map(|column| f64::from(row * column + 1)).collect()).collect();
    let large = json!({ "x": { "label": "Position" }, "y": { "label": "Layer" }, "label": "Norm", "scale": "log10", "values": wide });
    let named = json!({
        "x": { "names": LONG }, "y": { "label": "Cache", "names": ["fp16", "q8", "q4"] }, "label": "Change (%)",
        "values": [[0, 0, 0, 0, 0], [0.1, 0.2, 0.1, 0.3, 0.2], [4.1, 5.2, 6.3, 7.7, -8.8]]
    });
    let equal = json!({ "x": {}, "y": {}, "values": [[3, 3], [3, 3]] });
    for (name, chart) in [("heatmap", heatmap()), ("heatmap-large", large), ("heatmap-named", named), ("heatmap-equal", equal)] {
        figures.push((name, drawn(name, &serde_json::from_value::<Heatmap>(chart).unwrap())));
    }
    figures
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

/// The SVG files of a few charts, without the font: what changes here changes in every paper.
#[test]
fn golden_files() {
    for (name, figure) in gallery() {
        if ["line-latency", "line-five-models", "line-gaps", "line-hidden", "bars-ratio", "boxes", "histogram", "heatmap-named", "scatter"]
            .contains(&name)
        {
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
    insta::assert_snapshot!(line(|chart| chart["serie"] = json!([])), @"unknown field `serie`, expected one of `title`, `x`, `y`, `series`, `size`");
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
