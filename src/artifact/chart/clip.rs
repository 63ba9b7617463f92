//! What of lines and shapes is inside the plot.

use super::Rect;

/// The part of a shape between the left and right ends of an area (Sutherland and Hodgman 1974).
pub(super) fn cut(outline: &[(f64, f64)], area: Rect) -> Vec<(f64, f64)> {
    let beside = |outline: &[(f64, f64)], edge: f64, keep: fn(f64, f64) -> bool| -> Vec<(f64, f64)> {
        let mut kept = Vec::new();
        for (index, &(x, y)) in outline.iter().enumerate() {
            let (before_x, before_y) = outline[(index + outline.len() - 1) % outline.len()];
            if keep(x, edge) != keep(before_x, edge) {
                kept.push((edge, before_y + (y - before_y) * (edge - before_x) / (x - before_x)));
            }
            if keep(x, edge) {
                kept.push((x, y));
            }
        }
        kept
    };
    let right_of = beside(outline, area.left, |x, edge| x >= edge);
    beside(&right_of, area.right, |x, edge| x <= edge)
}

pub(super) fn inside((x, y): (f64, f64), area: Rect) -> bool {
    const SLACK: f64 = 0.01;
    (area.left - SLACK..=area.right + SLACK).contains(&x) && (area.top - SLACK..=area.bottom + SLACK).contains(&y)
}

/// The parts of a line that are inside (Liang and Barsky 1984).
pub(super) fn clipped(points: &[(f64, f64)], area: Rect) -> Vec<Vec<(f64, f64)>> {
    let mut pieces: Vec<Vec<(f64, f64)>> = Vec::new();
    for pair in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        let (dx, dy) = (x1 - x0, y1 - y0);
        let (mut enter, mut leave) = (0.0f64, 1.0f64);
        for (run, room) in [(-dx, x0 - area.left), (dx, area.right - x0), (-dy, y0 - area.top), (dy, area.bottom - y0)] {
            match run {
                0.0 if room < 0.0 => leave = -1.0,
                0.0 => {}
                run if run < 0.0 => enter = enter.max(room / run),
                run => leave = leave.min(room / run),
            }
        }
        if enter > leave {
            continue;
        }
        let at = |share: f64| (x0 + dx * share, y0 + dy * share);
        match pieces.last_mut() {
            Some(piece) if enter == 0.0 && piece.last() == Some(&pair[0]) => piece.push(at(leave)),
            _ => pieces.push(vec![at(enter), at(leave)]),
        }
    }
    pieces
}
