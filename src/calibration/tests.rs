//! Each product beside what its definition says, number by number.

use super::*;
use std::sync::Arc;

const WIDTH: usize = 7;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const SIZE: usize = 6;

/// Numbers without any pattern, the same ones each time.
fn random(count: usize, seed: f64) -> Vec<f64> {
    (0..count).map(|index| ((index as f64 * 12.9898 + seed).sin() * 43758.5453).fract()).collect()
}

fn matrix(rows: usize, columns: usize, seed: f64) -> Matrix {
    let values = random(rows * columns, seed);
    Matrix::from_fn(rows, columns, |row, column| values[row * columns + column]).unwrap()
}

fn inputs() -> Arc<LayerInputs> {
    let window = |tokens: usize, seed| random(tokens * WIDTH, seed).into_iter().map(|value| value as f32).collect();
    Arc::new(LayerInputs { width: WIDTH, windows: vec![window(45, 0.3), window(37, 0.7)] })
}

fn sample(inputs: &Arc<LayerInputs>, window: Option<usize>) -> Arc<Sample> {
    let teacher = Teacher {
        heads: HEADS,
        kv_heads: KV_HEADS,
        queries: matrix(HEADS * SIZE, WIDTH, 1.0),
        keys: matrix(KV_HEADS * SIZE, WIDTH, 2.0),
        frequencies: vec![1.0, 0.3, 0.05],
        scale: 0.8,
        window,
    };
    Arc::new(Sample::new(inputs, teacher, 0..2, 40, 5).unwrap())
}

/// `rows` of `matrix` times the input at `position`, pairs `(i, i + pairs)` from row `first` on turned.
fn projected(matrix: &Matrix, rows: std::ops::Range<usize>, x: &[f32], first: usize, frequencies: &[f32], position: usize) -> Vec<f64> {
    let mut y: Vec<f64> =
        rows.map(|row| matrix.row(row).unwrap().iter().zip(x).map(|(weight, x)| weight * f64::from(*x)).sum::<f64>()).collect();
    for (pair, frequency) in frequencies.iter().enumerate() {
        let (sine, cosine) = (position as f64 * f64::from(*frequency)).sin_cos();
        let (a, b) = (y[first + pair], y[first + pair + frequencies.len()]);
        (y[first + pair], y[first + pair + frequencies.len()]) = (a * cosine - b * sine, b * cosine + a * sine);
    }
    y
}

struct Row {
    head: usize,
    window: usize,
    position: usize,
    /// Keys from `first` to the position.
    first: usize,
    teacher: Vec<f64>,
    p: Vec<f64>,
}

fn softmax(scores: &[f64]) -> Vec<f64> {
    let sum: f64 = scores.iter().map(|score| score.exp()).sum();
    scores.iter().map(|score| score.exp() / sum).collect()
}

/// Every sampled query of every head, by the definition.
fn rows(sample: &Sample) -> Vec<Row> {
    let teacher = &sample.teacher;
    let mut rows = Vec::new();
    for window in &sample.windows {
        let x = |position: usize| &sample.inputs.windows[window.index][position * WIDTH..][..WIDTH];
        for head in 0..HEADS {
            let kv_head = head * KV_HEADS / HEADS;
            for &position in &window.positions {
                let query = projected(&teacher.queries, head * SIZE..(head + 1) * SIZE, x(position), 0, &teacher.frequencies, position);
                let first = teacher.window.map_or(0, |window| (position + 1).saturating_sub(window));
                let score = |key: usize| {
                    let key = projected(&teacher.keys, kv_head * SIZE..(kv_head + 1) * SIZE, x(key), 0, &teacher.frequencies, key);
                    query.iter().zip(key).map(|(q, k)| q * k).sum::<f64>() * teacher.scale
                };
                let scores: Vec<f64> = (first..=position).map(score).collect();
                rows.push(Row { head, window: window.index, position, first, p: softmax(&scores), teacher: scores });
            }
        }
    }
    rows
}

fn variance(p: &[f64], e: &[f64]) -> f64 {
    let mean: f64 = p.iter().zip(e).map(|(p, e)| p * e).sum();
    p.iter().zip(e).map(|(p, e)| p * (e - mean).powi(2)).sum()
}

fn paths() -> Paths {
    Paths { kv_heads: KV_HEADS, sem: 2, geo: 4, frequencies: vec![vec![1.0, 0.05], vec![0.3, 0.05]] }
}

/// The student's scores of one row.
fn student(sample: &Sample, paths: &Paths, row: &Row, queries: &Matrix, keys: &Matrix) -> Vec<f64> {
    let (width, kv_head) = (paths.width(), row.head * paths.kv_heads / HEADS);
    let x = |position: usize| &sample.inputs.windows[row.window][position * WIDTH..][..WIDTH];
    let own = &paths.frequencies[kv_head];
    let query = projected(queries, row.head * width..(row.head + 1) * width, x(row.position), paths.sem, own, row.position);
    let score = |key: usize| {
        let key = projected(keys, kv_head * width..(kv_head + 1) * width, x(key), paths.sem, own, key);
        query.iter().zip(key).map(|(q, k)| q * k).sum::<f64>()
    };
    (row.first..=row.position).map(score).collect()
}

