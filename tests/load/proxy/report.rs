//! What came of a series: a table for people, and the same for programs.

use serde_json::{Value as Json, json};

use crate::figures::Series;
use crate::load::{Latency, Outcome};
use crate::verdict::Verdict;

/// Errors that are printed of each contestant.
const SHOWN: usize = 3;
const MIB: f64 = (1 << 20) as f64;

/// Outcomes by contestant, in the order in which they first came.
#[derive(Debug, Default)]
pub(crate) struct Results {
    rows: Vec<Row>,
}

#[derive(Debug, Default)]
struct Row {
    name: String,
    outcomes: Vec<Outcome>,
    errors: Vec<String>,
    /// Measurements before which the machine had other work.
    disturbed: usize,
}

impl Results {
    pub(crate) fn add(&mut self, name: &str, outcome: &Outcome, is_quiet: bool) {
        let row = self.row(name);
        row.errors.extend(outcome.errors.iter().cloned());
        row.outcomes.push(outcome.clone());
        row.disturbed += usize::from(!is_quiet);
    }

    pub(crate) fn fail(&mut self, name: &str, error: String) {
        self.row(name).errors.push(error);
    }

    fn row(&mut self, name: &str) -> &mut Row {
        let at = self.rows.iter().position(|row| row.name == name);
        let at = at.unwrap_or_else(|| {
            self.rows.push(Row {
                name: name.to_owned(),
                ..Row::default()
            });
            self.rows.len() - 1
        });
        &mut self.rows[at]
    }

    /// Whether nothing went wrong.
    pub(crate) fn is_clean(&self) -> bool {
        self.rows.iter().all(|row| row.errors.is_empty())
    }

    /// Prints the table; whether no target is missed.
    pub(crate) fn print(&self, series: &Series) -> bool {
        let unit = series.value.unit();
        let per_second = if series.kind.is_bulk() {
            "MiB/s"
        } else {
            "per second"
        };
        println!("\n{}: {}", series.name, series.title);
        println!(
            "  {:<14}{:>12}{:>12}{:>12}{:>8}{per_second:>12}{:>12}",
            format!("in {unit}"),
            "median",
            "lowest",
            "highest",
            "busy",
            "holt / it"
        );
        let medians = self.medians(series);
        let ours = medians.iter().find(|(name, _)| *name == "holt");
        for row in &self.rows {
            let values = row.values(series);
            let part = match ours {
                Some((_, ours)) if row.name != "holt" => format!("{:.2}", ours / median(&values)),
                _ => String::new(),
            };
            println!(
                "  {:<14}{:>12.1}{:>12.1}{:>12.1}{:>6.0} %{:>12.0}{part:>12}",
                row.name,
                median(&values),
                values.iter().copied().fold(f64::INFINITY, f64::min),
                values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                row.median(|it| it.cpu_nanoseconds as f64 / 1e7 / it.seconds),
                row.median(|it| it.units as f64 / it.seconds)
                    / if series.kind.is_bulk() { MIB } else { 1.0 },
            );
        }
        for row in &self.rows {
            row.print_notes(series);
        }
        let verdicts = Verdict::all(series, &medians);
        for verdict in &verdicts {
            println!("  {}", verdict.words());
        }
        if verdicts.is_empty() {
            println!("  no target without those that it compares");
        }
        verdicts.iter().all(Verdict::is_met)
    }

    fn medians(&self, series: &Series) -> Vec<(&str, f64)> {
        self.rows
            .iter()
            .map(|row| (row.name.as_str(), median(&row.values(series))))
            .collect()
    }

    /// The same for programs.
    pub(crate) fn json(&self, series: &Series) -> Json {
        let rows: Vec<Json> = self
            .rows
            .iter()
            .map(|row| {
                let values = row.values(series);
                json!({
                    "name": row.name,
                    "median": median(&values),
                    "values": values,
                    "outcomes": row.outcomes,
                    "errors": row.errors,
                    "disturbed": row.disturbed,
                })
            })
            .collect();
        let verdicts = Verdict::all(series, &self.medians(series));
        json!({
            "name": series.name,
            "title": series.title,
            "unit": series.value.unit(),
            "rows": rows,
            "verdicts": verdicts.iter().map(Verdict::json).collect::<Vec<_>>(),
        })
    }
}

impl Row {
    fn values(&self, series: &Series) -> Vec<f64> {
        self.each(|outcome| series.value.of(outcome))
    }

    fn each(&self, value: impl Fn(&Outcome) -> f64) -> Vec<f64> {
        self.outcomes.iter().map(value).collect()
    }

    fn median(&self, value: impl Fn(&Outcome) -> f64) -> f64 {
        median(&self.each(value))
    }

    fn print_notes(&self, series: &Series) {
        let name = &self.name;
        let latency = |pick: fn(&Latency) -> f64| {
            self.median(|it| it.latency.as_ref().map_or(f64::NAN, pick) * 1e6)
        };
        if self.outcomes.iter().any(|it| it.latency.is_some()) {
            println!(
                "  {name}: half within {:.0} µs, 99.9 % within {:.0} µs",
                latency(|it| it.middle),
                latency(|it| it.p999)
            );
        }
        if series.kind.is_bulk() || series.is_fresh {
            println!(
                "  {name}: {:.1} MiB before, {:.1} MiB after, at most {:.1} MiB resident in between",
                self.median(|it| it.memory.0 as f64 / MIB),
                self.median(|it| it.memory.1 as f64 / MIB),
                self.each(|it| it.peak as f64 / MIB)
                    .into_iter()
                    .fold(0.0, f64::max)
            );
        }
        if self.disturbed > 0 {
            println!(
                "  note: the machine had other work before {} rounds of {name}",
                self.disturbed
            );
        }
        for error in self.errors.iter().take(SHOWN) {
            println!("  ERROR of {name}: {error}");
        }
        if self.errors.len() > SHOWN {
            println!("  ERRORS of {name}: {} in all", self.errors.len());
        }
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}
