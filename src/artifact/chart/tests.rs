use super::*;
use serde_json::{Value, json};

/// Where `CARAMBA_CHART_GALLERY` names a directory, every chart of these tests is left there, to be looked at.
fn keep(name: &str, png: &[u8]) {
    if let Some(directory) = std::env::var_os("CARAMBA_CHART_GALLERY") {
        std::fs::write(Path::new(&directory).join(format!("{name}.png")), png).unwrap();
    }
}

fn line_chart(value: Value) -> LineChart {
    serde_json::from_value(value).unwrap()
}

fn bar_panels(value: Value) -> BarPanels {
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

#[test]
fn everything_is_drawn() {
    for (name, chart) in line_charts() {
        keep(name, &line_chart(chart).png().unwrap_or_else(|error| panic!("{name}: {error}")));
    }
    for (name, chart) in bar_charts() {
        keep(name, &bar_panels(chart).png().unwrap_or_else(|error| panic!("{name}: {error}")));
    }
}

/// Width, height and pixels per metre of a PNG file.
fn read_png(bytes: &[u8]) -> (u32, u32, u32) {
    let reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
    let info = reader.info();
    (info.width, info.height, info.pixel_dims.unwrap().xppu)
}

#[test]
fn images_are_as_large_as_a_paper_wants() {
    let (width, _, per_meter) = read_png(&line_chart(latency()).png().unwrap());
    assert_eq!((width, per_meter), (1340, 15_748));
    assert_eq!(read_png(&bar_panels(summary()).png().unwrap()).0, 2800);
    let mut small = latency();
    small["size"] = json!({ "width": 2, "height": 1.5, "dpi": 150 });
    assert_eq!(read_png(&line_chart(small).png().unwrap()), (300, 225, 5906));
}

#[test]
fn the_legend_never_covers_the_plot() {
    for (name, chart) in line_charts() {
        let layout = lines::layout(&line_chart(chart)).unwrap();
        let (left, top) = layout.legend_at;
        for (_, rect, text) in &layout.legend.entries {
            let placed = Rect { left: left + rect.left, top: top + rect.top, right: left + rect.right, bottom: top + rect.bottom };
            assert_eq!(placed.overlap(&layout.area), 0.0, "{name}: {text}");
            assert!(placed.left >= 0.0 && placed.right <= layout.width && placed.top >= 0.0, "{name}: {text} at {placed:?}");
        }
        assert!(layout.area.bottom < layout.height && layout.area.right < layout.width, "{name}");
    }
}

#[test]
fn panels_are_apart_and_inside() {
    for (name, chart) in bar_charts() {
        let layout = bars::layout(&bar_panels(chart)).unwrap();
        for (index, panel) in layout.panels.iter().enumerate() {
            assert!(panel.area.right < layout.width && panel.area.bottom < layout.height && panel.area.left > 0.0, "{name}");
            assert!(layout.panels[..index].iter().all(|other| other.area.overlap(&panel.area) == 0.0), "{name}");
        }
    }
}

#[test]
fn nothing_is_cut_off_at_the_edge() {
    for (name, canvas) in line_charts()
        .into_iter()
        .map(|(name, chart)| (name, lines::draw(&line_chart(chart)).unwrap()))
        .chain(bar_charts().into_iter().map(|(name, chart)| (name, bars::draw(&bar_panels(chart)).unwrap())))
    {
        let (width, height) = canvas.size();
        const EDGE: f64 = 0.5;
        for (side, rect) in [
            ("left", Rect { left: 0.0, top: 0.0, right: EDGE, bottom: height }),
            ("right", Rect { left: width - EDGE, top: 0.0, right: width, bottom: height }),
            ("top", Rect { left: 0.0, top: 0.0, right: width, bottom: EDGE }),
            ("bottom", Rect { left: 0.0, top: height - EDGE, right: width, bottom: height }),
        ] {
            assert!(!canvas.inked(rect), "{name} runs out at the {side}");
        }
    }
}

#[test]
fn bars_are_as_high_as_their_values() {
    let chart = bar_panels(one_panel(json!([{ "name": "a", "value": 10 }, { "name": "b", "value": 5 }])));
    let (layout, canvas) = (bars::layout(&chart).unwrap(), bars::draw(&chart).unwrap());
    let area = layout.panels[0].area;
    let height = |share: f64| {
        let x = area.left + area.width() * share;
        let is_bar = |y: &f64| canvas.color_at((x, *y)) != style::WHITE && canvas.color_at((x, *y)) != style::GRID;
        let steps = (0..).map(|step| area.bottom - 1.0 - f64::from(step) * 0.1).take_while(|y| *y > area.top);
        steps.take_while(is_bar).count() as f64
    };
    let (a, b) = (height(0.25 - 0.05), height(0.75 - 0.05));
    assert!((a / b - 2.0).abs() < 0.05, "{a} and {b}");
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
    chart.png().unwrap();
}

#[test]
fn mistakes_say_where() {
    let line = |change: fn(&mut Value)| {
        let mut value = latency();
        change(&mut value);
        match serde_json::from_value::<LineChart>(value) {
            Ok(chart) => chart.png().unwrap_err().to_string(),
            Err(error) => error.to_string(),
        }
    };
    insta::assert_snapshot!(line(|chart| chart["serie"] = json!([])), @"unknown field `serie`, expected one of `title`, `x`, `y`, `series`, `size`");
    insta::assert_snapshot!(line(|chart| chart["series"][1]["colour"] = json!(1)), @"series[1]: unknown field `colour`, expected one of `name`, `points`, `line`, `markers`, `band`, `color`, `marker`, `dash`");
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
    let bars = |value: Value| match serde_json::from_value::<BarPanels>(value) {
        Ok(chart) => chart.png().unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    insta::assert_snapshot!(bars(json!({ "panels": [] })), @"no panels: expected at least one");
    insta::assert_snapshot!(bars(one_panel(json!([]))), @"panels[0]: no bars: expected at least one");
    insta::assert_snapshot!(bars(one_panel(json!([{ "name": "a" }]))), @"panels[0]: bars[0]: missing field `value`");
}

#[test]
fn written_as_a_whole_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("latency_vs_context.png");
    line_chart(latency()).write(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), line_chart(latency()).png().unwrap());
    let broken = LineChart { series: Vec::new(), ..line_chart(latency()) };
    let error = broken.write(&directory.path().join("b.png")).unwrap_err().to_string();
    assert!(error.contains("b.png: a line chart needs at least one series"), "{error}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}
