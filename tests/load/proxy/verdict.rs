//! Whether ours is as good as it must be.
//!
//! Where peers take part a second time with large buffers, ours is held against both kinds: against what a distribution delivers, and
//! against the best that a careful operator makes of it.

use serde_json::{Value as Json, json};

use crate::figures::{Rule, Series};

/// Measuring is not more exact than this.
const TOLERANCE: f64 = 0.03;

/// Ours against a rule.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// What is compared, in words.
    what: String,
    /// What is compared with the limit: a part, or the value itself.
    found: f64,
    limit: f64,
}

impl Verdict {
    /// All that the medians of a series tell; none when one of those that are compared is missing.
    pub(crate) fn all(series: &Series, medians: &[(&str, f64)]) -> Vec<Self> {
        let Some((_, ours)) = medians.iter().find(|(name, _)| *name == "holt") else {
            return Vec::new();
        };
        if let Rule::AtMost(limit) = series.rule {
            return vec![Self {
                what: format!("holt, in {}", series.value.unit()),
                found: *ours,
                limit,
            }];
        }
        [false, true]
            .into_iter()
            .filter_map(|is_tuned| {
                let (name, theirs) = best(series, medians, is_tuned)?;
                let (what, limit) = match series.rule {
                    Rule::PartOfBest(limit) => (format!("holt / best peer ({name})"), limit),
                    Rule::PartOf(_, limit) | Rule::AtMost(limit) => {
                        (format!("holt / {name}"), limit)
                    }
                };
                Some(Self {
                    what,
                    found: ours / theirs,
                    limit,
                })
            })
            .collect()
    }

    pub(crate) fn is_met(&self) -> bool {
        self.found <= self.limit
    }

    pub(crate) fn words(&self) -> String {
        let Self { what, found, limit } = self;
        let digits = if *limit < 100.0 { 3 } else { 0 };
        let missed = found / limit - 1.0;
        let end = if self.is_met() {
            "met".to_owned()
        } else if missed <= TOLERANCE {
            format!(
                "missed by {:.1} %, within the tolerance of 3 %",
                missed * 100.0
            )
        } else {
            format!("missed by {:.1} %", missed * 100.0)
        };
        format!("{what}: {found:.digits$}, target at most {limit}: {end}")
    }

    pub(crate) fn json(&self) -> Json {
        json!({
            "what": self.what,
            "found": self.found,
            "limit": self.limit,
            "is_met": self.is_met(),
        })
    }
}

/// The lowest of those that the rule names, either as they are delivered or with large buffers.
fn best<'name>(
    series: &Series,
    medians: &[(&'name str, f64)],
    is_tuned: bool,
) -> Option<(&'name str, f64)> {
    let is_meant = |name: &str| {
        let contestant = series.contestants.iter().find(|one| one.name == name);
        contestant.is_some_and(|one| {
            one.buffer.is_some() == is_tuned
                && match series.rule {
                    Rule::PartOf(rival, _) => name.trim_end_matches(" 64k") == rival,
                    Rule::PartOfBest(_) | Rule::AtMost(_) => name != "holt",
                }
        })
    };
    medians
        .iter()
        .copied()
        .filter(|(name, value)| is_meant(name) && value.is_finite())
        .min_by(|one, other| one.1.total_cmp(&other.1))
}
