//! What was measured, and what it comes to: medians and their ratio.

use std::collections::BTreeMap;
use std::time::Duration;

/// Seconds of each race, by number of users and side.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    races: BTreeMap<usize, BTreeMap<&'static str, Vec<Race>>>,
}

#[derive(Debug, Clone, Copy)]
struct Race {
    /// Until the last server answered.
    all: f64,
    /// Until the middle one did.
    middle: f64,
}

impl Figures {
    /// Prints a race, and keeps it unless it was only for warming up.
    pub(crate) fn add(
        &mut self,
        side: &'static str,
        users: usize,
        times: Vec<Duration>,
        is_quiet: bool,
        is_warm_up: bool,
    ) {
        let seconds: Vec<f64> = times.iter().map(Duration::as_secs_f64).collect();
        let race = Race {
            all: seconds.iter().copied().fold(0.0, f64::max),
            middle: median(&seconds),
        };
        let fastest = seconds.iter().copied().fold(f64::MAX, f64::min);
        println!(
            "{side:<10} {users} at once: all after {:6.2} s, middle {:6.2} s, first {fastest:6.2} s{}{}",
            race.all,
            race.middle,
            if is_warm_up { "  (warm-up)" } else { "" },
            if is_quiet {
                ""
            } else {
                "  (the machine was busy before)"
            },
        );
        if !is_warm_up {
            let sides = self.races.entry(users).or_default();
            sides.entry(side).or_default().push(race);
        }
    }

    /// Prints medians and ratios; whether all targets are met.
    pub(crate) fn print(&self, targets: &[(usize, f64)]) -> bool {
        let mut is_met = true;
        for (users, sides) in &self.races {
            let target = targets.iter().find(|(of, _)| of == users);
            let mut medians = BTreeMap::new();
            println!();
            for (side, races) in sides {
                let all = median(&races.iter().map(|race| race.all).collect::<Vec<_>>());
                let middle = median(&races.iter().map(|race| race.middle).collect::<Vec<_>>());
                let best = races.iter().map(|race| race.all).fold(f64::MAX, f64::min);
                println!(
                    "{users} at once, {side:<10} median of {} rounds: all after {all:.2} s (best {best:.2} s), middle {middle:.2} s",
                    races.len()
                );
                medians.insert(*side, (all, middle));
            }
            let (Some(holt), Some(peer)) = (medians.get("Holt"), medians.get("JupyterHub")) else {
                continue;
            };
            let (all, middle) = (holt.0 / peer.0, holt.1 / peer.1);
            let verdict = match target {
                Some((_, target)) if all <= *target => format!("target {target}: met"),
                Some((_, target)) => {
                    is_met = false;
                    format!("target {target}: MISSED")
                }
                None => "no target".to_owned(),
            };
            println!(
                "{users} at once, Holt / JupyterHub: all {all:.2}, middle {middle:.2} ({verdict})"
            );
        }
        is_met
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
