//! What tells one series from another: colour, marker and dash, each enough by itself.

pub(super) use plotters::style::RGBColor as Color;

pub(super) const WHITE: Color = Color(255, 255, 255);
/// Text and axes.
pub(super) const INK: Color = Color(30, 30, 30);
/// Notes, and what is said in passing.
pub(super) const GREY: Color = Color(100, 100, 100);
pub(super) const GRID: Color = Color(222, 222, 222);

/// M. Okabe and K. Ito, "Color Universal Design" (2008): told apart with every kind of colour vision. Their yellow is too pale for a line
/// on paper and is left out; their black is dark grey, so that it is no axis.
const COLORS: [Color; 7] = [
    Color(0, 114, 178),
    Color(213, 94, 0),
    Color(0, 158, 115),
    Color(204, 121, 167),
    Color(230, 159, 0),
    Color(86, 180, 233),
    Color(70, 70, 70),
];

pub(super) fn color(number: usize) -> Color {
    COLORS[number % COLORS.len()]
}

/// Relative luminance (WCAG 2), between 0 and 1.
pub(super) fn luminance(color: Color) -> f64 {
    let linear = |value: u8| match f64::from(value) / 255.0 {
        low if low <= 0.03928 => low / 12.92,
        high => ((high + 0.055) / 1.055).powf(2.4),
    };
    0.2126 * linear(color.0) + 0.7152 * linear(color.1) + 0.0722 * linear(color.2)
}

/// On and off, in points, by turns.
const DASHES: [&[f64]; 5] = [&[], &[4.5, 1.8], &[1.3, 1.5], &[5.5, 1.5, 1.3, 1.5], &[9.0, 2.0]];

pub(super) fn dash(number: usize) -> &'static [f64] {
    DASHES[number % DASHES.len()]
}

/// A marker's outline around the origin, of about the area of a circle of radius 1.
pub(super) fn marker(number: usize) -> Vec<(f64, f64)> {
    let regular = |corners: usize, radius: f64, start: f64| -> Vec<(f64, f64)> {
        (0..corners)
            .map(|corner| {
                let angle = start + std::f64::consts::TAU * corner as f64 / corners as f64;
                (radius * angle.cos(), radius * angle.sin())
            })
            .collect()
    };
    let up = -std::f64::consts::FRAC_PI_2;
    match number % MARKERS {
        0 => regular(32, 1.0, 0.0),
        1 => regular(4, 1.25, std::f64::consts::FRAC_PI_4),
        2 => regular(3, 1.45, up),
        3 => regular(4, 1.35, 0.0),
        4 => regular(3, 1.45, -up),
        5 => regular(5, 1.2, up),
        6 => {
            // An upright cross.
            let (arm, reach) = (0.36, 1.35);
            let quarter = [(-arm, -reach), (arm, -reach), (arm, -arm)];
            (0..4).flat_map(|turn| quarter.map(|point| (0..turn).fold(point, |(x, y), _| (-y, x)))).collect()
        }
        _ => {
            let (outer, inner) = (regular(5, 1.6, up), regular(5, 0.7, up + std::f64::consts::PI / 5.0));
            outer.into_iter().zip(inner).flat_map(|(tip, notch)| [tip, notch]).collect()
        }
    }
}

const MARKERS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_of_forty_look_alike() {
        let looks: std::collections::HashSet<_> =
            (0..40).map(|number| (number % COLORS.len(), number % MARKERS, number % DASHES.len())).collect();
        assert_eq!(looks.len(), 40);
    }

    #[test]
    fn lines_stand_out_from_paper() {
        for color in COLORS {
            let contrast = 1.05 / (luminance(color) + 0.05);
            assert!(contrast > 2.0, "{color:?}: {contrast}");
        }
        assert!(luminance(GRID) > luminance(COLORS[5]) + 0.2);
    }

    #[test]
    fn markers_are_of_one_size() {
        for number in 0..MARKERS {
            let outline = marker(number);
            let next = outline.iter().cycle().skip(1);
            let area = outline.iter().zip(next).map(|(a, b)| a.0 * b.1 - b.0 * a.1).sum::<f64>().abs() / 2.0;
            assert!((2.3..3.7).contains(&area), "marker {number} has an area of {area}");
        }
    }
}
