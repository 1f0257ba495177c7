//! The figures: what is done, who takes part, what is compared, and how good ours must be.

use std::time::Duration;

use clap::ValueEnum;

use crate::load::{Kind, Outcome};
use crate::peers::{Contestant, Peer};

/// Where proxies run, and where everything else does.
pub(crate) const PROXY_CPU: usize = 0;
pub(crate) const LOAD_CPU: usize = 1;

/// Relay buffer of peers in figures about many bytes, where they have a setting for it.
const LARGE_BUFFER: usize = 64 * 1024;
/// Most bytes of memory for a websocket that is held.
const IDLE_BYTES: f64 = 3072.0;

/// A figure, by the name it has in `--figures`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Figure {
    /// Processor time per small request, 64 connections.
    Http64,
    /// Processor time per small request, 1,000 connections.
    Http1000,
    /// Processor time per websocket echo of 128 bytes.
    Ws128,
    /// Processor time per websocket echo of 16 KiB.
    Ws16k,
    /// Memory per idle websocket.
    IdleWs,
    /// The 99th percentile of latency at half of nginx's best rate.
    Latency,
    /// Processor time per small request with two workers.
    Workers,
    /// Processor time per GiB in either direction.
    Bulk,
}

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    pub(crate) warm_up: Duration,
    /// Bytes of a bulk figure.
    pub(crate) bytes: u64,
    /// Websockets that are held.
    pub(crate) held: usize,
}

/// One table: the same load for several contestants.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) name: &'static str,
    pub(crate) title: String,
    pub(crate) contestants: Vec<Contestant>,
    pub(crate) kind: Kind,
    pub(crate) connections: usize,
    pub(crate) value: Value,
    pub(crate) rule: Rule,
    /// Processors of the proxies.
    pub(crate) cpus: Vec<usize>,
    /// Whether each round begins with new processes.
    pub(crate) is_fresh: bool,
}

/// What is made of an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    /// Microseconds.
    CpuPerUnit,
    /// Milliseconds.
    CpuPerGib,
    /// Bytes.
    MemoryPerUnit,
    /// Microseconds.
    P99,
}

/// How good ours must be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rule {
    /// At most this part of what this one takes; the same program with a large buffer is compared too.
    PartOf(&'static str, f64),
    /// At most this part of what the best other takes, without and with large buffers.
    PartOfBest(f64),
    /// At most this.
    AtMost(f64),
}

impl Value {
    pub(crate) fn of(self, outcome: &Outcome) -> f64 {
        let units = outcome.units as f64;
        let cpu = outcome.cpu_nanoseconds as f64;
        match self {
            Self::CpuPerUnit => cpu / 1e3 / units,
            Self::CpuPerGib => cpu / 1e6 / (units / f64::from(1 << 30)),
            Self::MemoryPerUnit => (outcome.memory.1 as f64 - outcome.memory.0 as f64) / units,
            Self::P99 => outcome
                .latency
                .map_or(f64::NAN, |latency| latency.p99 * 1e6),
        }
    }

    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::CpuPerUnit | Self::P99 => "µs",
            Self::CpuPerGib => "ms",
            Self::MemoryPerUnit => "B",
        }
    }
}

