//! How each series looks, and what the legend says of it.
//!
//! Series that are pairs of two things (a model and a cache kind) have one legend for each of the two: a colour for each model, a dash and a
//! marker for each kind.

use super::legend::{Entry, Sample};
use super::style::{self, Color, GREY};
use super::{LineChart, Series};

/// How a series looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Look {
    pub(super) color: Color,
    pub(super) marker: usize,
    pub(super) dash: usize,
}

/// The number of each text among those that differ.
fn numbers<'a>(texts: impl Iterator<Item = Option<&'a str>>) -> Vec<Option<usize>> {
    let mut known: Vec<&str> = Vec::new();
    texts
        .map(|text| {
            let text = text?;
            Some(known.iter().position(|other| *other == text).unwrap_or_else(|| {
                known.push(text);
                known.len() - 1
            }))
        })
        .collect()
}

/// Of all series: what they say of themselves, else their group's colour and their kind's marker and dash, else by their own number.
pub(super) fn looks(chart: &LineChart) -> Vec<Look> {
    let groups = numbers(chart.series.iter().map(|series| series.group.as_deref()));
    let kinds = numbers(chart.series.iter().map(|series| series.kind.as_deref()));
    let look = |(number, series): (usize, &Series)| {
        // Of a pair whose group is unsaid all have one colour, and the other way round.
        let paired = groups[number].is_some() || kinds[number].is_some();
        let unsaid = if paired { 0 } else { number };
        let kind = kinds[number].unwrap_or(unsaid);
        Look {
            color: style::color(series.color.or(groups[number]).unwrap_or(unsaid)),
            marker: series.marker.unwrap_or(kind),
            dash: series.dash.unwrap_or(kind),
        }
    };
    chart.series.iter().enumerate().map(look).collect()
}

/// What a series is called: its name, else its group and kind.
pub(super) fn name(series: &Series) -> String {
    match (&series.group, &series.kind) {
        _ if !series.name.trim().is_empty() => series.name.clone(),
        (Some(group), Some(kind)) => format!("{group}, {kind}"),
        (Some(one), None) | (None, Some(one)) => one.clone(),
        (None, None) => String::new(),
    }
}

/// The two things that a series is a pair of, as it says or as its name has them (`group, kind`).
pub(super) fn pair(series: &Series) -> Option<(&str, &str)> {
    match (&series.group, &series.kind) {
        (Some(group), Some(kind)) => Some((group, kind)),
        (None, None) => series.name.split_once(", "),
        _ => None,
    }
}

/// An entry for a look; whether there are lines, markers and bands.
pub(super) fn entry(name: &str, look: Look, (line, markers, band): (bool, bool, bool)) -> Entry {
    let sample = Sample::Line { color: look.color, dash: line.then_some(look.dash), marker: markers.then_some(look.marker), band };
    Entry { sample, name: name.to_owned() }
}

/// The legend's blocks, of the series that show something.
pub(super) fn legend(shown: &[(&Series, Look)]) -> Vec<Vec<Entry>> {
    if let Some(blocks) = by_pairs(shown) {
        return blocks;
    }
    let entry = |(series, look): &(&Series, Look)| Entry {
        sample: Sample::Line {
            color: look.color,
            dash: series.line.unwrap_or(true).then_some(look.dash),
            marker: series.markers.then_some(look.marker),
            band: series.band,
        },
        name: name(series),
    };
    vec![shown.iter().map(entry).collect()]
}

/// A block for the groups and one for the kinds, where all series are such pairs (said so, or named `group, kind`), look like it, and two
/// blocks are no longer than a list of pairs.
fn by_pairs(shown: &[(&Series, Look)]) -> Option<Vec<Vec<Entry>>> {
    let mut groups: Vec<(&str, Color)> = Vec::new();
    let mut kinds: Vec<(&str, (usize, usize))> = Vec::new();
    for (series, look) in shown {
        let (group, kind) = pair(series)?;
        learn(&mut groups, group, look.color)?;
        learn(&mut kinds, kind, (look.marker, look.dash))?;
    }
    if groups.len() < 2 || kinds.len() < 2 || groups.len() + kinds.len() > shown.len() {
        return None;
    }
    let any = |pick: fn(&Series) -> bool| shown.iter().any(|(series, _)| pick(series));
    let (line, markers, band) = (any(|series| series.line.unwrap_or(true)), any(|series| series.markers), any(|series| series.band));
    let group = |(name, color): (&str, Color)| Entry {
        // Without lines a colour needs a marker to be seen.
        sample: Sample::Line { color, dash: line.then_some(0), marker: (!line).then_some(0), band },
        name: name.to_owned(),
    };
    let kind = |(name, (marker, dash)): (&str, (usize, usize))| Entry {
        sample: Sample::Line { color: GREY, dash: line.then_some(dash), marker: markers.then_some(marker), band: false },
        name: name.to_owned(),
    };
    Some(vec![groups.into_iter().map(group).collect(), kinds.into_iter().map(kind).collect()])
}

/// Notes that a name has a look. `None` where it has another one already, or where another name has this one.
fn learn<'a, T: PartialEq>(known: &mut Vec<(&'a str, T)>, name: &'a str, look: T) -> Option<()> {
    match known.iter().find(|(other, known)| *other == name || *known == look) {
        Some((other, known)) => (*other == name && *known == look).then_some(()),
        None => {
            known.push((name, look));
            Some(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn blocks(series: &serde_json::Value) -> Vec<Vec<String>> {
        let chart: LineChart = serde_json::from_value(json!({ "x": {}, "y": {}, "series": series })).unwrap();
        let shown: Vec<(&Series, Look)> = chart.series.iter().zip(looks(&chart)).collect();
        legend(&shown).into_iter().map(|block| block.into_iter().map(|entry| entry.name).collect()).collect()
    }

    #[test]
    fn pairs_have_two_legends() {
        let mut series = Vec::new();
        for (color, model) in ["a", "b", "c"].into_iter().enumerate() {
            for (dash, kind) in ["fp16", "q8"].into_iter().enumerate() {
                series.push(json!({ "name": format!("{model}, {kind}"), "points": [], "color": color, "dash": dash, "marker": dash }));
            }
        }
        assert_eq!(blocks(&json!(series)), [vec!["a", "b", "c"], vec!["fp16", "q8"]]);
        // A look that does not follow the pairs: the legend lists the series.
        series[0]["color"] = json!(5);
        assert_eq!(blocks(&json!(series)).len(), 1);
    }

    #[test]
    fn groups_and_kinds_choose_the_look() {
        let pair = |group: &str, kind: &str| json!({ "group": group, "kind": kind, "points": [] });
        let series = json!([pair("a", "fp16"), pair("a", "q8"), pair("b", "fp16"), pair("b", "q8"), pair("c", "q8")]);
        assert_eq!(blocks(&series), [vec!["a", "b", "c"], vec!["fp16", "q8"]]);
        let chart: LineChart = serde_json::from_value(json!({ "x": {}, "y": {}, "series": series })).unwrap();
        let looks = looks(&chart);
        assert_eq!((looks[4].color, looks[4].marker, looks[4].dash), (style::color(2), 1, 1));
        assert_eq!(name(&chart.series[4]), "c, q8");
    }

    #[test]
    fn two_models_need_no_second_legend() {
        let plain = json!([{ "name": "teacher", "points": [] }, { "name": "student, q8", "points": [] }]);
        assert_eq!(blocks(&plain), [["teacher", "student, q8"]]);
    }
}
