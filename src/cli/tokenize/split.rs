//! Shares of a corpus: `train=0.9,val=0.1`.

use std::str::FromStr;

/// Names and shares; the shares add up to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Split(pub Vec<(String, f64)>);

impl FromStr for Split {
    type Err = String;

    fn from_str(text: &str) -> Result<Split, String> {
        let part = |part: &str| {
            let (name, share) = part.split_once('=')?;
            let share = share
                .trim()
                .strip_suffix('%')
                .map_or_else(|| share.trim().parse(), |percent| percent.parse().map(|share: f64| share / 100.0));
            let plain = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_-".contains(c));
            Some((name.trim().to_owned(), share.ok().filter(|share| *share > 0.0 && *share <= 1.0)?)).filter(|(name, _)| plain(name))
        };
        let parts: Option<Vec<(String, f64)>> = text.split(',').map(part).collect();
        let parts = parts.ok_or("write names and shares such as train=0.9,val=0.1")?;
        let total: f64 = parts.iter().map(|(_, share)| share).sum();
        if (total - 1.0).abs() > 1e-6 {
            return Err(format!("the shares add up to {total}, expected 1"));
        }
        match parts.iter().enumerate().find(|(index, (name, _))| parts[..*index].iter().any(|(other, _)| other == name)) {
            Some((_, (name, _))) => Err(format!("`{name}` is named twice")),
            None => Ok(Split(parts)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up() {
        let split: Split = "train=0.9,val=10%".parse().unwrap();
        assert_eq!(split.0, [("train".to_owned(), 0.9), ("val".to_owned(), 0.1)]);
        for (text, expected) in [
            ("train", "write names"),
            ("a=0.5", "add up to 0.5"),
            ("a=0.5,a=0.5", "twice"),
            ("a/b=1", "write names"),
            ("a=-1,b=2", "write"),
        ] {
            let told = text.parse::<Split>().unwrap_err();
            assert!(told.contains(expected), "{text}: {told}");
        }
    }
}