impl Figure {
    /// Its tables; a paced one has no rate yet.
    pub(crate) fn series(self, peers: &[Peer], effort: &Effort) -> Vec<Series> {
        let usual: Vec<Contestant> = peers.iter().map(|peer| peer.usual()).collect();
        let base = Series {
            name: "",
            title: String::new(),
            contestants: usual,
            kind: Kind::Requests,
            connections: 64,
            value: Value::CpuPerUnit,
            rule: Rule::AtMost(f64::INFINITY),
            cpus: vec![PROXY_CPU],
            is_fresh: false,
        };
        match self {
            Self::Http64 => vec![Series {
                name: "http64",
                title: "processor time per small request, 64 connections".to_owned(),
                rule: Rule::PartOf("nginx", 0.95),
                ..base
            }],
            Self::Http1000 => vec![Series {
                name: "http1000",
                title: "processor time per small request, 1,000 connections".to_owned(),
                contestants: keeping(base.contestants, 1024),
                connections: 1000,
                rule: Rule::PartOf("nginx", 0.85),
                ..base
            }],
            Self::Ws128 => vec![Series {
                name: "ws128",
                title: "processor time per websocket echo of 128 B, 32 connections".to_owned(),
                kind: Kind::Echoes { size: 128 },
                connections: 32,
                rule: Rule::PartOf("nginx", 1.0),
                ..base
            }],
            Self::Ws16k => vec![Series {
                name: "ws16k",
                title: "processor time per websocket echo of 16 KiB, 32 connections".to_owned(),
                contestants: with_large_buffers(base.contestants),
                kind: Kind::Echoes { size: 16 * 1024 },
                connections: 32,
                rule: Rule::PartOfBest(0.6),
                ..base
            }],
            Self::IdleWs => vec![Series {
                name: "idle-ws",
                title: format!("memory per idle websocket, {} held", effort.held),
                kind: Kind::Idle { held: effort.held },
                connections: 32,
                value: Value::MemoryPerUnit,
                rule: Rule::AtMost(IDLE_BYTES),
                is_fresh: true,
                ..base
            }],
            Self::Latency => vec![Series {
                name: "latency",
                kind: Kind::Paced { rate: 0.0 },
                value: Value::P99,
                rule: Rule::PartOf("nginx", 1.0),
                ..base
            }],
            Self::Workers if peers.contains(&Peer::Holt) => workers(&base),
            Self::Workers => Vec::new(),
            Self::Bulk => bulk(&base, effort.bytes),
        }
    }
}

/// With one worker and with two: on the proxies' processor, as in every figure, which shows what workers cost each other there; and all
/// free to use every processor, also the load generator's, which adds what the machine takes for spreading work that thin. nginx, where
/// it takes part, shows how much of it any program pays.
fn workers(base: &Series) -> Vec<Series> {
    let with = |peer: Peer, workers, name| Contestant {
        workers,
        name,
        ..peer.usual()
    };
    let mut contestants = vec![
        with(Peer::Holt, 2, "holt"),
        with(Peer::Holt, 1, "one worker"),
    ];
    if base.contestants.iter().any(|one| one.peer == Peer::Nginx) {
        contestants.push(with(Peer::Nginx, 2, "nginx, two"));
        contestants.push(with(Peer::Nginx, 1, "nginx, one"));
    }
    let on = |name, place, cpus| Series {
        name,
        title: format!(
            "processor time per small request by number of workers, 64 connections, {place}"
        ),
        contestants: contestants.clone(),
        kind: base.kind,
        connections: base.connections,
        value: base.value,
        rule: Rule::PartOf("one worker", 1.15),
        cpus,
        is_fresh: false,
    };
    vec![
        on("workers", "on one processor", vec![PROXY_CPU]),
        on(
            "workers-free",
            "all on both processors",
            vec![PROXY_CPU, LOAD_CPU],
        ),
    ]
}

fn bulk(base: &Series, bytes: u64) -> Vec<Series> {
    let of = |name, what: &str, kind| Series {
        name,
        title: format!(
            "processor time per GiB {what}, {} MiB over 4 connections",
            bytes >> 20
        ),
        contestants: with_large_buffers(base.contestants.clone()),
        kind,
        connections: 4,
        value: Value::CpuPerGib,
        rule: Rule::PartOf("nginx", 1.0),
        cpus: base.cpus.clone(),
        is_fresh: false,
    };
    vec![
        of("download", "down", Kind::Download { bytes }),
        of(
            "download-chunked",
            "down in chunks",
            Kind::ChunkedDownload { bytes },
        ),
        of("upload", "up", Kind::Upload { bytes }),
    ]
}

fn keeping(mut contestants: Vec<Contestant>, kept: usize) -> Vec<Contestant> {
    for contestant in &mut contestants {
        contestant.kept = kept;
    }
    contestants
}

/// Adds the peers that have a setting for their relay buffer a second time, with a large one.
fn with_large_buffers(contestants: Vec<Contestant>) -> Vec<Contestant> {
    let large = |contestant: &Contestant| {
        let name = match contestant.peer {
            Peer::Nginx => "nginx 64k",
            Peer::Haproxy => "haproxy 64k",
            Peer::Holt | Peer::Chp => return None,
        };
        Some(Contestant {
            name,
            buffer: Some(LARGE_BUFFER),
            ..*contestant
        })
    };
    let more: Vec<_> = contestants.iter().filter_map(large).collect();
    [contestants, more].concat()
}
