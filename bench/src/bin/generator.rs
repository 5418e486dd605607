//! The load generator: opens connections to a server on 127.0.0.1, loads it, checks what comes back and prints
//! one line of JSON.

use std::time::Duration;
use websockets_bench::args::Args;
use websockets_bench::link::Link;
use websockets_bench::load::{handshakes, Load, Shape};
use websockets_bench::net::raise_file_limit;
use websockets_bench::process::memory;
use websockets_bench::tls;
use websockets_bench::window::Plan;
use websockets_bench::Result;

const OPTIONS: &[&str] = &[
    "load",
    "port",
    "pid",
    "connections",
    "in-flight",
    "bytes",
    "binary",
    "alike",
    "seconds",
    "warm-up",
    "lengths-only",
    "sleep",
    "tls",
];
const SETTLE: Duration = Duration::from_millis(700);

fn idle(port: u16, shape: Shape, plan: Plan) -> Result<String> {
    let connections = shape.connections;
    let mut load = Load::open(port, Shape { connections: 1, ..shape })?;
    let alone = load.run(plan)?;
    let before = memory(plan.pid)?;
    let config = shape.tls.then(tls::config).transpose()?;
    let open = |turn| Link::open(port, turn, false, config.as_ref());
    let mut idle = (0..connections).map(open).collect::<Result<Vec<_>>>()?;
    std::thread::sleep(SETTLE);
    let after = memory(plan.pid)?;
    let among = load.run(plan)?;
    if idle.iter_mut().any(|link| matches!(link.receive(&mut [0; 64]), Ok(Some(0)) | Err(_))) {
        return Err("the server dropped idle connections".into());
    }
    let per_connection = |before: u64, after: u64| (after as f64 - before as f64) * 1024.0 / idle.len() as f64;
    Ok(format!(
        "\"connections\": {connections}, \"rss_before_kib\": {}, \"rss_after_kib\": {}, \"rss_bytes\": {:.0}, \
         \"pss_before_kib\": {}, \"pss_after_kib\": {}, \"pss_bytes\": {:.0}, \"alone\": {{{}}}, {}",
        before.rss_kib,
        after.rss_kib,
        per_connection(before.rss_kib, after.rss_kib),
        before.pss_kib,
        after.pss_kib,
        per_connection(before.pss_kib, after.pss_kib),
        alone.json(),
        among.json()
    ))
}

fn run() -> Result<String> {
    let args = Args::parse(std::env::args().skip(1), OPTIONS)?;
    raise_file_limit();
    let port = args.get("port", 0)?;
    let plan = Plan {
        pid: args.get("pid", 0)?,
        warm_up: Duration::from_secs_f64(args.get("warm-up", 0.5)?),
        length: Duration::from_secs_f64(args.get("seconds", 1.0)?),
    };
    let load: String = args.get("load", "echo".into())?;
    let shape = Shape {
        connections: args.get("connections", 1)?,
        in_flight: args.get("in-flight", 1)?,
        payload_bytes: args.get("bytes", 64)?,
        opcode: if args.has("binary") { 2 } else { 1 },
        fanout: load == "fanout",
        alike: args.has("alike"),
        check_content: !args.has("lengths-only"),
        sleep: args.has("sleep"),
        tls: args.has("tls"),
    };
    match load.as_str() {
        "echo" | "fanout" => Ok(Load::open(port, shape)?.run(plan)?.json()),
        "handshake" if shape.tls => Err("--load handshake has no TLS".into()),
        "handshake" => Ok(handshakes(port, shape.connections, shape.sleep, plan)?.json()),
        "idle" => idle(port, shape, plan),
        other => Err(format!("--load {other}: must be echo, fanout, handshake or idle")),
    }
}

fn main() {
    match run() {
        Ok(members) => println!("{{{members}}}"),
        Err(message) => {
            eprintln!("{message}");
            std::process::exit(1);
        }
    }
}
