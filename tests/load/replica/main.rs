//! What the replica gateway costs beside HAProxy in TCP mode and a direct connection, in one run and in turns.
//!
//! Gateway and HAProxy are shut to one processor. Their processor time is the kernel's own count, per `SELECT 1` over eight
//! connections and per MiB of result; latency is what a client sees; memory is that of connections which asked once and rest.
//! HAProxy relays bytes; ours signs people in, reads statements and puts a comment before each.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot be made ends")]

#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../../replica/database.rs"]
mod database;
#[path = "../../replica/raw.rs"]
mod raw;
#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../../replica/world.rs"]
mod world;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;

use database::Database;
use raw::Raw;
use world::{Plan, World};

const MIB: f64 = 1_048_576.0;
/// At most so many times HAProxy's.
const TARGET_STATEMENT: f64 = 1.3;
const TARGET_MIB: f64 = 1.0;
/// Bytes of a connection that rests.
const TARGET_IDLE: f64 = 10.0 * 1024.0;
/// Milliseconds at the 99th percentile over a direct connection.
const TARGET_LATENCY: f64 = 0.3;

/// The replica gateway, HAProxy and a direct connection, side by side.
#[derive(Debug, Parser)]
struct Arguments {
    /// Rounds that count; one more goes before.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Statements of each of the eight connections in a round.
    #[arg(long, default_value_t = 3000)]
    statements: usize,
    /// Connections that rest.
    #[arg(long, default_value_t = 1000)]
    idle: usize,
    /// Less of all: whether it works, not how fast it is.
    #[arg(long)]
    short: bool,
    /// The processor of gateway and HAProxy.
    #[arg(long, default_value_t = 0)]
    processor: usize,
}

