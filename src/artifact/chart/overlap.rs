//! Marks that would hide each other are moved apart: markers and error bars at one place side by side, lines on each other by as much as
//! they are wide. The distances are those of the pen (a few points), not of what is measured, and the numbers in the file are as measured.

use super::Rect;
use super::legend::{LINE_WIDTH, MARKER};

/// Centres of markers nearer than this hide each other.
const HIDES: f64 = MARKER * 0.8;
/// From one of the markers side by side to the next.
const STEP: f64 = 2.0 * MARKER + 0.8;
/// All marks side by side take no more than this together: what is measured at one place is seen to be.
const MOST_MARKS: f64 = 14.0;
/// Lines nearer than this lie on each other.
const ON: f64 = LINE_WIDTH;
/// All lines that lie on each other take no more than this together.
const MOST_LINES: f64 = 6.0;
/// The most that a steep line is moved down, of what a level one is.
const MOST_STEEP: f64 = 2.5;
/// A cloud of more points than these is left as it is.
const MOST_POINTS: usize = 1000;

/// A mark of a series: where its point is, and from where to where its interval reaches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mark {
    pub(super) at: (f64, f64),
    pub(super) interval: Option<(f64, f64)>,
}

/// The points of a line; `None` is a gap.
pub(super) type Joints<'a> = &'a [Option<(f64, f64)>];

impl Mark {
    fn hides(&self, other: &Mark) -> bool {
        let near = (self.at.1 - other.at.1).abs() < HIDES;
        match (self.interval, other.interval) {
            (Some((high, low)), Some((other_high, other_low))) => near || (high < other_low && other_high < low),
            (Some((high, low)), None) => near || (high - HIDES..low + HIDES).contains(&other.at.1),
            (None, Some(_)) => other.hides(self),
            (None, None) => near,
        }
    }
}

/// How far to the right each mark of each series is moved. `None` is no mark.
pub(super) fn shifts(series: &[Vec<Option<Mark>>], area: Rect) -> Vec<Vec<f64>> {
    let mut shifts: Vec<Vec<f64>> = series.iter().map(|marks| vec![0.0; marks.len()]).collect();
    let mut marks: Vec<(usize, usize, Mark)> = Vec::new();
    for (number, one) in series.iter().enumerate() {
        marks.extend(one.iter().enumerate().filter_map(|(index, mark)| mark.map(|mark| (number, index, mark))));
    }
    if marks.len() > MOST_POINTS {
        return shifts;
    }
    marks.sort_by(|a, b| a.2.at.0.total_cmp(&b.2.at.0).then(a.0.cmp(&b.0)));
    let columns: Vec<&[(usize, usize, Mark)]> = marks.chunk_by(|a, b| b.2.at.0 - a.2.at.0 < 0.5).collect();
    let lefts: Vec<f64> = columns.iter().map(|column| column[0].2.at.0).collect();
    for (index, column) in columns.iter().enumerate() {
        let gap = [index.checked_sub(1).map(|before| lefts[index] - lefts[before]), lefts.get(index + 1).map(|next| next - lefts[index])];
        let room = (gap.into_iter().flatten().fold(area.width(), f64::min) * 0.6).min(MOST_MARKS);
        for together in components(column) {
            let mut members: Vec<usize> = together.iter().map(|&member| column[member].0).collect();
            members.dedup();
            // What one series measured twice at one place belongs there.
            let step = STEP.min(room / members.len() as f64);
            for &member in &together {
                let (number, point, _) = column[member];
                let rank = members.iter().position(|other| *other == number).unwrap_or(0);
                shifts[number][point] = (rank as f64 - (members.len() - 1) as f64 / 2.0) * step;
            }
        }
    }
    shifts
}

/// The marks of one column in sets that hide each other, in the order of their series.
fn components(column: &[(usize, usize, Mark)]) -> Vec<Vec<usize>> {
    let mut sets: Vec<Vec<usize>> = Vec::new();
    for (index, (_, _, mark)) in column.iter().enumerate() {
        let (mut touched, apart): (Vec<Vec<usize>>, Vec<Vec<usize>>) =
            sets.into_iter().partition(|set| set.iter().any(|other| column[*other].2.hides(mark)));
        touched.push(vec![index]);
        sets = apart;
        let mut joined = touched.concat();
        joined.sort_unstable();
        sets.push(joined);
    }
    sets
}

