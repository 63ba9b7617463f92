//! Any text as LaTeX.

use std::fmt::Write;

/// Any text, so that LaTeX prints it as it is. Letters of all scripts are kept; signs that LaTeX knows only in formulas become formulas.
///
/// # Example
/// ```
/// assert_eq!(caramba::artifact::latex::escape("50 % of a_b & c"), r"50 \% of a\_b \& c");
/// ```
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    let mut before = None;
    for character in text.chars() {
        // `--`, ``` `` ``` and the like would join into other signs.
        if before == Some(character) && matches!(character, '-' | '\'' | ',' | '<' | '>') {
            escaped.push_str("{}");
        }
        match character {
            '\\' => escaped.push_str(r"\textbackslash{}"),
            '{' | '}' | '$' | '&' | '#' | '_' | '%' => {
                escaped.push('\\');
                escaped.push(character);
            }
            '^' => escaped.push_str(r"\textasciicircum{}"),
            '~' => escaped.push_str(r"\textasciitilde{}"),
            '<' => escaped.push_str(r"\textless{}"),
            '>' => escaped.push_str(r"\textgreater{}"),
            '|' => escaped.push_str(r"\textbar{}"),
            '"' => escaped.push_str(r"\textquotedblright{}"),
            '`' => escaped.push_str(r"\`{}"),
            // At the start of a row, `[` would be an argument of the row before, and so would `*`.
            '[' | ']' | '*' => {
                let _ = write!(escaped, "{{{character}}}");
            }
            '\u{a0}' => escaped.push('~'),
            _ if character.is_whitespace() => escaped.push(' '),
            _ if character.is_control() => {}
            _ => match formula(character) {
                Some(formula) => {
                    let _ = write!(escaped, "${formula}$");
                }
                None => escaped.push(character),
            },
        }
        before = Some(character);
    }
    escaped
}

/// The name of a sign that stands in formulas only.
fn formula(character: char) -> Option<&'static str> {
    Some(match character {
        '±' => r"\pm",
        '×' => r"\times",
        '÷' => r"\div",
        '·' => r"\cdot",
        '−' => "-",
        '≤' => r"\leq",
        '≥' => r"\geq",
        '≠' => r"\neq",
        '≈' => r"\approx",
        '∞' => r"\infty",
        '√' => r"\surd",
        '∆' | 'Δ' => r"\Delta",
        '∑' | 'Σ' => r"\Sigma",
        '→' => r"\rightarrow",
        '←' => r"\leftarrow",
        '↑' => r"\uparrow",
        '↓' => r"\downarrow",
        '↔' => r"\leftrightarrow",
        '✓' | '✔' => r"\surd",
        'µ' | 'μ' => r"\mu",
        'α' => r"\alpha",
        'β' => r"\beta",
        'γ' => r"\gamma",
        'δ' => r"\delta",
        'ε' => r"\varepsilon",
        'η' => r"\eta",
        'θ' => r"\theta",
        'κ' => r"\kappa",
        'λ' => r"\lambda",
        'π' => r"\pi",
        'ρ' => r"\rho",
        'σ' => r"\sigma",
        'τ' => r"\tau",
        'φ' => r"\varphi",
        'ψ' => r"\psi",
        'ω' => r"\omega",
        'Ω' => r"\Omega",
        '⁰' => "^0",
        '¹' => "^1",
        '²' => "^2",
        '³' => "^3",
        '⁴' => "^4",
        '⁵' => "^5",
        '⁶' => "^6",
        '⁷' => "^7",
        '⁸' => "^8",
        '⁹' => "^9",
        '⁻' => "^-",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_special_sign_is_escaped() {
        insta::assert_snapshot!(escape("\\ { } $ & # ^ _ ~ % < > | \" ` [x]* -- ''\n\tα é 模型 \u{7}Δ ± 5 µs"), @r"\textbackslash{} \{ \} \$ \& \# \textasciicircum{} \_ \textasciitilde{} \% \textless{} \textgreater{} \textbar{} \textquotedblright{} \`{} {[}x{]}{*} -{}- '{}'  $\alpha$ é 模型 $\Delta$ $\pm$ 5 $\mu$s");
    }
}