/// One of those that are compared.
struct Side {
    name: &'static str,
    address: SocketAddr,
    user: String,
    password: &'static str,
    pid: Option<u32>,
    per_statement: Vec<f64>,
    per_mib: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() {
    let mut arguments = Arguments::parse();
    if arguments.short {
        (arguments.rounds, arguments.statements, arguments.idle) = (1, 200, 50);
    }
    let server = Database::start("load", &["enwiki_p", "meta_p"], &["--max-connections=4000"]);
    server
        .root("create user bench@'%' identified by 'load'; grant select on `%\\_p`.* to bench@'%'");
    let mut world = World::start(Plan {
        first: &server,
        first_settings: "databases = [\"enwiki_p\", \"meta_p\"]",
        settings: "connections = 1000\nqueue = 1000",
        processor: Some(arguments.processor),
        log: "info",
        ..Plan::default()
    });
    world.let_in("a", 1);
    let port = holt_tests::free_port().unwrap();
    let config = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(config.path(), format!("global\n nbthread 1\n maxconn 5000\ndefaults\n mode tcp\n timeout connect 5s\n timeout client 1h\n timeout server 1h\nlisten mysql\n bind 127.0.0.1:{port}\n server one 127.0.0.1:{}\n", server.port)).unwrap();
    let haproxy = Command::new("taskset")
        .args(["-c", &arguments.processor.to_string(), "haproxy", "-f"])
        .arg(config.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("haproxy is installed");
    let haproxy = Ended(haproxy);
    let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let side = |name, address, user: &str, password, pid| Side {
        name,
        address,
        user: user.to_owned(),
        password,
        pid,
        per_statement: Vec::new(),
        per_mib: Vec::new(),
        p50: Vec::new(),
        p99: Vec::new(),
    };
    let mut sides = [
        side("direct", address(server.port), "bench", "load", None),
        side(
            "haproxy",
            address(port),
            "bench",
            "load",
            Some(haproxy.0.id()),
        ),
        side("holt", world.address, "ha", "pa", Some(world.process.id())),
    ];
    std::thread::sleep(Duration::from_secs(1));
    for round in 0..=arguments.rounds {
        for side in &mut sides {
            let measured = measure(side, arguments.statements);
            if round > 0 {
                side.per_statement.push(measured.0);
                side.per_mib.push(measured.1);
                side.p50.push(measured.2);
                side.p99.push(measured.3);
            }
        }
    }
    println!(
        "{:8} {:>14} {:>12} {:>10} {:>10}",
        "", "us/SELECT 1", "ms/MiB", "p50 ms", "p99 ms"
    );
    for side in &sides {
        println!(
            "{:8} {:>14.2} {:>12.3} {:>10.3} {:>10.3}",
            side.name,
            median(&side.per_statement) / 1e3,
            median(&side.per_mib) / 1e6,
            median(&side.p50),
            median(&side.p99)
        );
    }
    let [direct, peer, ours] = &sides;
    let idle = idle(ours, arguments.idle);
    verdict(
        "SELECT 1, times HAProxy",
        median(&ours.per_statement) / median(&peer.per_statement),
        TARGET_STATEMENT,
    );
    verdict(
        "MiB, times HAProxy",
        median(&ours.per_mib) / median(&peer.per_mib),
        TARGET_MIB,
    );
    verdict(
        "p99 over direct, ms",
        median(&ours.p99) - median(&direct.p99),
        TARGET_LATENCY,
    );
    verdict("bytes of a connection that rests", idle, TARGET_IDLE);
}

fn verdict(what: &str, is: f64, most: f64) {
    let word = if is <= most { "met" } else { "missed" };
    println!("{what}: {is:.2}, target {most:.2}: {word}");
}

/// Processor time per statement and per MiB, in nanoseconds; latency at 50 and 99 of a hundred, in milliseconds.
fn measure(side: &Side, statements: usize) -> (f64, f64, f64, f64) {
    let mut clients: Vec<Raw> = (0..8).map(|_| enter(side)).collect();
    for client in &mut clients {
        client.value("SELECT 1");
    }
    let before = side.pid.map_or(0, time_of);
    let threads: Vec<_> = clients
        .drain(..)
        .map(|mut client| {
            std::thread::spawn(move || {
                let mut times = Vec::with_capacity(statements);
                for _ in 0..statements {
                    let began = Instant::now();
                    client.say("SELECT 1");
                    client.hear().unwrap();
                    times.push(began.elapsed().as_secs_f64() * 1e3);
                }
                times
            })
        })
        .collect();
    let mut times: Vec<f64> = threads
        .into_iter()
        .flat_map(|thread| thread.join().unwrap())
        .collect();
    let per_statement = (side.pid.map_or(0, time_of) - before) as f64 / times.len() as f64;
    times.sort_by(f64::total_cmp);
    let client = enter(side);
    let mut client = BufReader::with_capacity(256 * 1024, client.stream);
    let before = side.pid.map_or(0, time_of);
    let mut bytes = 0;
    for _ in 0..8 {
        bytes += drain(&mut client, "select repeat('x', 1000) from revision");
    }
    let per_mib = (side.pid.map_or(0, time_of) - before) as f64 / (bytes as f64 / MIB);
    (
        per_statement,
        per_mib,
        times[times.len() / 2],
        times[times.len() * 99 / 100],
    )
}

fn enter(side: &Side) -> Raw {
    Raw::enter(side.address, &side.user, side.password, "enwiki_p")
        .unwrap_or_else(|refused| panic!("{}: {refused:?}", side.name))
}

/// Reads a result without looking at it; returns its bytes.
fn drain(client: &mut BufReader<std::net::TcpStream>, statement: &str) -> usize {
    let mut out = u32::try_from(statement.len() + 1)
        .unwrap()
        .to_le_bytes()
        .to_vec();
    out.push(3);
    out.extend_from_slice(statement.as_bytes());
    client.get_mut().write_all(&out).unwrap();
    let mut bytes = 0;
    let mut ends = 0;
    while ends < 2 {
        let mut header = [0; 5];
        client.read_exact(&mut header).unwrap();
        let length = u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize;
        let mut left = length - 1;
        while left > 0 {
            let now = client.fill_buf().unwrap().len().min(left);
            client.consume(now);
            left -= now;
        }
        assert_ne!(header[4], 0xFF);
        ends += usize::from(header[4] == 0xFE && length < 9);
        bytes += 4 + length;
    }
    bytes
}

/// Memory of each of so many connections that asked once and rest.
fn idle(side: &Side, count: usize) -> f64 {
    let pid = side.pid.unwrap();
    let before = memory_of(pid);
    let mut clients = Vec::with_capacity(count);
    for _ in 0..count {
        let mut client = enter(side);
        client.value("SELECT 1");
        clients.push(client);
    }
    std::thread::sleep(Duration::from_secs(1));
    memory_of(pid).saturating_sub(before) as f64 / count as f64
}

/// Processor time of all threads, in nanoseconds.
fn time_of(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
        .sum()
}

/// Memory of a process that is its own, in bytes.
fn memory_of(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let private = text.lines().filter(|line| line.starts_with("Private_"));
    private
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum::<u64>()
        * 1024
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
