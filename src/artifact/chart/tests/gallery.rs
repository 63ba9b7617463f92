//! Charts of all kinds, plain and hard ones.

use super::super::*;
use serde_json::{Value, json};

pub(super) fn line_chart(value: Value) -> LineChart {
    serde_json::from_value(value).unwrap()
}

pub(super) fn panels(value: Value) -> Panels {
    serde_json::from_value(value).unwrap()
}

pub(super) fn latency() -> Value {
    json!({
        "x": { "label": "Prompt length (tokens)", "scale": "log2", "ticks": [128, 512, 1024] },
        "y": { "label": "Throughput (tokens/s)" },
        "series": [
            { "name": "teacher", "points": [[128, 21.5, 20.9, 22.3], [512, 19.2, 18.8, 19.9], [1024, 16.0, 15.1, 16.6]] },
            { "name": "student", "points": [[128, 24.1, 23.5, 24.8], [512, 22.8, 22.1, 23.3], [1024, 20.9, 20.1, 21.2]] }
        ]
    })
}

pub(super) fn memory(scale: &str) -> Value {
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
pub(super) fn many(count: usize) -> Value {
    let series: Vec<Value> = (0..count)
        .map(|number| {
            let points: Vec<[f64; 2]> = (0..6).map(|x| [f64::from(x), (f64::from(x) - 2.0).powi(2) + 2.0 * number as f64]).collect();
            json!({ "name": format!("configuration {number}"), "points": points })
        })
        .collect();
    json!({ "title": "Many lines", "x": { "label": "Layer" }, "y": { "label": "Error (%)" }, "series": series })
}

/// The shape of a roofline: a roof and points that are named.
pub(super) fn roofline() -> Value {
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

pub(super) fn summary() -> Value {
    json!({ "panels": [
        { "title": "Loss", "note": "lower is better", "label": "Loss",
          "bars": [{ "name": "teacher", "value": 12.76, "low": 12.5, "high": 13.0 }, { "name": "student", "value": 13.53, "low": 13.2, "high": 13.9 }] },
        { "title": "Throughput", "note": "higher is better", "label": "Tokens/s",
          "bars": [{ "name": "teacher", "value": 74.05 }, { "name": "student", "value": 81.95 }] },
        { "title": "KV cache", "note": "lower is better", "label": "Bytes per token",
          "bars": [{ "name": "teacher", "value": 180_224 }, { "name": "student", "value": 112_640 }] }
    ] })
}

pub(super) fn one_line(points: Value) -> Value {
    json!({ "x": { "label": "Prompt length (tokens)" }, "y": { "label": "Throughput (tokens/s)" }, "series": [{ "name": "student", "points": points }] })
}

pub(super) fn one_panel(bars: Value) -> Value {
    json!({ "panels": [{ "title": "Throughput", "label": "Tokens/s", "bars": bars }] })
}

pub(super) fn line_charts() -> Vec<(&'static str, Value)> {
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

pub(super) fn bar_charts() -> Vec<(&'static str, Value)> {
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

pub(super) const LONG: [&str; 5] = [
    "SmolLM2-135M-Instruct",
    "SmolLM2-135M-upcycled-jointly-72",
    "SmolLM2-135M-upcycled-separately-72",
    "SmolLM2-135M-upcycled-jointly-144-distilled",
    "SmolLM2-135M-upcycled-separately-144-distilled",
];

/// Five models with three kinds of cache each.
pub(super) fn five_models(scale: &str) -> Value {
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
pub(super) fn hidden() -> Value {
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

pub(super) fn with_ratio() -> Value {
    let mut chart = summary();
    for (panel, (value, low, high)) in [(1.06, 1.01, 1.11), (1.107, 1.09, 1.12), (0.625, 0.625, 0.625)].into_iter().enumerate() {
        let point = json!({ "name": "student", "value": value, "low": low, "high": high });
        chart["panels"][panel]["ratio"] = json!({ "label": "Student / teacher", "points": [point] });
    }
    chart
}

pub(super) fn waves(count: usize, around: f64) -> Vec<f64> {
    (0..count).map(|index| around + (index as f64 * 0.7).sin() + (index as f64 * 0.31).cos() * 0.8).collect()
}

pub(super) fn more_line_charts() -> Vec<(&'static str, Value)> {
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

pub(super) fn more_bar_charts() -> Vec<(&'static str, Value)> {
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
    // A ratio of each beside the bars, one of them many times the others.
    let mut ratios = json!({ "panels": five });
    ratios["panels"].as_array_mut().unwrap().truncate(1);
    let points: Vec<Value> = [(0.971, 0.95, 0.99), (1.14, 1.02, 1.3), (1.0, 0.8, 1.25), (2.1, 0.53, 8.24)]
        .iter()
        .zip(&LONG[1..])
        .map(|((value, low, high), name)| json!({ "name": name, "value": value, "low": low, "high": high }))
        .collect();
    let near = |points: &[Value]| json!({ "label": "Over SmolLM2-135M", "points": points[..3].to_vec() });
    let mut other = ratios["panels"][0].clone();
    other["ratio"] = near(&points);
    ratios["panels"][0]["ratio"] = json!({ "label": "Over SmolLM2-135M", "points": points });
    let third = ratios["panels"][0].clone();
    ratios["panels"].as_array_mut().unwrap().extend([other, third]);
    vec![
        ("bars-five-ratios", ratios),
        ("bars-five-models", json!({ "panels": five })),
        ("bars-six-decades", log),
        ("bars-ratio", with_ratio()),
        ("boxes", boxes),
    ]
}

pub(super) fn scatter() -> Value {
    json!({
        "x": { "label": "KV cache (bytes/token)", "scale": "log2" },
        "y": { "label": "Perplexity" },
        "series": [
            { "name": "teacher", "points": [{ "x": 23040, "y": 12.76, "label": "fp16" }, { "x": 12240, "y": 12.77, "label": "q8" }, { "x": 6480, "y": 13.1, "label": "q4" }] },
            { "name": "student", "points": [{ "x": 14400, "y": 13.53, "low": 13.3, "high": 13.8, "label": "fp16" }, { "x": 7650, "y": 13.54, "label": "q8" }] }
        ]
    })
}

pub(super) fn cloud() -> Value {
    let points: Vec<[f64; 2]> = waves(900, 0.0).into_iter().zip(waves(1200, 1.0).into_iter().skip(300)).map(|(x, y)| [x, y * y]).collect();
    json!({ "x": { "label": "Teacher's loss" }, "y": { "label": "Student's loss" }, "series": [{ "points": points }] })
}

pub(super) fn histogram(share: bool) -> Value {
    json!({
        "x": { "label": "Loss of a token (nats)" }, "share": share,
        "series": [{ "name": "teacher", "values": waves(400, 3.0) }, { "name": "student", "values": waves(150, 3.6) }]
    })
}

pub(super) fn heatmap() -> Value {
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
pub(super) fn gallery() -> Vec<(&'static str, Figure)> {
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