/// How far down each line is moved at each of its points, so that lines that lie on each other for two points or more run beside each other.
/// `None` is no line.
pub(super) fn offsets(lines: &[Option<Joints<'_>>], area: Rect) -> Vec<Vec<f64>> {
    let mut offsets: Vec<Vec<f64>> = lines.iter().map(|line| vec![0.0; line.map_or(0, <[_]>::len)]).collect();
    let paths: Vec<Vec<(usize, (f64, f64))>> = lines
        .iter()
        .map(|line| line.unwrap_or_default().iter().enumerate().filter_map(|(index, at)| Some((index, (*at)?))).collect())
        .collect();
    if paths.iter().map(Vec::len).sum::<usize>() > MOST_POINTS {
        return offsets;
    }
    for (number, path) in paths.iter().enumerate() {
        for (place, &(index, (_, y))) in path.iter().enumerate() {
            // This line and those on it, in the order of their series; each has a share of the room.
            let mut together: Vec<(usize, f64)> = vec![(number, y)];
            for (other, line) in paths.iter().enumerate().filter(|(other, _)| *other != number) {
                together.extend(meets(path, place, line).map(|other_y| (other, other_y)));
            }
            if together.len() == 1 {
                continue;
            }
            together.sort_by_key(|(other, _)| *other);
            let rank = together.iter().position(|(other, _)| *other == number).unwrap_or(0);
            // Where a line is steep, moving it down takes it less far aside.
            let around = (path[place.saturating_sub(1)].1, path[(place + 1).min(path.len() - 1)].1);
            let (dx, dy) = (around.1.0 - around.0.0, around.1.1 - around.0.1);
            let steep = if dx == 0.0 { MOST_STEEP } else { (dx.hypot(dy) / dx.abs()).min(MOST_STEEP) };
            let step = (LINE_WIDTH + 0.2).min(MOST_LINES / together.len() as f64) * steep;
            let last = (together.len() - 1) as f64;
            // Nothing is moved through the axis.
            let lowest = together.iter().map(|(_, y)| *y).fold(y, f64::max) + last / 2.0 * step;
            offsets[number][index] = (rank as f64 - last / 2.0) * step - (lowest - area.bottom).clamp(0.0, last / 2.0 * step);
        }
    }
    offsets
}

/// Where another line is at a point of this one, if it is on this one there and at a point beside it.
fn meets(path: &[(usize, (f64, f64))], place: usize, other: &[(usize, (f64, f64))]) -> Option<f64> {
    let on = |place: usize| {
        let (_, (x, y)) = *path.get(place)?;
        let (_, (_, other_y)) = *other.iter().find(|(_, (other_x, _))| (x - other_x).abs() < 0.5)?;
        ((y - other_y).abs() < ON).then_some(other_y)
    };
    let here = on(place)?;
    (on(place + 1).is_some() || place.checked_sub(1).is_some_and(|before| on(before).is_some())).then_some(here)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AREA: Rect = Rect { left: 0.0, top: 0.0, right: 200.0, bottom: 100.0 };

    fn mark(x: f64, y: f64) -> Option<Mark> {
        Some(Mark { at: (x, y), interval: None })
    }

    #[test]
    fn hidden_markers_stand_side_by_side() {
        let shifts = shifts(&[vec![mark(50.0, 20.0), mark(100.0, 20.0)], vec![mark(50.0, 20.4), mark(100.0, 60.0), None]], AREA);
        assert_eq!(shifts, [[-STEP / 2.0, 0.0].to_vec(), [STEP / 2.0, 0.0, 0.0].to_vec()]);
    }

    #[test]
    fn overlapping_error_bars_stand_side_by_side() {
        let with = |y: f64, high: f64, low: f64| Some(Mark { at: (50.0, y), interval: Some((high, low)) });
        let moved = shifts(&[vec![with(20.0, 10.0, 30.0)], vec![with(35.0, 25.0, 45.0)]], AREA);
        assert!(moved[0][0] < 0.0 && moved[1][0] == -moved[0][0], "{moved:?}");
        let apart = shifts(&[vec![with(20.0, 10.0, 30.0)], vec![with(60.0, 50.0, 70.0)]], AREA);
        assert_eq!(apart, [[0.0], [0.0]]);
    }

    #[test]
    fn many_at_one_place_stay_nearer_to_it_than_to_the_next() {
        let series: Vec<Vec<Option<Mark>>> = (0..15).map(|_| vec![mark(50.0, 20.0), mark(80.0, 20.0)]).collect();
        let shifts = shifts(&series, AREA);
        assert!(shifts.iter().flatten().all(|shift| shift.abs() < 15.0), "{shifts:?}");
    }

    #[test]
    fn repeats_of_one_series_stay() {
        assert_eq!(shifts(&[vec![mark(50.0, 20.0), mark(50.0, 20.5)]], AREA), [[0.0, 0.0]]);
    }

    fn line(heights: &[f64]) -> Vec<Option<(f64, f64)>> {
        heights.iter().enumerate().map(|(index, y)| Some((index as f64 * 50.0, *y))).collect()
    }

    #[test]
    fn lines_on_each_other_run_beside_each_other_as_long_as_they_do() {
        let (one, apart, other) = (line(&[10.0, 10.0, 10.0]), line(&[40.0, 40.0, 40.0]), line(&[10.0, 10.5, 60.0]));
        let moved = offsets(&[Some(&one), Some(&apart), Some(&other), None], AREA);
        let half = (LINE_WIDTH + 0.2) / 2.0;
        assert!((moved[0][0] + half).abs() < 0.01 && (moved[2][0] - half).abs() < 0.01, "{moved:?}");
        assert!(moved[0][2] == 0.0 && moved[2][2] == 0.0 && moved[1] == [0.0; 3], "{moved:?}");
        // They meet once: a crossing.
        let crossing = line(&[40.0, 10.0, -20.0]);
        assert_eq!(offsets(&[Some(&one), Some(&crossing)], AREA), [[0.0; 3], [0.0; 3]]);
    }

    #[test]
    fn lines_on_the_axis_are_moved_up() {
        let one = line(&[100.0, 100.0]);
        let moved = offsets(&[Some(&one), Some(&one)], AREA);
        assert!(moved[0][0] < 0.0 && moved[1] == [0.0; 2], "{moved:?}");
    }
}
