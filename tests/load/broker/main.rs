//! What it costs to ask a wiki by the hub instead of directly, in one run and in turns.
//!
//! The hub runs notebooks as processes of this machine, so that a client here may show a launch's token. Both ways ask the same wiki of
//! the tests for the same; by the hub, the request goes through the proxy, is checked, authorised, sent, and written down.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use futures_util::future::try_join_all;
use holt_tests::hub::{Hub, Wish};
use holt_tests::kernel::Kernel;
use holt_tests::person::Person;
use holt_tests::wiki::{Consumer, Wiki};

/// Milliseconds at the median over a direct call.
const TARGET: f64 = 3.0;
const SECRET: &str = "707b147bc75e3b420d4220edb2da8d3d6bd70d40";

/// Calls of a wiki by the hub and directly, side by side.
#[derive(Debug, Parser)]
struct Arguments {
    /// Rounds that count; one more goes before.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Calls under way at once.
    #[arg(long, default_value_t = 50)]
    concurrent: usize,
    /// Calls of each in a round.
    #[arg(long, default_value_t = 40)]
    calls: usize,
}

/// A launch's way to the broker.
struct Way {
    broker: String,
    token: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let (_hub, wiki, way) = prepared().await?;
    let url = format!(
        "{}?action=query&meta=siteinfo&siprop=namespaces&format=json",
        wiki.api_url()
    );
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(30))
        .build()?;
    let direct = || client.get(&url);
    let brokered = || {
        let request = client.post(&way.broker).bearer_auth(&way.token);
        request
            .header("Holt-Method", "GET")
            .header("Holt-Url", &url)
    };
    let (mut of_direct, mut of_brokered) = (Vec::new(), Vec::new());
    for round in 0..=arguments.rounds {
        let direct = calls(&arguments, direct).await?;
        let brokered = calls(&arguments, brokered).await?;
        if round > 0 {
            of_direct.extend(direct);
            of_brokered.extend(brokered);
        }
    }
    println!(
        "{} at once, {} rounds, {} calls a round",
        arguments.concurrent,
        arguments.rounds,
        arguments.concurrent * arguments.calls
    );
    let mut medians = [0.0; 2];
    for (place, (name, times)) in [("direct", &mut of_direct), ("by the hub", &mut of_brokered)]
        .into_iter()
        .enumerate()
    {
        times.sort_by(f64::total_cmp);
        medians[place] = times[times.len() / 2];
        println!(
            "{name:>10}: median {:.2} ms, 95th {:.2} ms, 99th {:.2} ms",
            medians[place],
            times[times.len() * 95 / 100],
            times[times.len() * 99 / 100]
        );
    }
    println!(
        "over a direct call: {:.2} ms at the median (target {TARGET} ms)",
        medians[1] - medians[0]
    );
    Ok(())
}

/// How long each call took, in milliseconds.
async fn calls(
    arguments: &Arguments,
    request: impl Fn() -> reqwest::RequestBuilder,
) -> Result<Vec<f64>> {
    let one = || async {
        let mut times = Vec::new();
        for _ in 0..arguments.calls {
            let begun = Instant::now();
            let answer = request().send().await?;
            ensure!(answer.status() == 200, "{}", answer.status());
            answer.bytes().await?;
            times.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
        Ok(times)
    };
    let all = try_join_all((0..arguments.concurrent).map(|_| one())).await?;
    Ok(all.concat())
}

/// A hub that acts on a wiki for somebody whose server runs.
async fn prepared() -> Result<(Hub, Wiki, Way)> {
    let key = "ff68fd86be55839e0bc4db271de8860c";
    let mut hub = Hub::new(Wish::default().env("HOLT__PROVIDER__WIKI__CLIENT_SECRET", SECRET))?;
    let wiki = Wiki::start()?;
    let callback = format!("{}/hub/oauth_callback", hub.url());
    wiki.consumer(Consumer::oauth1(key, SECRET, &callback));
    wiki.account(7_000_003, "Ordinary user");
    hub.configure(&format!(
        "[spawner]\nkind = \"process\"\n[access]\nallow_all = true\n\
         [broker]\nprovider = \"wiki\"\nrequests_per_second = 10000\nburst = 10000\nconcurrent = 100\n\
         [provider.wiki]\nprotocol = \"oauth1\"\nclient_id = \"{key}\"\nindex_url = \"{}\"\n",
        wiki.index_url()
    ))?;
    hub.up().await?;
    let person = Person::by_wiki(&hub, "Ordinary user").await?;
    person.start("").await?;
    let mut kernel = Kernel::started(&person, "").await?;
    let said = kernel
        .run("import os; print(os.environ['HOLT_BROKER_URL'], open(os.environ['HOLT_BROKER_TOKEN_FILE']).read())")
        .await?;
    let (broker, token) = said.trim().split_once(' ').context("two words")?;
    let way = Way {
        broker: broker.to_owned(),
        token: token.to_owned(),
    };
    Ok((hub, wiki, way))
}
