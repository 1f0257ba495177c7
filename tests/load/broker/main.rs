//! What it costs to ask a wiki by the hub instead of directly, in one run and in turns.
//!
//! The hub runs notebooks as processes of this machine, so that a client here may show a launch's token. Both ways ask the same wiki of
//! the tests for the same, as the same person: directly, the client signs with the person's own credential, which the hub hands out here
//! for that; by the hub, the request goes through the proxy, is checked, signed, sent, and written down.
//!
//! Asked one after the other without a pause, a wiki that answers at once makes it a measure of work: client, proxy, hub and wiki share
//! the machine, and each call waits for the work of the 49 others. With a wiki that takes its time, as wikis do, it is what a person meets.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Parser;
use futures_util::future::try_join_all;
use hmac::{Hmac, KeyInit as _, Mac as _};
use holt_tests::hub::{Hub, Wish};
use holt_tests::kernel::Kernel;
use holt_tests::person::Person;
use holt_tests::wiki::{Consumer, Wiki};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::Sha1;

/// Milliseconds at the median over a direct call.
const TARGET: f64 = 3.0;
const KEY: &str = "ff68fd86be55839e0bc4db271de8860c";
const SECRET: &str = "707b147bc75e3b420d4220edb2da8d3d6bd70d40";
/// RFC 5849, 3.6.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

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
    /// How long the wiki takes to answer, in milliseconds; each is measured.
    #[arg(long, value_delimiter = ',', default_value = "0,20,100")]
    takes: Vec<u64>,
}

/// A launch's way to the broker, and its owner's credential.
struct Way {
    broker: String,
    token: String,
    access_key: String,
    access_secret: String,
}

impl Way {
    /// What a client of OAuth 1.0a sends with a GET.
    fn authorization(&self, api: &str, query: &[(&str, &str)]) -> String {
        let encode = |text: &str| utf8_percent_encode(text, UNRESERVED).to_string();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let nonce = format!("{:032x}", rand::random::<u128>());
        let stamp = now.unwrap_or_default().as_secs().to_string();
        let oauth = [
            ("oauth_consumer_key", KEY),
            ("oauth_nonce", &nonce),
            ("oauth_signature_method", "HMAC-SHA1"),
            ("oauth_timestamp", &stamp),
            ("oauth_token", &self.access_key),
            ("oauth_version", "1.0"),
        ];
        let mut all: Vec<String> = oauth
            .iter()
            .chain(query)
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        all.sort();
        let base = format!("GET&{}&{}", encode(api), encode(&all.join("&")));
        let key = format!("{}&{}", encode(SECRET), encode(&self.access_secret));
        let mut mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).expect("any length will do");
        mac.update(base.as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        let mut header = format!("OAuth oauth_signature=\"{}\"", encode(&signature));
        for (name, value) in oauth {
            header.push_str(&format!(", {name}=\"{}\"", encode(value)));
        }
        header
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let (_hub, wiki, way) = prepared().await?;
    let query = [
        ("action", "query"),
        ("meta", "siteinfo"),
        ("siprop", "namespaces"),
        ("format", "json"),
    ];
    let api = wiki.api_url();
    let url = url::Url::parse_with_params(&api, query)?.to_string();
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(30))
        .build()?;
    let direct = || {
        client
            .get(&url)
            .header("Authorization", way.authorization(&api, &query))
    };
    let brokered = || {
        let request = client.post(&way.broker).bearer_auth(&way.token);
        request
            .header("Holt-Method", "GET")
            .header("Holt-Url", &url)
    };
    println!(
        "{} at once, {} rounds, {} calls a round",
        arguments.concurrent,
        arguments.rounds,
        arguments.concurrent * arguments.calls
    );
    for takes in &arguments.takes {
        wiki.set_pause(Duration::from_millis(*takes));
        let (mut of_direct, mut of_brokered) = (Vec::new(), Vec::new());
        for round in 0..=arguments.rounds {
            let direct = calls(&arguments, direct).await?;
            let brokered = calls(&arguments, brokered).await?;
            if round > 0 {
                of_direct.extend(direct);
                of_brokered.extend(brokered);
            }
        }
        println!("a wiki that takes {takes} ms:");
        let direct = told("direct", of_direct);
        let brokered = told("by the hub", of_brokered);
        println!(
            "  over a direct call: {:.2} ms at the median (target {TARGET} ms)",
            brokered - direct
        );
    }
    Ok(())
}

/// Prints how long calls took, and returns the median.
fn told(name: &str, mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    let part = |percent: usize| times[times.len() * percent / 100];
    println!(
        "  {name:>10}: median {:.2} ms, 95th {:.2} ms, 99th {:.2} ms",
        part(50),
        part(95),
        part(99)
    );
    part(50)
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
    let mut hub = Hub::new(Wish::default().env("HOLT__PROVIDER__WIKI__CLIENT_SECRET", SECRET))?;
    let wiki = Wiki::start()?;
    let callback = format!("{}/hub/oauth_callback", hub.url());
    wiki.consumer(Consumer::oauth1(KEY, SECRET, &callback));
    wiki.account(7_000_003, "Ordinary user");
    hub.configure(&format!(
        "[spawner]\nkind = \"process\"\n[access]\nallow_all = true\n\
         [broker]\nprovider = \"wiki\"\npaws_environment = true\nrequests_per_second = 10000\nburst = 10000\nconcurrent = 100\n\
         [provider.wiki]\nprotocol = \"oauth1\"\nclient_id = \"{KEY}\"\nindex_url = \"{}\"\n",
        wiki.index_url()
    ))?;
    hub.up().await?;
    let person = Person::by_wiki(&hub, "Ordinary user").await?;
    person.start("").await?;
    let mut kernel = Kernel::started(&person, "").await?;
    let said = kernel
        .run("import os; e = os.environ; print(e['HOLT_BROKER_URL'], open(e['HOLT_BROKER_TOKEN_FILE']).read().strip(), e['ACCESS_KEY'], e['ACCESS_SECRET'])")
        .await?;
    let mut words = said.split_whitespace().map(str::to_owned);
    let mut word = || words.next().context("four words");
    let way = Way {
        broker: word()?,
        token: word()?,
        access_key: word()?,
        access_secret: word()?,
    };
    Ok((hub, wiki, way))
}