fn near(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() <= 2e-4 * expected.abs().max(1.0), "{what}: {found}, expected {expected}");
}

#[test]
fn statistics_are_those_of_the_definition() {
    let inputs = inputs();
    for window in [None, Some(9)] {
        let sample = sample(&inputs, window);
        let rows = rows(&sample);
        assert_eq!(rows.len(), HEADS * (40 + 37));
        let own = |head: usize| rows.iter().filter(move |row| row.head * KV_HEADS / HEADS == head);
        let x = |row: &Row, key: usize| &inputs.windows[row.window][key * WIDTH..][..WIDTH];
        for head in 0..KV_HEADS {
            let (mut moment, mut total, mut cosine) = (0.0, 0.0, 0.0);
            let (mut fetched, mut count) = (0.0, 0.0);
            for row in own(head) {
                let mut z = [0.0; 2];
                for (p, key) in row.p.iter().zip(row.first..) {
                    let weight = p * (1.0 - p);
                    let x = x(row, key);
                    moment += weight * f64::from(x[2]) * f64::from(x[4]);
                    total += weight;
                    cosine += weight * ((row.position - key) as f64 * 0.3f32 as f64).cos();
                    (z[0], z[1]) = (z[0] + p * f64::from(x[1]), z[1] + p * f64::from(x[3]));
                }
                (fetched, count) = (fetched + z[0] * z[1], count + 1.0);
            }
            near(sample.key_moment(head).unwrap().row(2).unwrap()[4], moment / total, "key moment");
            near(sample.value_moment(head).unwrap().row(1).unwrap()[3], fetched / count, "value moment");
            let (cosines, sines) = sample.mean_turns(head, &sample.teacher().frequencies).unwrap();
            near(cosines[1], cosine / total, "mean cosine");

            // What pair 1 contributes, and what it would if the key were turned once for all.
            let found = sample.pair_errors(head, &cosines, &sines, 1).unwrap()[1];
            let expected: f64 = own(head)
                .map(|row| {
                    let pair = |matrix: &Matrix, head: usize, position: usize, frequencies: &[f32]| {
                        let all = projected(matrix, head * SIZE..(head + 1) * SIZE, x(row, position), 0, frequencies, position);
                        [all[1], all[1 + SIZE / 2]]
                    };
                    let teacher = sample.teacher();
                    let error = |key: usize| {
                        let dot = |q: [f64; 2], k: [f64; 2]| (q[0] * k[0] + q[1] * k[1]) * teacher.scale;
                        let frequencies = &teacher.frequencies;
                        let [a, b] = pair(&teacher.keys, head, key, &[]);
                        let turned = [cosines[1] * a + sines[1] * b, cosines[1] * b - sines[1] * a];
                        dot(pair(&teacher.queries, row.head, row.position, frequencies), pair(&teacher.keys, head, key, frequencies))
                            - dot(pair(&teacher.queries, row.head, row.position, &[]), turned)
                    };
                    variance(&row.p, &(row.first..=row.position).map(error).collect::<Vec<_>>())
                })
                .sum();
            near(found, expected, "pair error");
        }
    }
}

#[test]
fn operators_are_the_gradient_and_errors_the_error() {
    let inputs = inputs();
    let sample = sample(&inputs, None);
    let rows = rows(&sample);
    let pooled = Paths { kv_heads: 1, sem: 0, geo: 6, frequencies: vec![vec![1.0, 0.3, 0.05]] };
    for paths in [paths(), pooled] {
        let (queries, keys) = (matrix(HEADS * paths.width(), WIDTH, 3.0), matrix(paths.kv_heads * paths.width(), WIDTH, 4.0));
        let own = |queries: &Matrix, keys: &Matrix| -> Vec<Vec<f64>> {
            rows.iter().map(|row| student(&sample, &paths, row, queries, keys)).collect()
        };
        let scores = own(&queries, &keys);
        let plain = Arc::new(Fit::new(&sample, paths.clone()).unwrap());
        let projections = Projections { queries: &queries, keys: &keys };

        let errors = |row: &Row, own: &[f64]| row.teacher.iter().zip(own).map(|(teacher, own)| teacher - own).collect::<Vec<_>>();
        let sum = |f: &dyn Fn(&Row, &[f64]) -> f64| rows.iter().zip(&scores).map(|(row, own)| f(row, own)).sum::<f64>();
        let (score_error, divergence) = plain.errors(projections).unwrap();
        let relative = sum(&|row, own| variance(&row.p, &errors(row, own))) / sum(&|row, _| variance(&row.p, &row.teacher));
        near(score_error, relative.sqrt(), "score error");
        let kl = |row: &Row, own: &[f64]| row.p.iter().zip(softmax(own)).map(|(p, own)| p * (p / own).ln()).sum::<f64>();
        near(divergence, sum(&kl) / rows.len() as f64, "divergence");

        // Weighed by both attentions, too. The error along any direction is a parabola: x.Ax - 2 x.b + c.
        for fit in [Arc::clone(&plain), Arc::new(plain.weighed_by(projections).unwrap())] {
            let is_plain = Arc::ptr_eq(&fit, &plain);
            let loss = |queries: &Matrix, keys: &Matrix| -> f64 {
                let weight = |row: &Row, present: &[f64]| match is_plain {
                    true => row.p.clone(),
                    false => row.p.iter().zip(softmax(present)).map(|(p, own)| 0.5 * (p + own)).collect(),
                };
                let each = rows.iter().zip(own(queries, keys)).zip(&scores);
                each.map(|((row, own), present)| variance(&weight(row, present), &errors(row, &own))).sum()
            };
            let origin = Matrix::zeros(queries.rows(), WIDTH).unwrap();
            let constant = loss(&origin, &keys);
            let operator = QueryOperator::new(&fit, &keys).unwrap();
            let parabola =
                queries.dot(&operator.apply(&queries).unwrap()).unwrap() - 2.0 * queries.dot(&operator.right().unwrap()).unwrap();
            near(parabola + constant, loss(&queries, &keys), "queries");
            let operator = KeyOperator::new(&fit, &queries).unwrap();
            let parabola = keys.dot(&operator.apply(&keys).unwrap()).unwrap() - 2.0 * keys.dot(&operator.right().unwrap()).unwrap();
            near(parabola + constant, loss(&queries, &keys), "keys");
            // Symmetric.
            let (a, b) = (matrix(keys.rows(), WIDTH, 5.0), matrix(keys.rows(), WIDTH, 6.0));
            near(a.dot(&operator.apply(&b).unwrap()).unwrap(), b.dot(&operator.apply(&a).unwrap()).unwrap(), "symmetry");
        }
    }
}

#[test]
fn what_the_attention_gives_is_compared_whole() {
    let inputs = inputs();
    let sample = sample(&inputs, None);
    let fit = Fit::new(&sample, paths()).unwrap();
    let (queries, keys) = (matrix(HEADS * 6, WIDTH, 3.0), matrix(KV_HEADS * 6, WIDTH, 4.0));
    let (values, out) = (matrix(KV_HEADS * 5, WIDTH, 7.0), matrix(WIDTH, HEADS * 5, 8.0));
    let (own_values, own_out) = (matrix(KV_HEADS * 3, WIDTH, 9.0), matrix(WIDTH, HEADS * 3, 10.0));
    let found = fit.output_error(Projections { queries: &queries, keys: &keys }, (&own_values, &own_out), (&values, &out)).unwrap();

    let rows = rows(&sample);
    let outputs = |student: bool| -> std::collections::BTreeMap<(usize, usize), Vec<f64>> {
        let (values, out, value) = if student { (&own_values, &own_out, 3) } else { (&values, &out, 5) };
        let mut sums = std::collections::BTreeMap::new();
        for row in &rows {
            let p = if student { softmax(&self::student(&sample, &paths(), row, &queries, &keys)) } else { row.p.clone() };
            let kv_head = row.head * KV_HEADS / HEADS;
            let mut fetched = vec![0.0; value];
            for (p, key) in p.iter().zip(row.first..) {
                let x = &inputs.windows[row.window][key * WIDTH..][..WIDTH];
                let own = projected(values, kv_head * value..(kv_head + 1) * value, x, 0, &[], key);
                fetched.iter_mut().zip(own).for_each(|(sum, value)| *sum += p * value);
            }
            let sum = sums.entry((row.window, row.position)).or_insert_with(|| vec![0.0; WIDTH]);
            for (index, sum) in sum.iter_mut().enumerate() {
                let weights = out.row(index).unwrap();
                *sum += fetched.iter().zip(&weights[row.head * value..]).map(|(value, weight)| value * weight).sum::<f64>();
            }
        }
        sums
    };
    let (expected, own) = (outputs(false), outputs(true));
    let squares: f64 = expected.values().flatten().map(|value| value * value).sum();
    let differences: f64 = expected.iter().flat_map(|(key, row)| row.iter().zip(&own[key])).map(|(a, b)| (a - b).powi(2)).sum();
    near(found, (differences / squares).sqrt(), "output error");
    assert!(fit.output_error(Projections { queries: &queries, keys: &keys }, (&own_values, &out), (&values, &out)).is_err());
}

#[test]
fn conjugate_gradients_of_blocks_are_those_of_each_block() {
    let block = |seed| {
        let a = matrix(3, 3, seed);
        a.times(&a.transposed()).unwrap()
    };
    let (first, second, right) = (block(1.0), block(2.0), matrix(6, 2, 3.0));
    let apply = |x: &Matrix| -> Result<Matrix> { Matrix::stacked(&[&first.times(&x.rows_of(0..3)?)?, &second.times(&x.rows_of(3..6)?)?]) };
    let solved = crate::linear_algebra::conjugate_gradients(apply, &right, &Matrix::zeros(6, 2).unwrap(), 6, 2).unwrap();
    assert!(apply(&solved).unwrap().minus(&right).unwrap().norm() < 1e-6, "three rows and two columns, solved in six steps");
}
